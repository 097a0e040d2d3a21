"""Transformer encoder layers over padded sequences."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from al_lightning.nn.sequence import TokenSequence, valid_positions
from al_lightning.nn.vocabulary import EMBEDDING_SCALE

Positions: TypeAlias = Literal["sinusoidal"]
FeedforwardActivation: TypeAlias = Literal["relu", "gelu"]


def sinusoids(length: int, dim: int, like: Tensor) -> Tensor:
    """Positional encodings (T, D): sine and cosine of ``t / 10000^(2i / D)`` (Vaswani et al., 2017, section 3.5)."""
    time = torch.arange(length, device=like.device, dtype=torch.float32).unsqueeze(1)
    even = torch.arange(0, dim, 2, device=like.device, dtype=torch.float32)
    angle = time * torch.exp(even * (-math.log(10_000) / dim))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :dim].to(like.dtype)


class EncoderLayer(nn.Module):
    """One encoder layer (torch's own) that attends to a text's own tokens only.

    Args:
        dim: D.
        heads: number of attention heads, a divisor of D.
        feedforward_dim: width of the feed-forward part.
        dropout: inside the layer, in training.
        positions: ``"sinusoidal"`` adds positional encodings to the input, at the scale that word vectors start
            from; None adds none.
        norm_first: layer norm before attention and feed-forward part (pre-norm), which leaves what comes out without
            a norm; else after each, as Vaswani et al. have it.
        activation: of the feed-forward part.

    Raises:
        ValueError: if ``activation`` is unknown.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        feedforward_dim: int,
        dropout: float,
        positions: Positions | None,
        norm_first: bool = True,
        activation: FeedforwardActivation = "gelu",
    ) -> None:
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"Expected `activation` to be 'relu' or 'gelu', but got {activation!r}.")
        self.encoder = nn.TransformerEncoderLayer(
            dim, heads, feedforward_dim, dropout, activation, batch_first=True, norm_first=norm_first
        )
        self.positions = positions

    def forward(self, state: TokenSequence) -> TokenSequence:
        """Mix the tokens of each text."""
        features, lengths = state
        if self.positions is not None:
            features = features + EMBEDDING_SCALE * sinusoids(features.shape[1], features.shape[2], features)
        return TokenSequence(self.encoder(features, src_key_padding_mask=~valid_positions(state)), lengths)
