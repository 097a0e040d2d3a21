"""Random numbers that depend on who draws them and when, not on what was drawn before.

A layer's dropout must not depend on how many numbers other layers or ranks drew, else a pipeline, a resumed run
or a second process would train another network. Augmentation must not depend on the order of the batches.

Every stream of random numbers is named by its :class:`Purpose` first. Two purposes that shared a stream would be
dependent on each other: label noise, say, would fall on the samples that an epoch shows first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from enum import IntEnum, unique

import torch
from torch import Tensor


def given_seed() -> int | None:
    """The seed that ``seed_everything`` was given, if it was."""
    value = os.environ.get("PL_GLOBAL_SEED")
    return None if value is None else int(value)


@unique
class Purpose(IntEnum):
    """What random numbers are drawn for: the first coordinate of every stream.

    Results depend on the numbers: a new purpose takes a new one, and none is used again.
    """

    #: Which samples are tested, in a set that has no test split of its own.
    TEST_SPLIT = 1
    #: Which training samples are used, if not all are.
    TRAINING_SUBSET = 2
    #: Which training samples validate.
    VALIDATION_SPLIT = 3
    #: Which labels are redrawn, and as what.
    LABEL_NOISE = 4
    #: The order of the samples in an epoch, and which of them make a batch.
    ORDER = 5
    #: What a loader hands to its worker processes.
    LOADER = 6
    #: How training images are changed.
    AUGMENTATION = 7
    #: What layers draw in training, such as dropout.
    LAYER = 8


def derive_seed(purpose: Purpose, *coordinates: int) -> int:
    """One 63-bit seed out of a purpose and integers, by a hash (BLAKE2b) of all of them.

    Args:
        purpose: what the random numbers are for.
        *coordinates: integers of any size that name the stream, such as (seed, epoch).

    Returns:
        A seed that differs if the purpose, a coordinate or the number of coordinates differs.

    Raises:
        TypeError: if ``purpose`` is a plain number.

    Example:
        >>> derive_seed(Purpose.ORDER, 7, 0) == derive_seed(Purpose.ORDER, 7, 0)
        True
        >>> derive_seed(Purpose.ORDER, 7, 1) == derive_seed(Purpose.LABEL_NOISE, 7, 1)
        False
    """
    if not isinstance(purpose, Purpose):
        raise TypeError(f"Expected `purpose` to be a `Purpose`, but got {purpose!r}. Name what the numbers are for.")
    name = ",".join(str(int(number)) for number in (purpose, *coordinates))
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


@contextlib.contextmanager
def fork(purpose: Purpose, device: torch.device, *coordinates: int) -> Iterator[None]:
    """Draw everything inside from a stream of its own; outside, nothing has happened.

    Args:
        purpose: what is drawn inside.
        device: where the draws happen; its stream is forked beside the CPU's.
        *coordinates: integers that name the stream, such as (seed, rank, layer, batch).
    """
    if device.type not in ("cpu", "cuda"):
        with torch.random.fork_rng(device_type=device.type):
            torch.manual_seed(derive_seed(purpose, *coordinates))
            yield
        return
    # By hand: `fork_rng` costs as much as a small layer.
    seed, before = derive_seed(purpose, *coordinates), torch.default_generator.get_state()
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


def uniform(purpose: Purpose, draws: int, index: Tensor, *coordinates: int) -> Tensor:
    """Uniform numbers in [0, 1) that depend only on the sample and the coordinates.

    Args:
        purpose: what the numbers are for.
        draws: D, how many numbers each sample gets.
        index: (B,) int64, the samples' numbers in their data set.
        *coordinates: integers that name the stream, such as (seed, epoch).

    Returns:
        (B, D) float32 on the device of ``index``; the same on every device.
    """
    step = -7046029254386353131  # the golden gamma of splitmix64
    stream = _mix(index.long() * step + derive_seed(purpose, *coordinates))
    counter = torch.arange(1, draws + 1, device=index.device) * step
    bits = _mix(stream.unsqueeze(1) + counter)
    return ((bits >> 40) & ((1 << 24) - 1)).float() / (1 << 24)
