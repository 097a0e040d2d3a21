"""Bidirectional LSTM layers over padded sequences."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from al_lightning.nn.sequence import TokenSequence


class BiLSTM(nn.Module):
    """One bidirectional LSTM layer, (B, T, D) to (B, T, 2H), equal to packed sequences, from zero states.

    Both directions run as dense kernels: the backward one reads each text reversed within its own length, so that
    padding comes last for both and nothing of it reaches a token. Packed sequences have no such kernels on a CPU, and
    cannot be exported.

    Args:
        inputs: D.
        hidden: H of each direction.
        dropout: share of output features that training sets to zero.
    """

    def __init__(self, inputs: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.forwards = nn.LSTM(inputs, hidden, batch_first=True)
        self.backwards = nn.LSTM(inputs, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: TokenSequence) -> TokenSequence:
        """Read each text in both directions."""
        features, lengths = state
        position = torch.arange(features.shape[1], device=features.device)
        last = lengths.unsqueeze(1) - 1
        mirrored = torch.where(position <= last, last - position, position).unsqueeze(-1)
        ahead = _recur(self.forwards, features)
        back = _recur(self.backwards, _reorder(features, mirrored))
        return TokenSequence(self.dropout(torch.cat([ahead, _reorder(back, mirrored)], -1)), lengths)


def _recur(lstm: nn.LSTM, features: Tensor) -> Tensor:
    if features.device.type != "cpu":
        return cast(Tensor, lstm(features)[0])
    with torch.autocast("cpu", enabled=False):  # few processors have a recurrence in half precision; others raise
        return cast(Tensor, lstm(features.to(cast(Tensor, lstm.weight_ih_l0)))[0])


def _reorder(features: Tensor, order: Tensor) -> Tensor:
    return features.gather(1, order.expand(-1, -1, features.shape[-1]))
