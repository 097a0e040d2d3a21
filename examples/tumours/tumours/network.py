"""A gated network on vectors, by Associated Learning and by backpropagation on the same trunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from al_lightning import ALModule, ALOptions, BPModule, BPOptions, to_al_layers


class GatedBlock(nn.Module):
    """``y = dropout(a * sigmoid(c))`` with ``(a, c) = norm(W x)``; where x is as wide as y, ``x + y``.

    Args:
        in_features: D, width of x.
        out_features: D', width of y.
        dropout: share of y that is set to 0 in training.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2 * out_features, bias=False)
        self.norm = nn.BatchNorm1d(2 * out_features)
        self.gate = nn.GLU()
        self.dropout = nn.Dropout(dropout)
        self.shortcut = in_features == out_features

    def forward(self, x: Tensor) -> Tensor:
        """From (B, D) to (B, D')."""
        y: Tensor = self.dropout(self.gate(self.norm(self.linear(x))))
        return x + y if self.shortcut else y


def trunk(in_features: int, width: int, depth: int, dropout: float) -> list[nn.Module]:
    """The blocks of both siblings.

    Args:
        in_features: D, how many measurements a row has.
        width: of every block.
        depth: how many blocks there are.
        dropout: see :class:`GatedBlock`.
    """
    return [GatedBlock(in_features if k == 0 else width, width, dropout) for k in range(depth)]


class TumourAL(ALModule):
    """The blocks by Associated Learning: each with losses and an optimizer of its own.

    Args:
        num_classes: K.
        in_features: D, how many measurements a row has.
        width: of every block.
        depth: L, how many blocks, and so AL layers, there are.
        dropout: see :class:`GatedBlock`.
        target_dim: N, width of every encoded target.
        options: see :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int,
        in_features: int,
        *,
        width: int = 64,
        depth: int = 3,
        dropout: float = 0.2,
        target_dim: int = 32,
        **options: Unpack[ALOptions],
    ) -> None:
        blocks = trunk(in_features, width, depth, dropout)
        layers = to_al_layers(blocks, num_classes, example_input=torch.zeros(2, in_features), target_dim=target_dim)
        super().__init__(layers, num_classes, **options)


class TumourBP(BPModule):
    """The same blocks and one Linear, end to end.

    Args:
        num_classes: K.
        in_features: D, how many measurements a row has.
        width: of every block.
        depth: how many blocks there are.
        dropout: see :class:`GatedBlock`.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int,
        in_features: int,
        *,
        width: int = 64,
        depth: int = 3,
        dropout: float = 0.2,
        **options: Unpack[BPOptions],
    ) -> None:
        network = nn.Sequential(*trunk(in_features, width, depth, dropout), nn.Linear(width, num_classes))
        super().__init__(network, num_classes, **options)
