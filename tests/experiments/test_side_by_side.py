"""Runs side by side: their threads, and that none outlives an error of another."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import wait
from pathlib import Path

import pytest
import torch
from side_worker import run, run_after

from al_lightning.experiments.side_by_side import Job, processes, train_side_by_side


def test_each_process_has_its_threads(tmp_path: Path) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    jobs = [Job(name, seed, "tuned", [], tmp_path / f"{name}.json") for seed, name in enumerate(("a", "b", "c"))]
    found = dict(train_side_by_side(run, jobs, 1, 2))
    assert [(found[n].name, found[n].seed, found[n].test["test_acc"]) for n in range(3)] == [
        ("a", 0, 1.0), ("b", 1, 1.0), ("c", 2, 1.0),
    ]  # fmt: skip
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_an_error_ends_the_others_and_names_the_run(tmp_path: Path) -> None:
    jobs = [Job("endless", 0, "tuned", [], tmp_path / "a.json"), Job("bad", 3, "tuned", [], tmp_path / "b.json")]
    with pytest.raises(
        ValueError, match="The run bad, seed 3, failed. Expected something else. Finished runs are kept"
    ):
        list(train_side_by_side(run_after, jobs, 1, 2))
    for child in multiprocessing.active_children():
        # Not `is_alive`: the pool's own thread may be collecting the same process, which then looks alive for a moment.
        assert wait([child.sentinel], timeout=30)


def test_room_for_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert [processes(threads) for threads in (1, 3, 16)] == [8, 2, 1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert processes(1) == 0
