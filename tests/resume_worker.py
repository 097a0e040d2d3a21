"""Trains in one or two processes; for two run as ``python resume_worker.py NETWORK FOLDER STRATEGY``.

For ``test_resume.py`` and ``strategies/test_signals.py``.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import make_sets_tiny
from lightning.pytorch.callbacks import EarlyStopping

import al_lightning as al
from al_lightning.callbacks import Checkpoint
from al_lightning.data import CIFAR10, SST2

Make = Callable[[], tuple[pl.LightningModule, Any]]


def resnet() -> tuple[al.ALModule, CIFAR10]:
    """Batch norm, augmentation, a schedule by step, accumulation."""
    schedule = functools.partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=15)
    module = al.ResNetAL(
        10, depth=8, target_dim=8, accumulate_grad_batches=2, gradient_clip_norm=1.0,
        lr_scheduler=schedule, lr_scheduler_interval="step",
    )  # fmt: skip
    return module, CIFAR10(batch_size=10)


def lstm() -> tuple[al.ALModule, SST2]:
    """Dropout, batches by length, a schedule by epoch, contrasts."""
    data = SST2(batch_size=16)
    schedule = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module = al.LSTMAL(
        2, vocab_size=data.vocab_size, embedding_dim=6, hidden_dims=[4, 5], target_dim=8, dropout=0.3,
        lr_scheduler=schedule, association="contrast", readout="codes",
    )  # fmt: skip
    return module, data


def lstm_bp() -> tuple[al.BPModule, SST2]:
    """The sibling, with Lightning's own optimization."""
    data = SST2(batch_size=16)
    schedule = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module = al.LSTMBP(
        2, vocab_size=data.vocab_size, embedding_dim=6, hidden_dims=[4, 5], dropout=0.3, lr_scheduler=schedule,
        accumulate_grad_batches=2,
    )  # fmt: skip
    return module, data


class _Mark(pl.Callback):
    """Shows from outside that training has begun, and which process has which rank."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        part = self.folder / f"rank{trainer.global_rank}.part"
        part.write_text(str(os.getpid()))
        part.rename(part.with_suffix(".pid"))
        (self.folder / "begun").touch()


def train(make: Make, folder: Path, devices: int = 1, strategy: str = "auto") -> None:
    """Go on from ``folder/last.ckpt`` if it is there, and write what this process ends with."""
    os.environ["PL_GLOBAL_SEED"] = "7"
    torch.manual_seed(0)
    module, data = make()
    callbacks = [
        Checkpoint(str(folder), every_n_train_steps=2),
        EarlyStopping("val_loss", patience=2),
        _Mark(folder),
    ]
    trainer = pl.Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, max_epochs=4,
        callbacks=callbacks, logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    last = folder / "last.ckpt"
    trainer.fit(module, data, ckpt_path=str(last) if last.is_file() else None)
    stopping = {k: str(v) for k, v in callbacks[1].state_dict().items()}
    state = {"state": module.state_dict(), "step": trainer.global_step, "stopping": stopping}
    optimizers = [o.state_dict()["state"] for o in trainer.optimizers]
    name = f"end{trainer.global_rank}"
    torch.save({**state, "optimizers": optimizers}, folder / f"{name}.part")
    (folder / f"{name}.part").rename(folder / f"{name}.pt")


def train_tiny(make: Make, folder: Path, devices: int = 1, strategy: str = "auto") -> None:
    """The same on small sets, in a process that no fixture has prepared."""
    torch.set_num_threads(1)
    make_sets_tiny(pytest.MonkeyPatch())
    train(make, folder, devices, strategy)


if __name__ == "__main__":
    network = {"resnet": resnet, "lstm": lstm, "lstm_bp": lstm_bp}[sys.argv[1]]
    train_tiny(network, Path(sys.argv[2]), devices=2, strategy=sys.argv[3])
