"""Trains the same networks in one process, as a pipeline, or data-parallel; for tests/strategies.

Run as ``python pipeline_worker.py ARGUMENTS.json``: Lightning's launcher starts the same command for the other ranks.
One launch trains all cases, one after the other.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import make_sets_tiny
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.loggers import Logger
from target_kinds import Numbers
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from train_worker import INPUTS, Die, K, make, samples

import al_lightning as al
from al_lightning.data import CIFAR10, SST2, FashionMNIST
from al_lightning.strategies import PipelineStrategy

Case = tuple[pl.LightningModule, Any, dict[str, Any]]
#: Samples of a training batch.
BATCH = 4
adam = functools.partial(torch.optim.Adam, lr=1e-2)


class Written(Logger):
    """Keeps what a logger is told."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    name = version = "written"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """None are kept."""


class Read(TensorDataset):
    """Counts the samples that are read."""

    count = 0

    def __getitem__(self, index: Any) -> Any:
        self.count += 1
        return super().__getitem__(index)


class Stream(IterableDataset[Any]):
    """Samples without a length."""

    def __iter__(self) -> Iterator[Any]:
        x, y = samples(64, 0).tensors
        yield from zip(x, y)


class Grow(pl.Callback):
    """Uses another layer from the second epoch on."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            pl_module.active_depth = 3  # type: ignore[assignment]


class Clock(pl.Callback):
    """When each batch was begun here, and when it was finished."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[float] = []
        self.finished: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.begun.append(time.monotonic())
        if trainer.global_rank == trainer.world_size - 1:
            time.sleep(self.seconds)

    def on_train_batch_end(self, *args: Any) -> None:
        self.finished.append(time.monotonic())


class SaveAt(pl.Callback):
    """Saves a checkpoint after so many steps, in the middle of an epoch."""

    def __init__(self, step: int | None, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


class Weights(pl.Callback):
    """Whether all weights that a callback sees in validation are those of the last step, by a sum."""

    def __init__(self) -> None:
        self.sums: list[float] = []

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.sums.append(float(sum(p.double().sum() for p in pl_module.parameters())))


def mlp(data: Any = None, *, trainer: dict[str, Any] | None = None, **options: Any) -> Case:
    """Three layers with batch norm and dropout on a user's own shuffled loader."""
    module = make("AL", True, 0.3, **{"optimizer": adam, **options})
    loader = DataLoader(Read(*samples(64, 0).tensors), BATCH, shuffle=True) if data is None else data
    return module, loader, trainer or {}


def ended(number: int, *, seed: int = 3) -> al.ALModule:
    """Three layers for numbers as targets."""
    torch.manual_seed(seed)
    layers = [
        al.ALLayer(
            f=nn.Sequential(nn.Linear(INPUTS if i == 0 else 8, 8), nn.Tanh()),
            b=nn.Linear(8, 5),
            g=nn.Linear(number if i == 0 else 5, 5),
            h=nn.Linear(5, number if i == 0 else 5),
        )
        for i in range(3)
    ]
    return al.ALModule(layers, target=Numbers(number), optimizer=adam)


def numbers() -> Case:
    """A target without classes: one row per sample travels."""
    x, _ = samples(64, 0).tensors
    return ended(2), DataLoader(TensorDataset(x, x[:, :2]), BATCH, shuffle=True), {}


def classifiers() -> Case:
    """Each bridge a classifier, on targets that stay one-hot."""
    torch.manual_seed(3)
    layers = [
        al.ALLayer(
            f=nn.Sequential(nn.Linear(INPUTS if i == 0 else 8, 8), nn.Tanh()),
            b=nn.Linear(8, K),
            g=nn.Identity(),
            h=nn.Identity(),
            association="cross_entropy",
        )
        for i in range(3)
    ]
    return al.ALModule(layers, K, optimizer=adam), DataLoader(samples(64, 0), BATCH, shuffle=True), {}


def cnn(association: Any) -> Case:
    """Batch norm and dropout in every layer, images augmented."""
    torch.manual_seed(3)
    module = al.CNNAL(10, target_dim=8, association=association, optimizer=functools.partial(torch.optim.Adam, lr=1e-3))
    for layer in module.layers:
        layer.f = nn.Sequential(layer.f, nn.Dropout(0.2))
    return module, CIFAR10(batch_size=6), {"max_steps": 50}


def lstm(association: Any) -> Case:
    """Variable lengths, dropout."""
    torch.manual_seed(3)
    data = SST2(batch_size=16, val_fraction=0.3)
    module = al.LSTMAL(
        2, vocab_size=data.vocab_size, embedding_dim=6, hidden_dims=[4, 5], target_dim=8, dropout=0.3,
        association=association, gradient_clip_norm=1.0, optimizer=adam,
    )  # fmt: skip
    return module, data, {"max_steps": 50}


def frozen() -> Case:
    """The last layer does not learn."""
    module, data, options = mlp()
    module.layers[2].requires_grad_(False)
    return module, data, options


def last_channels() -> Case:
    """Images whose channels come last in memory, in bf16."""
    torch.manual_seed(3)
    data = FashionMNIST(batch_size=8, channels_last=True)
    return al.CNNAL(10, 1, 28, target_dim=8), data, {"max_steps": 8, "precision": "bf16-mixed"}


