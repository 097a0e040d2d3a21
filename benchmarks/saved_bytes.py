"""What autograd keeps for backward, counted; and the form of BP that keeps less of it."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class _Saved:
    """What autograd holds instead of a tensor; it dies when the graph lets go."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class SavedBytes:
    """Counts the bytes of all distinct storages that autograd keeps, now and at the peak."""

    def __init__(self, module: nn.Module) -> None:
        own = [*module.parameters(), *module.buffers()]
        self._own = {tensor.untyped_storage().data_ptr() for tensor in own}
        self._references: Counter[int] = Counter()
        self.now = self.peak = 0

    def pack(self, tensor: Tensor) -> _Saved | Tensor:
        """What is kept in a tensor's place, counted until it is let go."""
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key in self._own:
            return tensor
        if self._references[key] == 0:
            self.now += size
            self.peak = max(self.peak, self.now)
        self._references[key] += 1
        saved = _Saved(tensor)
        weakref.finalize(saved, self._release, key, size)
        return saved

    def _release(self, key: int, size: int) -> None:
        self._references[key] -= 1
        if self._references[key] == 0:
            self.now -= size

    @staticmethod
    def _unpack(saved: _Saved | Tensor) -> Tensor:
        return saved.tensor if isinstance(saved, _Saved) else saved

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what is saved inside."""
        with torch.autograd.graph.saved_tensors_hooks(self.pack, self._unpack):
            yield


class Checkpointed(nn.Module):
    """A BP network that keeps only what enters its segments, and computes the rest again in backward.

    Args:
        segments: the trunk, in order; checkpointed one by one. Batch norm sees each batch twice.
        head: the rest, kept as it is.
    """

    def __init__(self, segments: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.segments = nn.ModuleList(segments)
        self.head = head

    def forward(self, x: Any) -> Tensor:
        """Scores (B, num_classes)."""
        for segment in self.segments:
            x = checkpoint(segment, x, use_reentrant=False)
        scores: Tensor = self.head(x)
        return scores

    def recomputed_bytes(self, x: Any) -> int:
        """Peak bytes kept in backward of an input: those of the segment computed again, and what the others wait with.

        Backward comes to a segment when the head and all segments above are done with theirs.
        """
        peak, waiting = 0, []
        for segment in self.segments:
            x = _leaves(x)
            waiting += _tensors(x)
            count = SavedBytes(self)
            inputs = [count.pack(tensor) for tensor in waiting]
            with count.counting():
                x = segment(x)
            peak = max(peak, count.peak)
            del inputs
        return peak


def _tensors(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [part for part in state if isinstance(part, Tensor)]


def _leaves(state: Any) -> Any:
    """A state without its graph, which learns its gradient, as a checkpointed segment's own input does."""
    if isinstance(state, Tensor):
        return state.detach().requires_grad_(state.is_floating_point())
    return type(state)(*map(_leaves, state))
