"""A run that is killed at any moment and goes on from its last checkpoint ends as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import lightning.pytorch as pl
import pytest
import torch
from resume_worker import Make, lstm, lstm_bp, resnet, train_tiny

from al_lightning.callbacks import Checkpoint
from al_lightning.data.loader import ResumableLoader
from al_lightning.data.samplers import BatchIndices

WORKER = Path(__file__).parents[1].joinpath("resume_worker.py")
#: Kills for each network; the promise was tried with 20.
KILLS = int(os.environ.get("AL_LIGHTNING_KILLS", "3"))


def wait_for_begin(folder: Path, alive: Callable[[], bool]) -> None:
    while alive() and not (folder / "begun").is_file():
        time.sleep(0.002)


def one_process(make: Make, folder: Path, kill_after: float | None) -> int:
    """Train in a process of its own, killed so many seconds after training began; returns its exit code."""
    # Not forked from this process: where torch's threads have worked, a child of theirs waits for them for ever.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["resume_worker"])
    process = context.Process(target=train_tiny, args=(make, folder))
    with mock.patch.dict(os.environ, PYTHONPATH=str(WORKER.parent)):  # the server imports the worker once for all
        process.start()
    if kill_after is not None:
        wait_for_begin(folder, process.is_alive)
    process.join(kill_after)
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode or 0


def two_processes(make: Make, folder: Path, kill_after: float | None) -> int:
    """The same by Lightning's launcher; whichever is alive is killed."""
    outside = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "PL_GLOBAL_SEED")}
    process = subprocess.Popen(
        [sys.executable, str(WORKER), make.__name__, str(folder), "ddp"],
        env={**outside, "OMP_NUM_THREADS": "1"}, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if kill_after is not None:
        wait_for_begin(folder, lambda: process.poll() is None)
    try:
        _, said = process.communicate(timeout=kill_after)
        assert process.returncode == 0, said[-3000:]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return process.returncode


def ends(folder: Path, ranks: int) -> list[Any]:
    """What each process ended with; nothing where the run was killed."""
    files = [folder / f"end{rank}.pt" for rank in range(ranks)]
    return [torch.load(file, weights_only=True) for file in files] if all(f.is_file() for f in files) else []


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def kill_and_resume(run: Callable[..., int], make: Make, ranks: int, kills: int, folder: Path) -> None:
    def start(name: str, kill_after: float | None = None) -> None:
        (folder / name).mkdir(exist_ok=True)
        assert run(make, folder / name, kill_after) in (0, -signal.SIGKILL)

    start("whole")
    begun, saved = ((folder / "whole" / name).stat().st_mtime for name in ("begun", "last.ckpt"))
    whole = ends(folder / "whole", ranks)
    assert len(whole) == ranks
    chance = random.Random(int.from_bytes(os.urandom(4), "big"))
    resumed = 0
    for kill in range(kills):
        name, moment = f"kill{kill}", chance.uniform(0, saved - begun)
        start(name, moment)
        if not ends(folder / name, ranks):
            resumed += (folder / name / "last.ckpt").is_file()
            start(name)
        assert same(ends(folder / name, ranks), whole), f"killed {moment:.3f} s after training began"
    print(f"{resumed} of {kills} went on from a checkpoint")


@pytest.mark.parametrize("make", [resnet, lstm, lstm_bp])
def test_killed_and_resumed_is_bit_equal(make: Make, tiny_sets: None, tmp_path: Path) -> None:
    kill_and_resume(one_process, make, 1, KILLS, tmp_path)


@pytest.mark.parametrize("make", [resnet, lstm] if KILLS > 3 else [resnet])
def test_two_processes_killed_and_resumed(make: Make, tiny_sets: None, tmp_path: Path) -> None:
    kill_and_resume(two_processes, make, 2, max(1, KILLS // 3) if KILLS < 20 else KILLS, tmp_path)
    # One process takes the run over, which is said.
    module, data = make()
    alone = pl.Trainer(
        accelerator="cpu", max_epochs=5, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    n = data.batch_size
    said = f"written by 2 processes with batch_size={n}, {2 * n} samples a step; this run has 1 process with .*, {n} s"
    with pytest.warns(UserWarning, match=said):
        alone.fit(module, data, ckpt_path=str(tmp_path / "whole/last.ckpt"))
    assert alone.current_epoch == 5


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
def test_every_moment_leads_to_the_same_end(make: Make, moment: int | str, tiny_sets: None, tmp_path: Path) -> None:
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
