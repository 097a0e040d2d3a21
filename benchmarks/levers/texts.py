"""The Bi-LSTM by AL with other bridges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

import al_lightning as al
from al_lightning.modules.options import TextOptions
from al_lightning.nn.sequence import Pool, TokenSequence, valid_positions
from al_lightning.nn.vocabulary import Vocabulary


class WindowBridge(nn.Module):
    """A bridge that reads words together with their neighbours: a convolution over them, then its maximum.

    Args:
        features: D of the sequence (B, T, D).
        target_dim: N.
        window: tokens that a filter sees; odd.
        filters: how many there are.
    """

    def __init__(self, features: int, target_dim: int, window: int = 3, filters: int = 128) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(features, filters, window, padding=window // 2)
        self.linear = nn.Linear(filters, target_dim)

    def forward(self, state: TokenSequence) -> Tensor:
        """Padding is silent in the convolution and in the maximum."""
        own = valid_positions(state)
        seen = self.convolution(state.features.masked_fill(~own.unsqueeze(-1), 0).transpose(1, 2))
        strongest = F.elu(seen).masked_fill(~own.unsqueeze(1), -1).amax(-1)
        scores: Tensor = self.linear(strongest)
        return scores


class ManyPools(nn.Module):
    """A bridge that reads the final states of a Bi-LSTM beside the maximum of every feature over the text.

    Args:
        features: D of the sequence (B, T, D).
        target_dim: N.
    """

    def __init__(self, features: int, target_dim: int) -> None:
        super().__init__()
        self.final = Pool("final")
        self.linear = nn.Linear(2 * features, target_dim)

    def forward(self, state: TokenSequence) -> Tensor:
        """From a sequence (B, T, D) to (B, N)."""
        strongest = state.features.masked_fill(~valid_positions(state).unsqueeze(-1), -1).amax(1)
        scores: Tensor = self.linear(torch.cat([self.final(state), strongest], -1))
        return scores


class LeverLSTM(al.LSTMAL):
    """The Bi-LSTM by Associated Learning with other bridges.

    Args:
        window: whether the embedding's bridge is a :class:`WindowBridge`.
        pools: whether the bridges of the Bi-LSTM layers are :class:`ManyPools`.
        options: see :class:`~al_lightning.LSTMAL`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        vocabulary: Vocabulary | None = None,
        glove: str | None = None,
        *,
        window: bool = False,
        pools: bool = False,
        embedding_dim: int = 300,
        hidden_dims: tuple[int, ...] = (300, 300),
        dropout: float = 0.0,
        target_dim: int = 128,
        max_length: int | None = None,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(
            num_classes, None, vocabulary, glove, embedding_dim=embedding_dim, hidden_dims=hidden_dims,
            dropout=dropout, target_dim=target_dim, max_length=max_length, **options,
        )  # fmt: skip
        first, *rest = (layer for layer in self.layers if isinstance(layer, al.ALLayer))
        if window:
            first.b = WindowBridge(embedding_dim, target_dim)
        for layer, hidden in zip(rest, hidden_dims):
            if pools:
                layer.b = ManyPools(2 * hidden, target_dim)
