"""A text that is longer than the training texts is read alike by `predict` and by `predict_text`."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

import al_lightning as al
from al_lightning.cli.main import main
from al_lightning.data import IMDB

NAMES = ["LSTMAL", "LSTMBP", "TransformerAL", "TransformerBP"]
SMALL: dict[str, dict[str, Any]] = {
    "LSTMAL": dict(embedding_dim=6, hidden_dims=[5, 4], target_dim=8),
    "LSTMBP": dict(embedding_dim=6, hidden_dims=[5, 4]),
    "TransformerAL": dict(embedding_dim=6, feedforward_dims=[8, 8], heads=2, target_dim=8),
    "TransformerBP": dict(embedding_dim=6, feedforward_dims=[8, 8], heads=2),
}
#: 3 tokens of one class, then many of the other; and more than the 1,000 tokens that were once read of every text.
TEXTS = ["word0 and some " + "word1 again more no " * 10, "word1 and some " + "word0 " * 1500, "word1 and some"]


def train(name: str, trainer: Callable[..., pl.Trainer], **options: Any) -> tuple[Any, pl.Trainer, IMDB]:
    data = IMDB(batch_size=28, max_length=3)
    module = getattr(al, name)(2, vocabulary=data.vocabulary, **SMALL[name], **options)
    fitted = trainer(max_epochs=1)
    fitted.fit(module, data)
    return module, fitted, data


@pytest.mark.parametrize("name", NAMES)
def test_built_in_python(name: str, tiny_sets: None, trainer: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    module, fitted, data = train(name, trainer)
    assert module.max_length == 3
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    data.predict_from = str(tmp_path / "texts.txt")
    (predicted,) = fitted.predict(module, data)
    fitted.save_checkpoint("a.ckpt")
    assert torch.load("a.ckpt", weights_only=True)["al_lightning"]["model"]["init_args"]["max_length"] == 3
    again = type(module).load_from_checkpoint("a.ckpt")
    for network in (module, again):
        for (label, probability), row in zip(network.predict_text(TEXTS), predicted):
            assert label == str(int(row.argmax()))
            assert probability == pytest.approx(row.max().item(), abs=1e-6)
    assert again.predict_text(TEXTS) != again.predict_text(TEXTS, max_length=2000)


@pytest.mark.parametrize("name", NAMES)
def test_from_the_command_line(name: str, tiny_sets: None, tmp_path: Path) -> None:
    sizes = [part for key, value in SMALL[name].items() for part in (f"--model.{key}", str(value))]
    main(["fit", "--model", name, *sizes, "--data", "IMDB", "--data.max_length", "3", "--trainer.max_epochs", "1",
          "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"])  # fmt: skip
    (checkpoint,) = Path("lightning_logs").rglob("last.ckpt")
    Path("texts.txt").write_text("\n".join(TEXTS))
    main(["predict", "--ckpt_path", str(checkpoint), "--data.predict_from", "texts.txt", "--predictions.path", "out.csv",
          "--trainer.accelerator", "cpu"])  # fmt: skip
    network = getattr(al, name).load_from_checkpoint(checkpoint)
    assert network.max_length == 3
    with Path("out.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    for (label, probability), row in zip(network.predict_text(TEXTS), rows, strict=True):
        assert row[1:] == [label, f"{probability:.4f}"]


def test_the_data_that_train_say_the_length(tiny_sets: None, trainer: Callable[..., pl.Trainer]) -> None:
    module, fitted, _ = train("LSTMBP", trainer, max_length=7)
    assert module.max_length == 3
    fitted.test(module, IMDB(max_length=5), verbose=False)
    assert module.max_length == 3