plateau = functools.partial(ReduceLROnPlateau, monitor="train_loss", patience=0, factor=0.5)
linear = functools.partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=15)
CASES: dict[str, Callable[[], Case]] = {
    "mse": functools.partial(mlp, association="mse"),
    "contrast": functools.partial(mlp, association="contrast", readout="codes"),
    "classifiers": classifiers,
    "numbers": numbers,
    "accumulated": functools.partial(mlp, accumulate_grad_batches=3, gradient_clip_norm=0.5, lr_scheduler=linear, lr_scheduler_interval="step"),
    "plateau": functools.partial(mlp, lr_scheduler=plateau),
    "bf16": functools.partial(mlp, trainer={"precision": "bf16-mixed"}),
    "adagrad": functools.partial(mlp, optimizer=torch.optim.Adagrad),
    "frozen": frozen,
    "growing": functools.partial(mlp, active_depth=2, trainer={"grow": True}),
    "without a length": functools.partial(mlp, DataLoader(Stream(), BATCH)),
    "ends in an epoch": functools.partial(mlp, DataLoader(Stream(), BATCH), trainer={"max_steps": 20}),
    "stopped": functools.partial(mlp, trainer={"stop": True}),
    "cnn mse": functools.partial(cnn, "mse"),
    "cnn contrast": functools.partial(cnn, "contrast"),
    "lstm mse": functools.partial(lstm, "mse"),
    "lstm contrast": functools.partial(lstm, "contrast"),
    "channels last": last_channels,
}  # fmt: skip
#: Cases that three stages train too.
THREE = ["contrast", "accumulated", "without a length", "cnn contrast", "lstm mse"]


def run(name: str, folder: Path, devices: int = 1, strategy: str = "auto", **settings: Any) -> dict[str, Any]:
    """Train a case; every process returns what it ended with, and rank 0 leaves a checkpoint ``{name}.ckpt``.

    Args:
        name: of the run.
        folder: for the checkpoint.
        devices: number of processes.
        strategy: Lightning's name for one.
        settings: of the pipeline; also the ``case``, if the run has another name; ``ckpt_path`` to go on from;
            ``save_at`` which step, in place of the end; ``slow`` seconds that the last stage takes longer for a batch;
            the rank that is to ``die``; and whether rank 1 is given other data (``unlike``).
    """
    keys = ("case", "ckpt_path", "save_at", "slow", "die", "unlike")
    asked = {key: settings.pop(key, None) for key in keys}
    os.environ["PL_GLOBAL_SEED"] = "5"
    torch.manual_seed(11)
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    module, data, options = CASES[asked["case"] or name]()
    if asked["unlike"] and rank == 1:
        data = SST2(batch_size=8, val_fraction=0.3)
    options = {"max_epochs": 4, **options}
    torch.manual_seed(12)  # what orders the data of a user's own loader
    clock, seen = Clock(asked["slow"] or 0.0), Weights()
    callbacks: list[pl.Callback] = [seen, clock, SaveAt(asked["save_at"], folder / f"{name}.ckpt")]
    callbacks += [Die()] if asked["die"] == rank else []
    callbacks += [Grow()] if options.pop("grow", False) else []
    callbacks += [EarlyStopping("train_loss", patience=0, min_delta=0.05)] if options.pop("stop", False) else []
    written = Written()
    trainer = pl.Trainer(
        **options, accelerator="cpu", devices=devices, logger=written, callbacks=callbacks,
        strategy=PipelineStrategy(**settings) if strategy == "al_pipeline" else strategy, log_every_n_steps=7,
        check_val_every_n_epoch=2, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    ours = not isinstance(data, DataLoader)
    validation = None if ours else _validation(module, devices)
    trainer.fit(module, data, validation, ckpt_path=asked["ckpt_path"])
    if asked["save_at"] is None:
        trainer.save_checkpoint(folder / f"{name}.ckpt")
    return {
        "state": {k: v.clone() for k, v in module.state_dict().items()},
        "metrics": {k: float(v) for k, v in trainer.callback_metrics.items()},
        "logged": [(step, {k: float(v) for k, v in row.items()}) for step, row in written.rows],
        "step": trainer.global_step,
        "sums": seen.sums,
        "begun": clock.begun,
        "finished": clock.finished,
        "read": data.dataset.count if not ours and isinstance(data.dataset, Read) else None,
        "layers": None if strategy != "al_pipeline" else trainer.strategy.split.named(),
        "optimizer_elements": [sum(v.numel() for p in o.state.values() for v in p.values() if isinstance(v, Tensor))
                               for o in trainer.optimizers],
    }  # fmt: skip


def _validation(module: Any, devices: int) -> DataLoader[Any] | None:
    """17 samples; none for targets of another kind."""
    return (
        None
        if not isinstance(module.target.encode_classes(torch.zeros(0).long()), tuple)
        else DataLoader(samples(18, 1), 3)
    )


def main(arguments: dict[str, Any]) -> None:
    """Run all cases on this rank and write ``rank{r}.pt`` beside the arguments."""
    faulthandler.dump_traceback_later(
        int(os.environ.get("AL_LIGHTNING_HANG", "600")) - 4 * int(os.environ.get("LOCAL_RANK", "0")), exit=True
    )  # nothing waits for ever, and whoever does says where
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]).parent
    make_sets_tiny(pytest.MonkeyPatch())
    results = {
        name: run(name, folder, arguments["devices"], arguments["strategy"], **settings)
        for name, settings in arguments["cases"].items()
    }
    torch.save(results, folder / f"rank{os.environ.get('LOCAL_RANK', '0')}.pt")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
