"""Sequences: the state between the layers of a text network, pooling to a vector, and bridges."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from al_lightning.nn.bridges import BRIDGE_DIM, SQUASHING, BridgeKind, SquashingActivation, check_bridge
from al_lightning.nn.elu import ELU

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

    def compact(self) -> TokenSequence:
        """Without the padding that only longer texts needed which have left the batch."""
        longest = int(self.lengths.amax()) if len(self.lengths) else 0
        return TokenSequence(self.features[:, :longest], self.lengths)


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


class PooledState(NamedTuple):
    """How a sequence becomes the vector that a bridge or a head reads.

    Attributes:
        pooling: how its features are pooled.
        features: D, how many there are.
        norm: whether layer norm follows, for sequences that end without one, such as a pre-norm Transformer's.
    """

    pooling: Pooling
    features: int
    norm: bool = False

    def modules(self) -> list[nn.Module]:
        """From a sequence (B, T, D) to the vector (B, D)."""
        return [Pool(self.pooling), *([nn.LayerNorm(self.features)] if self.norm else [])]


def sequence_bridge(
    kind: BridgeKind, state: PooledState, target_dim: int, activation: SquashingActivation | None = None
) -> nn.Module:
    """Pool a sequence to a vector and project it.

    Args:
        kind: ``"lean"``: one Linear, as the text of the paper says (section 2.1). ``"paper"``: with tanh after it, as
            in the published text code. ``"dense"``: Linear, layer norm, ELU and Linear.
        state: how the sequence becomes a vector.
        target_dim: N, the width of the encoded target.
        activation: what follows the last Linear of a lean or dense bridge: ``"tanh"``, ``"sigmoid"`` or nothing.

    Returns:
        A module from a :class:`TokenSequence` to (B, target_dim).

    Raises:
        ValueError: if ``kind`` or ``activation`` is unknown or is not one for sequences, or both bring an activation.
    """
    check_bridge(kind, activation, kinds=("lean", "dense", "paper"))  # a convolution reads images
    squash = "tanh" if kind == "paper" else activation
    features, hidden = state.features, list[nn.Module]()
    if kind == "dense":
        hidden = [nn.Linear(features, BRIDGE_DIM), nn.LayerNorm(BRIDGE_DIM), ELU()]
        features = BRIDGE_DIM
    linear = nn.Linear(features, target_dim)
    return nn.Sequential(*state.modules(), *hidden, linear, *([] if squash is None else [SQUASHING[squash]()]))
