"""A run that is killed at any moment and goes on from its last checkpoint ends as if nothing had happened."""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

import al_lightning as al
from al_lightning.callbacks import Checkpoint
from al_lightning.data import CIFAR10, SST2
from al_lightning.data.loader import ResumableLoader
from al_lightning.data.samplers import BatchIndices

#: Kills for each network; the promise was tried with 20.
KILLS = int(os.environ.get("AL_LIGHTNING_KILLS", "3"))


def resnet() -> tuple[al.ALModule, CIFAR10]:
    """Batch norm, augmentation, a schedule by step, accumulation."""
    schedule = functools.partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=15)
    module = al.ResNetAL(
        10, depth=8, target_dim=8, accumulate_batches=2, gradient_clip_norm=1.0,
        lr_scheduler=schedule, lr_scheduler_interval="step",
    )  # fmt: skip
    return module, CIFAR10(batch_size=10)


def lstm() -> tuple[al.ALModule, SST2]:
    """Dropout, batches by length, a schedule by epoch."""
    data = SST2(batch_size=16)
    schedule = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module = al.LSTMAL(
        2, vocab_size=data.vocab_size, embedding_dim=6, hidden_dims=[4, 5], target_dim=8, dropout=0.3,
        lr_scheduler=schedule,
    )  # fmt: skip
    return module, data


def lstm_bp() -> tuple[al.BPModule, SST2]:
    """The sibling, with Lightning's own optimization."""
    data = SST2(batch_size=16)
    schedule = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module = al.LSTMBP(
        2, vocab_size=data.vocab_size, embedding_dim=6, hidden_dims=[4, 5], dropout=0.3, lr_scheduler=schedule,
        accumulate_batches=2,
    )  # fmt: skip
    return module, data


def train(make: Callable[[], tuple[pl.LightningModule, Any]], folder: Path) -> None:
    """Go on from ``folder/last.ckpt`` if it is there, and write the weights that training ends with."""
    os.environ["PL_GLOBAL_SEED"] = "7"
    torch.manual_seed(0)
    module, data = make()
    callbacks = [
        Checkpoint(str(folder), every_n_train_steps=2),
        EarlyStopping("val_loss", patience=2),
    ]
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=4, callbacks=callbacks, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    last = folder / "last.ckpt"
    trainer.fit(module, data, ckpt_path=str(last) if last.is_file() else None)
    stopping = {k: str(v) for k, v in callbacks[1].state_dict().items()}
    state = {"state": module.state_dict(), "step": trainer.global_step, "stopping": stopping}
    optimizers = [o.state_dict()["state"] for o in trainer.optimizers]
    torch.save({**state, "optimizers": optimizers}, folder / "end.part")
    (folder / "end.part").rename(folder / "end.pt")


def run(make: Callable[[], tuple[pl.LightningModule, Any]], folder: Path, kill_after: float | None = None) -> float:
    """Train in a process of its own; returns how long that took."""
    folder.mkdir(exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=train, args=(make, folder))
    started = time.monotonic()
    process.start()
    process.join(kill_after)
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    else:
        assert process.exitcode == 0
    return time.monotonic() - started


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("make", [resnet, lstm, lstm_bp])
def test_killed_and_resumed_is_bit_equal(make: Callable[[], Any], tiny_sets: None, tmp_path: Path) -> None:
    seconds = run(make, tmp_path / "whole")
    whole = torch.load(tmp_path / "whole/end.pt", weights_only=True)
    chance = random.Random(int.from_bytes(os.urandom(4), "big"))
    resumed = []
    for kill in range(KILLS):
        folder = tmp_path / f"kill{kill}"
        moment = chance.uniform(0, seconds)
        run(make, folder, moment)
        resumed.append(not (folder / "end.pt").is_file() and (folder / "last.ckpt").is_file())
        if not (folder / "end.pt").is_file():
            run(make, folder)
        assert same(torch.load(folder / "end.pt", weights_only=True), whole), f"killed after {moment:.3f} s"
    print(f"{sum(resumed)} of {KILLS} went on from a checkpoint")


class _Crash(pl.Callback):
    """Stops a run right before a batch, counted over epochs, or at the start of an epoch's validation."""

    def __init__(self, moment: int | str) -> None:
        self.left = moment if isinstance(moment, int) else None
        self.validations = 1 if moment == "second validation" else None

    def on_train_batch_start(self, *args: Any) -> None:
        self.left = None if self.left is None else self.left - 1
        if self.left is not None and self.left < 0:
            raise ConnectionError("the plug was pulled")

    def on_validation_start(self, *args: Any) -> None:
        self.validations = None if self.validations is None else self.validations - 1
        if self.validations is not None and self.validations < 0:
            raise ConnectionError("the plug was pulled")


@pytest.mark.parametrize("make", [resnet, lstm, lstm_bp])
@pytest.mark.parametrize("moment", [3, 4, 16, 30, "second validation"])
def test_every_moment_leads_to_the_same_end(
    make: Callable[[], Any], moment: int | str, tiny_sets: None, tmp_path: Path
) -> None:
    """The deterministic companion: in the middle of epochs, and right after their end."""

    def fit(folder: str, *more: pl.Callback) -> dict[str, Any]:
        os.environ["PL_GLOBAL_SEED"] = "7"
        torch.manual_seed(0)
        module, data = make()
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=3, logger=False, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, callbacks=[Checkpoint(str(tmp_path / folder), every_n_train_steps=1), *more],
        )  # fmt: skip
        last = tmp_path / folder / "last.ckpt"
        trainer.fit(module, data, ckpt_path=str(last) if last.is_file() else None)
        return module.state_dict()

    with pytest.raises(ConnectionError):
        fit("parts", _Crash(moment))
    parts, whole = fit("parts"), fit("whole")
    assert same(parts, whole)


def test_the_rest_of_the_epoch_is_what_is_left() -> None:
    def loader(batch: int = 4) -> ResumableLoader:
        numbers = torch.arange(30)
        return ResumableLoader(numbers, sampler=BatchIndices(numbers, batch, shuffle=True, seed=3), batch_size=None)  # type: ignore[arg-type]

    first = loader()
    first.sampler.set_epoch(2)
    whole = [b.tolist() for b in first]
    begun = loader()
    begun.sampler.set_epoch(2)
    batches = iter(begun)
    assert [next(batches).tolist() for _ in range(3)] == whole[:3]
    state = begun.state_dict()
    rest = loader()
    rest.load_state_dict(state)
    iterator = iter(rest)  # before the epoch is set, as Lightning does
    rest.sampler.set_epoch(2)
    assert [b.tolist() for b in iterator] == whole[3:]
    assert len(rest) == len(whole)
    assert [b.tolist() for b in rest] == whole  # once only
    other = loader()
    other.load_state_dict(state)
    other.sampler.set_epoch(3)
    assert len(list(other)) == len(whole)  # another epoch starts at its beginning
    larger = loader(6)
    larger.load_state_dict(state)
    larger.sampler.set_epoch(2)
    with pytest.warns(UserWarning, match="batches of 4 samples over all processes; this run has 6"):
        assert len(list(larger)) == 3
