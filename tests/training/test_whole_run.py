"""A rate that falls over the whole run, for AL and BP, however the run's length is told, and over a resume."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader
from torch import nn

import al_lightning as al
from al_lightning.callbacks import Checkpoint
from al_lightning.training.whole_run import WholeRunLR

Make = Callable[..., pl.Trainer]
SGD = functools.partial(torch.optim.SGD, lr=0.1)


class Rates(pl.Callback):
    """The rate of every optimizer at each batch."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.seen.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])


def module(kind: str, interval: Any = "step", **options: Any) -> Any:
    torch.manual_seed(0)
    shared = dict(optimizer=SGD, lr_scheduler=functools.partial(WholeRunLR, **options), lr_scheduler_interval=interval)
    if kind == "AL":
        return al.ALModule(hand_layers(2), K, **shared)
    return al.BPModule(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, K)), K, **shared)


@pytest.mark.parametrize("kind", ["AL", "BP"])
@pytest.mark.parametrize("shape", ["cosine", "linear"])
@pytest.mark.parametrize("length", [dict(max_epochs=3), dict(max_epochs=-1, max_steps=24), dict(max_steps=24)])
def test_a_rate_falls_over_all_steps(kind: str, shape: str, length: Any, trainer: Make) -> None:
    seen = Rates()
    fitted = trainer(**length, callbacks=[seen], enable_checkpointing=False)
    fitted.fit(module(kind, shape=shape, end=0.1), loader(n=64))  # 8 batches an epoch
    assert len(seen.seen) == 24
    for n, rates in enumerate(seen.seen):
        fallen = (1 + math.cos(math.pi * n / 24)) / 2 if shape == "cosine" else 1 - n / 24
        assert rates == pytest.approx([0.1 * (0.1 + 0.9 * fallen)] * len(rates))
    last = fitted.optimizers[0].param_groups[0]["lr"]
    assert last == pytest.approx(0.01)


@pytest.mark.parametrize("kind", ["AL", "BP"])
def test_by_epoch_and_with_a_warm_up(kind: str, trainer: Make) -> None:
    seen = Rates()
    trainer(max_epochs=4, callbacks=[seen], enable_checkpointing=False).fit(
        module(kind, "epoch", shape="linear", warmup=0.5), loader(n=16)
    )
    assert [rates[0] for rates in seen.seen[::2]] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.05])


@pytest.mark.parametrize("kind", ["AL", "BP"])
def test_accumulated_batches_are_one_step(kind: str, trainer: Make) -> None:
    seen = Rates()
    accumulating = module(kind, shape="linear")
    accumulating.accumulate_grad_batches = 2
    more = {"accumulate_grad_batches": 2} if kind == "BP" else {}
    trainer(max_epochs=1, callbacks=[seen], enable_checkpointing=False, **more).fit(accumulating, loader(n=64))
    assert [rates[0] for rates in seen.seen] == pytest.approx([0.1, 0.1, 0.075, 0.075, 0.05, 0.05, 0.025, 0.025])


class Stopped(pl.Callback):
    """Ends the run when the second epoch begins."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("stopped")


@pytest.mark.parametrize("kind", ["AL", "BP"])
def test_a_resumed_run_goes_on_with_its_rates(kind: str, trainer: Make, tmp_path: Path) -> None:
    whole, first, rest = Rates(), Rates(), Rates()
    trainer(max_epochs=2, callbacks=[whole], enable_checkpointing=False).fit(module(kind), loader(), loader())
    with pytest.raises(RuntimeError, match="stopped"):
        trainer(max_epochs=2, callbacks=[first, Stopped(), Checkpoint(str(tmp_path))]).fit(
            module(kind), loader(), loader()
        )
    trainer(max_epochs=2, callbacks=[rest], enable_checkpointing=False).fit(
        module(kind), loader(), loader(), ckpt_path=str(tmp_path / "last.ckpt")
    )
    assert len(first.seen) == 8
    assert first.seen + rest.seen == whole.seen


def test_what_makes_no_sense_is_refused(trainer: Make) -> None:
    optimizer = SGD([torch.zeros(1, requires_grad=True)])
    for arguments, sentence in (
        ({"shape": "square"}, "`shape` to be 'cosine' or 'linear', but got 'square'"),
        ({"end": 2}, r"`end` to be in \[0, 1\], but got 2"),
        ({"warmup": 1}, r"`warmup` to be in \[0, 1\), but got 1"),
    ):
        with pytest.raises(ValueError, match=sentence):
            WholeRunLR(optimizer, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="knows when it ends.*Set `max_epochs` or `max_steps`"):
        trainer(max_epochs=-1, enable_checkpointing=False).fit(module("AL"), loader())
