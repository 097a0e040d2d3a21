"""Runs for test_side_by_side.py, in a module that other processes can import."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import torch

from al_lightning.experiments.results import Result


def run(name: str, seed: int, command: list[str], folder: Path) -> Result:
    """Fails, does not end and ignores SIGTERM, or says how many threads it has."""
    if name == "bad":
        raise ValueError("Expected something else.")
    if name == "endless":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / "started").touch()
        time.sleep(600)
    return Result(name, seed, "", {"test_acc": float(torch.get_num_threads())}, 1, 1, 1, 1, 0.0, [])


def run_after(name: str, seed: int, command: list[str], folder: Path) -> Result:
    """The same, but what fails waits until the endless one has started."""
    while name == "bad" and not (folder / "started").exists():
        time.sleep(0.01)
    return run(name, seed, command, folder)
