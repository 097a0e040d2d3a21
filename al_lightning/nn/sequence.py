"""Sequences: the state between the layers of a text network, pooling to a vector, and bridges."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from al_lightning.nn.bridges import BridgeKind

#: How a sequence becomes the vector that a bridge reads.
Pooling: TypeAlias = Literal["mean", "final"]


class Tokens(NamedTuple):
    """What a text network reads.

    ``tokens`` (B, T) int64, right-padded with 0; ``lengths`` (B,) int64, how many tokens each text has. Whoever pads a
    batch knows its lengths, so that nobody has to count padding.
    """

    tokens: Tensor
    lengths: Tensor


class TokenSequence(NamedTuple):
    """State between the layers of a text network.

    ``features`` (B, T, D) float; ``lengths`` (B,) int64, at least 1: what stands behind them is padding, is never
    read, and need not be zero.
    """

    features: Tensor
    lengths: Tensor


def valid_positions(state: TokenSequence) -> Tensor:
    """(B, T) bool, True where a text has a token."""
    return torch.arange(state.features.shape[1], device=state.lengths.device) < state.lengths.unsqueeze(1)


class Pool(nn.Module):
    """From a sequence (B, T, D) to one vector (B, D).

    Args:
        kind: ``"mean"``: of the text's own tokens. ``"final"``: the last states of both directions of a
            bidirectional recurrent layer, which stand at its last and at its first token.
    """

    def __init__(self, kind: Pooling) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, state: TokenSequence) -> Tensor:
        """Read the text's own tokens only."""
        features, lengths = state
        if self.kind == "mean":
            own = features.masked_fill(~valid_positions(state).unsqueeze(-1), 0)
            return own.sum(1) / lengths.unsqueeze(1).to(own.dtype)
        half = features.shape[-1] // 2
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, half)
        return torch.cat([features[..., :half].gather(1, last).squeeze(1), features[:, 0, half:]], -1)


def sequence_bridge(kind: BridgeKind, pooling: Pooling, features: int, target_dim: int) -> nn.Module:
    """Pool a sequence to a vector and project it: Linear (``"lean"``), with tanh after it (``"paper"``).

    Raises:
        ValueError: if ``kind`` is neither.
    """
    if kind not in ("lean", "paper"):
        raise ValueError(f"Expected `bridge` to be 'lean' or 'paper', but got {kind!r}.")
    squash: list[nn.Module] = [nn.Tanh()] if kind == "paper" else []
    return nn.Sequential(Pool(pooling), nn.Linear(features, target_dim), *squash)
