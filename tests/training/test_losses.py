"""Epoch means of training losses: exact over uneven batches, epochs and names, logged where loggers want them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader
from lightning.pytorch.loggers import CSVLogger
from torch import nn

import al_lightning as al
from al_lightning.training.losses import LossMeans

Make = Callable[..., pl.Trainer]


class Seen(pl.Callback):
    """Every batch's own losses and size, and each epoch's logged means."""

    def __init__(self) -> None:
        self.batches: list[dict[str, float]] = []
        self.sizes: list[int] = []
        self.means: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        logged = {k.removesuffix("_step"): float(v) for k, v in trainer.callback_metrics.items() if k.endswith("_step")}
        self.batches.append(logged)
        self.sizes.append(len(batch[1]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.means.append({k: float(v) for k, v in trainer.callback_metrics.items() if not k.endswith("_step")})


def modules() -> list[Any]:
    torch.manual_seed(0)
    return [
        al.ALModule(hand_layers(2), K),
        al.ALModule(hand_layers(2), K, isolated=False, associated_layers=[2]),
        al.BPModule(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, K)), K),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_means_over_samples_of_each_epoch(kind: int, trainer: Make, tmp_path: Path) -> None:
    """Batches of 8, 8 and 3: a callback of the user's sees the exact means, its own epoch's only."""
    seen, logger = Seen(), CSVLogger(tmp_path)
    fitted = trainer(max_epochs=3, callbacks=[seen], enable_checkpointing=False, log_every_n_steps=1, logger=logger)
    fitted.fit(modules()[kind], loader(n=19))
    names = {"train_loss"}
    if kind < 2:
        names |= {f"train_layer{i}_{w}" for i in (1, 2) for w in ("associated", "reconstruction")}
    assert len(seen.means) == 3
    for epoch, means in enumerate(seen.means):
        rows, sizes = seen.batches[3 * epoch : 3 * epoch + 3], seen.sizes[3 * epoch : 3 * epoch + 3]
        assert names <= set(means)
        assert set(rows[0]) == names
        for name in names:
            exact = sum(n * row[name] for n, row in zip(sizes, rows)) / sum(sizes)
            assert means[name] == pytest.approx(exact, rel=1e-5)
    parts = [n for n in names - {"train_loss"} if kind == 0 or n != "train_layer1_associated"]
    if parts:
        assert seen.means[0]["train_loss"] == pytest.approx(sum(seen.means[0][n] for n in parts), rel=1e-5)
    assert seen.means[0]["train_loss"] != seen.means[1]["train_loss"]


def test_loggers_get_single_steps_when_they_want_them(trainer: Make, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    fitted = trainer(max_epochs=2, log_every_n_steps=3, logger=logger)
    fitted.fit(modules()[0], loader(n=32))
    with open(Path(logger.log_dir) / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["train_loss_step"]] == [2, 5]  # of 4 batches an epoch
    assert [int(row["epoch"]) for row in rows if row["train_loss"]] == [0, 1]


def test_a_loss_that_joins_later_is_a_mean_over_its_own_samples() -> None:
    losses = LossMeans({"train_loss": [0, 1], "first": [0], "second": [1]})
    assert set(losses.add(torch.tensor([4.0]), 2)) == {"train_loss", "first"}
    assert losses.add(torch.tensor([1.0, 3.0]), 4) == {}
    assert losses.sums.compute().tolist() == [2.0, 3.0]
    losses.means["first"].reset()
    assert set(losses.add(torch.tensor([1.0, 1.0]), 1)) == {"train_loss", "first", "second"}
    assert losses.sums.compute().tolist() == [1.0, 1.0]
