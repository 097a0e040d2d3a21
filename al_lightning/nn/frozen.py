"""Encoders that stay as they are, such as pretrained ones."""

from __future__ import annotations

from typing import Any

from torch import nn
from typing_extensions import Self


class FrozenEncoder(nn.Module):
    """An encoder whose weights are not trained and which is always in evaluation mode.

    Batch norm uses and keeps the statistics that it has, dropout does nothing. Its layer still learns a bridge, a
    target encoder and a target decoder.

    Args:
        encoder: what is frozen, in place.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()

    def forward(self, s: Any) -> Any:
        """What the encoder returns."""
        return self.encoder(s)

    def train(self, mode: bool = True) -> Self:
        """Change the mode of the wrapper alone."""
        self.training = mode
        return self
