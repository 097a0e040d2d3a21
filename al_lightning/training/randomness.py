"""Random numbers that depend on who draws them and when, not on what was drawn before.

A layer's dropout must not depend on how many numbers other layers or ranks drew, else a pipeline, a resumed run
or a second process would train another network. Augmentation must not depend on the order of the batches.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def given_seed() -> int | None:
    """The seed that ``seed_everything`` was given, if it was."""
    value = os.environ.get("PL_GLOBAL_SEED")
    return None if value is None else int(value)


def derive_seed(*coordinates: int) -> int:
    """One 63-bit seed out of several non-negative integers (numpy's ``SeedSequence``).

    Example:
        >>> derive_seed(7, 0, 1) == derive_seed(7, 0, 1), derive_seed(7, 0, 1) == derive_seed(7, 1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(coordinates).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextlib.contextmanager
def fork(device: torch.device, *coordinates: int) -> Iterator[None]:
    """Draw everything inside from a stream of its own; outside, nothing has happened.

    Args:
        device: where the draws happen; its stream is forked beside the CPU's.
        *coordinates: non-negative integers that name the stream, such as (seed, rank, layer, batch).
    """
    if device.type not in ("cpu", "cuda"):
        with torch.random.fork_rng(device_type=device.type):
            torch.manual_seed(derive_seed(*coordinates))
            yield
        return
    # By hand: `fork_rng` costs as much as a small layer.
    seed, before = derive_seed(*coordinates), torch.default_generator.get_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        torch.default_generator.manual_seed(seed)
        if on_device is not None:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
    finally:
        torch.default_generator.set_state(before)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)


def _mix(x: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele et al., OOPSLA 2014) on int64, whose products wrap around."""
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def uniform(draws: int, index: Tensor, *coordinates: int) -> Tensor:
    """Uniform numbers in [0, 1) that depend only on the sample and the coordinates.

    Args:
        draws: D, how many numbers each sample gets.
        index: (B,) int64, the samples' numbers in their data set.
        *coordinates: non-negative integers such as (seed, epoch).

    Returns:
        (B, D) float32 on the device of ``index``; the same on every device.
    """
    step = -7046029254386353131  # the golden gamma of splitmix64
    stream = _mix(index.long() * step + derive_seed(*coordinates))
    counter = torch.arange(1, draws + 1, device=index.device) * step
    bits = _mix(stream.unsqueeze(1) + counter)
    return ((bits >> 40) & ((1 << 24) - 1)).float() / (1 << 24)
