"""Starts ``pipeline_worker.py`` in several processes, and compares what they end with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

WORKER = Path(__file__).with_name("pipeline_worker.py")


def launch(folder: Path, devices: int, strategy: str, cases: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Train cases in several processes of one launch."""
    folder.mkdir(exist_ok=True)
    (folder / "arguments.json").write_text(json.dumps({"devices": devices, "strategy": strategy, "cases": cases}))
    outside = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "PL_GLOBAL_SEED")}
    return subprocess.run(
        [sys.executable, str(WORKER), str(folder / "arguments.json")],
        check=False, capture_output=True, text=True, timeout=700, env={**outside, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def ranks(folder: Path, devices: int) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(devices)]


def trained(folder: Path, devices: int, strategy: str, cases: dict[str, Any]) -> list[dict[str, Any]]:
    """What every rank ended with."""
    done = launch(folder, devices, strategy, cases)
    assert done.returncode == 0, done.stderr[-3000:]
    return ranks(folder, devices)


def differences(a: Any, b: Any, place: str = "") -> list[str]:
    """Where two nested values are not the same, bit for bit.

    Temperatures come from the scores of all processes, in another order, by bisection on a scale of logarithms.
    """
    if place.endswith("calibration.temperatures"):
        return [] if torch.allclose(a, b, atol=1e-2, rtol=1e-2) else [place]
    if isinstance(a, torch.Tensor):
        return [] if isinstance(b, torch.Tensor) and torch.equal(a, b) else [place]
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted({*a, *b}, key=str)
        return [d for key in keys for d in differences(a.get(key, "none"), b.get(key, "none"), f"{place}/{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [d for number, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, f"{place}/{number}")]
    return [] if a == b or (a != a and b != b) else [f"{place}: {a} {b}"]
