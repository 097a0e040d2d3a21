"""Inference along the paths of a stack of AL layers (paper, Algorithm 3), and early exits from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from al_lightning.nn.layer import ALLayer
from al_lightning.nn.state import State, select


def decode(layers: Sequence[ALLayer], association: Tensor) -> Tensor:
    """``h_k .. h_1``: from ``b_k(s_k)``, (B, target_dim), to scores (B, width)."""
    for layer in reversed(layers):
        association = layer.h(association)
    return association


class InferencePath(nn.Module):
    """What inference of path length k computes: ``x -> f_1 .. f_k -> b_k -> h_k .. h_1 -> scores``.

    It holds the modules that it uses and no others: no g, and one bridge. So its parameters are those of inference.

    Args:
        layers: the first k AL layers, from the input upwards; at least one.

    Example:
        >>> layer = ALLayer(f=nn.Linear(6, 8), b=nn.Linear(8, 5), g=nn.Linear(4, 5), h=nn.Linear(5, 4))
        >>> path = InferencePath([layer])
        >>> path(torch.zeros(3, 6)).shape, path.parameter_count()
        (torch.Size([3, 4]), 125)
    """

    def __init__(self, layers: Sequence[ALLayer]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(layer.f for layer in layers)
        self.bridge = layers[-1].b
        self.decoders = nn.ModuleList(layer.h for layer in reversed(layers))

    def forward(self, x: State) -> Tensor:
        """Scores (B, width) of an input (B, ...)."""
        s = x
        for f in self.encoders:
            s = f(s)
        t: Tensor = self.bridge(s)
        for h in self.decoders:
            t = h(t)
        return t

    def parameter_count(self) -> int:
        """Number of parameters that inference uses."""
        return sum(p.numel() for p in self.parameters())


def all_paths(layers: Sequence[ALLayer], x: State) -> Iterator[tuple[State, Tensor]]:
    """Walk up the layers once and read every path on the way.

    Args:
        layers: all AL layers, from the input upwards.
        x: the input, (B, ...).

    Yields:
        The state ``s_k`` and the scores (B, width) of path k.
    """
    s = x
    for k, layer in enumerate(layers, 1):
        s = layer.f(s)
        yield s, decode(layers[:k], layer.b(s))


def exit_early(layers: Sequence[ALLayer], x: State, sure: Callable[[Tensor, int], Tensor]) -> tuple[Tensor, Tensor]:
    """Let each sample leave at the first path that is sure of it; the rest goes on as a smaller batch.

    Args:
        layers: all AL layers, in evaluation mode.
        x: the input, (B, ...).
        sure: from scores (B', width) and path length k to (B',) bool, which samples leave.

    Returns:
        Scores (B, width) and the path length that made them, (B,) int64.
    """
    s, depth = x, len(layers)
    scores = left = exits = torch.empty(0)
    for k, layer in enumerate(layers, 1):
        s = layer.f(s)
        path = decode(layers[:k], layer.b(s))
        if k == 1:
            scores = torch.empty_like(path)
            left = torch.arange(len(path), device=path.device)
            exits = torch.full_like(left, depth)
        leaves = sure(path, k) if k < depth else torch.ones_like(left, dtype=torch.bool)
        scores[left[leaves]] = path[leaves]
        exits[left[leaves]] = k
        if bool(leaves.all()):
            break
        left, s = left[~leaves], select(s, ~leaves)
    return scores, exits
