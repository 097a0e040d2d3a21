"""Bridges ``b_i``: from a layer's state to the space where its encoded target lives.

The paper says that a bridge is "a linear transformation" (section 2.1); the published image code makes it a
two-layer sigmoid network on the flattened map, which holds 93 % of the CNN's training parameters and makes the
first shortcut cost as much as the whole network; the pseudocode (section 6.10) and the published text code make it
a linear map with a non-linearity. All exist here.
"""

from __future__ import annotations

from math import prod
from typing import Literal, TypeAlias

from torch import nn

BridgeKind: TypeAlias = Literal["lean", "paper"]
SquashingActivation: TypeAlias = Literal["tanh", "sigmoid"]

#: Activations of target encoders, target decoders and bridges, by name.
SQUASHING: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}

#: The lean bridge reads at most this many rows and columns of a feature map.
LEAN_POOL = 4


def pooled_size(size: int, pool: int) -> int:
    """Rows (columns) to which a lean bridge pools a map of ``size`` rows: at most ``pool``, if possible a divisor.

    Windows that do not overlap are several times as fast as those that do.

    Example:
        >>> [pooled_size(size, 8) for size in (32, 28, 14, 7, 13)]
        [8, 7, 7, 7, 8]
    """
    largest = min(size, pool)
    divisor = max(n for n in range(1, largest + 1) if size % n == 0)
    return divisor if 2 * divisor > largest else largest


def check_bridge(kind: BridgeKind, activation: SquashingActivation | None, pool: int = LEAN_POOL) -> None:
    """Refuse a kind of bridge that does not exist, one that would have two activations, or one that reads nothing.

    Raises:
        ValueError: naming the argument.
    """
    if kind not in ("lean", "paper"):
        raise ValueError(f"Expected `bridge` to be 'lean' or 'paper', but got {kind!r}.")
    if pool < 1:
        raise ValueError(f"Expected `bridge_pool` to be at least 1, but got {pool}.")
    if activation is None:
        return
    if activation not in SQUASHING:
        raise ValueError(f"Expected `bridge_activation` to be 'tanh', 'sigmoid' or None, but got {activation!r}.")
    if kind == "paper":
        raise ValueError(
            "Expected `bridge_activation` to be None beside bridge='paper', which has its own activation, "
            f"but got {activation!r}. Leave it out, or set `bridge` to 'lean'."
        )


def make_bridge(
    kind: BridgeKind,
    shape: tuple[int, ...],
    target_dim: int,
    activation: SquashingActivation | None = None,
    pool: int = LEAN_POOL,
) -> nn.Module:
    """Build a bridge for features of one shape.

    Args:
        kind: ``"lean"``: average-pool a map to at most ``pool`` rows and columns, then one Linear, as the text of the
            paper says.
            ``"paper"``: the published image code's: flatten, then Linear to 5 x ``target_dim``, sigmoid, Linear to
            ``target_dim``, sigmoid.
        shape: shape of one sample's features, (C, H, W) or (D,).
        target_dim: N, the width of the encoded target.
        activation: what follows the lean bridge's Linear: ``"tanh"``, ``"sigmoid"`` (section 6.10) or nothing.
        pool: rows and columns that a lean bridge reads at most.

    Returns:
        A module from (B, *shape) to (B, target_dim).

    Raises:
        ValueError: if ``kind`` or ``activation`` is unknown, both bring an activation, ``pool`` is below 1, or
            ``shape`` is neither a map nor a vector.

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
    check_bridge(kind, activation, pool)
    if kind == "paper":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(shape), 5 * target_dim),
            nn.Sigmoid(),
            nn.Linear(5 * target_dim, target_dim),
            nn.Sigmoid(),
        )
    squash = [] if activation is None else [SQUASHING[activation]()]
    if len(shape) == 1:
        linear = nn.Linear(shape[0], target_dim)
        return nn.Sequential(linear, *squash) if squash else linear
    channels, height, width = shape
    pooled = (pooled_size(height, pool), pooled_size(width, pool))
    pooling: list[nn.Module] = [] if pooled == (height, width) else [nn.AdaptiveAvgPool2d(pooled)]
    return nn.Sequential(*pooling, nn.Flatten(), nn.Linear(channels * prod(pooled), target_dim), *squash)
