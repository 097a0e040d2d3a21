"""Runs modules to see what they do, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Modes, buffers and the global stream of random numbers are afterwards what they were.

    Buffers, such as the statistics of a batch norm, keep their values and are the same tensors, whether a forward
    changed them in place or put others in their place.

    Args:
        module: whose parts may be run in any mode meanwhile.
    """
    parts = list(module.modules())
    modes = [(part, part.training) for part in parts]
    buffers = [(part, name, own) for part in parts for name, own in part._buffers.items() if own is not None]
    values = [own.detach().clone() for _, _, own in buffers]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        with torch.no_grad():
            for (part, name, own), value in zip(buffers, values):
                part._buffers[name] = own
                own.copy_(value)
