"""Runs for test_side_by_side.py, in a module that other processes can import."""

from __future__ import annotations

import signal
import time

import torch

from al_lightning.experiments.results import Result
from al_lightning.experiments.side_by_side import Job


def run(job: Job) -> Result:
    """Fails, does not end and ignores SIGTERM, or says how many threads it has."""
    if job.name == "bad":
        raise ValueError("Expected something else.")
    if job.name == "endless":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (job.kept.parent / "started").touch()
        time.sleep(600)
    return Result(job.name, job.seed, "", {"test_acc": float(torch.get_num_threads())}, 1, 1, 1, 1, 0.0, [])


def run_after(job: Job) -> Result:
    """The same, but what fails waits until the endless one has started."""
    while job.name == "bad" and not (job.kept.parent / "started").exists():
        time.sleep(0.01)
    return run(job)
