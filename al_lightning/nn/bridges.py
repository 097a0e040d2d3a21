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


def check_bridge(kind: BridgeKind, activation: SquashingActivation | None) -> None:
    """Refuse a kind of bridge that does not exist, or one that would have two activations.

    Raises:
        ValueError: naming the argument.
    """
    if kind not in ("lean", "paper"):
        raise ValueError(f"Expected `bridge` to be 'lean' or 'paper', but got {kind!r}.")
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
    kind: BridgeKind, shape: tuple[int, ...], target_dim: int, activation: SquashingActivation | None = None
) -> nn.Module:
    """Build a bridge for features of one shape.

    Args:
        kind: ``"lean"``: average-pool a map to at most 4x4, then one Linear, as the text of the paper says.
            ``"paper"``: the published image code's: flatten, then Linear to 5 x ``target_dim``, sigmoid, Linear to
            ``target_dim``, sigmoid.
        shape: shape of one sample's features, (C, H, W) or (D,).
        target_dim: N, the width of the encoded target.
        activation: what follows the lean bridge's Linear: ``"tanh"``, ``"sigmoid"`` (section 6.10) or nothing.

    Returns:
        A module from (B, *shape) to (B, target_dim).

    Raises:
        ValueError: if ``kind`` or ``activation`` is unknown, both bring an activation, or ``shape`` is neither a map
            nor a vector.

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
    check_bridge(kind, activation)
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
    pooled = (min(LEAN_POOL, height), min(LEAN_POOL, width))
    pool: list[nn.Module] = [] if pooled == (height, width) else [nn.AdaptiveAvgPool2d(pooled)]
    return nn.Sequential(*pool, nn.Flatten(), nn.Linear(channels * prod(pooled), target_dim), *squash)
