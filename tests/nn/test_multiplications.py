"""Multiplications are counted whatever kernel makes them."""

from __future__ import annotations

import torch
from small_networks import Own
from torch import nn

from al_lightning.nn.multiplications import multiplications


def test_attention_is_counted_whatever_kernel_computes_it() -> None:
    """One product of queries and keys, and one with the values, for each head and pair of positions."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    got = multiplications(Own(lambda net, x: net.attention(x, x, x, need_weights=False)[0], attention=attention), x)
    assert got == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8
