"""Bridges ``b_i``: from a layer's state to the space where its encoded target lives.

The paper says that a bridge is "a linear transformation" (section 2.1); the published image code makes it a
two-layer sigmoid network on the flattened map, which holds 93 % of the CNN's training parameters and makes the
first shortcut cost as much as the whole network. Both exist here.
"""

from __future__ import annotations

from math import prod
from typing import Literal, TypeAlias

from torch import nn

BridgeKind: TypeAlias = Literal["lean", "paper"]

#: The lean bridge reads at most this many rows and columns of a feature map.
LEAN_POOL = 4


def make_bridge(kind: BridgeKind, shape: tuple[int, ...], target_dim: int) -> nn.Module:
    """Build a bridge for features of one shape.

    Args:
        kind: ``"lean"``: average-pool a map to at most 4x4, then one Linear. ``"paper"``: flatten, then
            Linear to 5 x ``target_dim``, sigmoid, Linear to ``target_dim``, sigmoid (the image recipe).
        shape: shape of one sample's features, (C, H, W) or (D,).
        target_dim: N, the width of the encoded target.

    Returns:
        A module from (B, *shape) to (B, target_dim).

    Raises:
        ValueError: if ``kind`` is unknown or ``shape`` is neither a map nor a vector.

    Example:
        >>> import torch
        >>> make_bridge("lean", (3, 32, 32), target_dim=10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    if len(shape) not in (1, 3):
        raise ValueError(
            "Expected features of shape (D,) or (C, H, W) for a bridge, "
            f"but got {shape}. Pool or flatten them at the end of the block."
        )
    if kind == "paper":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(shape), 5 * target_dim),
            nn.Sigmoid(),
            nn.Linear(5 * target_dim, target_dim),
            nn.Sigmoid(),
        )
    if kind != "lean":
        raise ValueError(f"Expected `bridge` to be 'lean' or 'paper', but got {kind!r}.")
    if len(shape) == 1:
        return nn.Linear(shape[0], target_dim)
    channels, height, width = shape
    pooled = (min(LEAN_POOL, height), min(LEAN_POOL, width))
    pool: list[nn.Module] = [] if pooled == (height, width) else [nn.AdaptiveAvgPool2d(pooled)]
    return nn.Sequential(*pool, nn.Flatten(), nn.Linear(channels * prod(pooled), target_dim))
