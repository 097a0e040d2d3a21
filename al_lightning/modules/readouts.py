"""Which ways there are to read the paths of a network out, and what they are called in metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from al_lightning.nn.path import READOUTS, Readout
from al_lightning.targets.base import Target

#: What a read-out of path k is called in metrics: ``val_acc_path2``, ``val_acc_codes2``, ``val_acc_mean2``.
NAMES: dict[Readout, str] = {"decoder": "path", "codes": "codes", "mean": "mean"}


def ways_to_read(target: Target, readout: Readout) -> tuple[Readout, ...]:
    """All ways to read a path of this target kind out.

    Raises:
        ValueError: if the one that is asked for is not among them.
    """
    classes = target.encode_classes(torch.zeros(0, dtype=torch.long)) is not None
    ways: tuple[Readout, ...] = READOUTS if classes else ("decoder",)
    if readout not in ways:
        names = " or ".join(repr(way) for way in ways)
        raise ValueError(f"Expected `readout` to be {names} for a {type(target).__name__}, but got {readout!r}.")
    return ways


def readout_names(depth: int, ways: Sequence[Readout]) -> list[str]:
    """Names of so many paths' read-outs, path by path, so that those of fewer active layers are the first."""
    return [f"{NAMES[way]}{k}" for k in range(1, depth + 1) for way in ways]
