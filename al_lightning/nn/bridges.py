"""Bridges ``b_i``: from a layer's state to the space where its encoded target lives.

The paper says that a bridge is "a linear transformation" (section 2.1); the published image code makes it a
two-layer sigmoid network on the flattened map, which holds 93 % of the CNN's training parameters and makes the
first shortcut cost as much as the whole network; the pseudocode (section 6.10) and the published text code make it
a linear map with a non-linearity. All exist here, and two that are neither linear nor huge, a dense bridge and one that
begins with a convolution: what a layer knows of the class need not lie within one linear step of its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal, TypeAlias

from torch import Tensor, nn

from al_lightning.nn.image_units import conv_unit, dense_unit

BridgeKind: TypeAlias = Literal["lean", "dense", "conv", "paper"]
SquashingActivation: TypeAlias = Literal["tanh", "sigmoid"]

#: Activations of target encoders, target decoders and bridges, by name.
SQUASHING: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}

BRIDGES: tuple[BridgeKind, ...] = ("lean", "dense", "conv", "paper")

#: All bridges but the published ones read at most this many rows and columns of a feature map.
LEAN_POOL = 4
#: Width of the hidden layer of a dense or convolutional bridge.
BRIDGE_DIM = 256


class Mean(nn.Module):
    """The mean of a sequence's features, (B, T, D) to (B, D)."""

    def forward(self, s: Tensor) -> Tensor:
        """Mean over T."""
        return s.mean(1)


def pooled_size(size: int, pool: int) -> int:
    """Rows (columns) to which a bridge pools a map of ``size`` rows: at most ``pool``, if possible a divisor.

    Windows that do not overlap are several times as fast as those that do.

    Example:
        >>> [pooled_size(size, 8) for size in (32, 28, 14, 7, 13)]
        [8, 7, 7, 7, 8]
    """
    largest = min(size, pool)
    divisor = max(n for n in range(1, largest + 1) if size % n == 0)
    return divisor if 2 * divisor > largest else largest


def check_bridge(
    kind: BridgeKind,
    activation: SquashingActivation | None,
    pool: int = LEAN_POOL,
    hidden: int | Sequence[int] = BRIDGE_DIM,
    last_hidden: Sequence[int] = (),
    kinds: Sequence[BridgeKind] = BRIDGES,
) -> None:
    """Refuse a bridge that is not one of ``kinds``, has no room for what is asked, or reads nothing.

    Raises:
        ValueError: naming the argument.
    """
    if kind not in kinds:
        *names, last = map(repr, kinds)
        raise ValueError(f"Expected `bridge` to be {', '.join(names)} or {last}, but got {kind!r}.")
    widths = [hidden] if isinstance(hidden, int) else hidden
    for name, values in (("bridge_pool", [pool]), ("bridge_dim", widths), ("last_bridge_dims", last_hidden)):
        if any(value < 1 for value in values):
            raise ValueError(f"Expected `{name}` to be at least 1, but got {', '.join(map(str, values))}.")
    if last_hidden and kind == "paper":
        raise ValueError(
            "Expected `last_bridge_dims` to be left out beside bridge='paper', which has its own hidden layers, "
            f"but got {list(last_hidden)}. Leave it out, or set `bridge` to 'lean' or 'dense'."
        )
    if activation is None:
        return
    if activation not in SQUASHING:
        raise ValueError(f"Expected `bridge_activation` to be 'tanh', 'sigmoid' or None, but got {activation!r}.")
    if kind == "paper":
        raise ValueError(
            "Expected `bridge_activation` to be None beside bridge='paper', which has its own activation, "
            f"but got {activation!r}. Leave it out, or set `bridge` to 'lean' or 'dense'."
        )


def make_bridge(
    kind: BridgeKind,
    shape: tuple[int, ...],
    target_dim: int,
    activation: SquashingActivation | None = None,
    pool: int = LEAN_POOL,
    hidden: int | Sequence[int] = BRIDGE_DIM,
) -> nn.Module:
    """Build a bridge for features of one shape.

    Args:
        kind: ``"lean"``: average-pool a map to at most ``pool`` rows and columns, then one Linear, as the text of the
            paper says. ``"dense"``: pool alike, then Linear, batch norm, ELU and Linear. ``"conv"``: a 3x3 convolution
            to twice the channels, which halves maps that are larger than ``pool``, batch norm and ELU, then as
            ``"dense"``; of vectors, ``"dense"`` alone. ``"paper"``: the published image code's: flatten, then Linear to
            5 x ``target_dim``, sigmoid, Linear to ``target_dim``, sigmoid.
        shape: shape of one sample's features: a map (C, H, W); a sequence (T, D) without padding, such as the patches
            of an image, whose mean every bridge but the published reads, behind layer norm; or a vector (D,).
        target_dim: N, the width of the encoded target.
        activation: what follows the last Linear of any bridge but the published: ``"tanh"``, ``"sigmoid"`` (section
            6.10) or nothing.
        pool: rows and columns that such a bridge reads at most.
        hidden: width of the hidden layer of a dense or convolutional bridge, or widths where there are several: each is
            a Linear with batch norm and ELU.

    Returns:
        A module from (B, ...) to (B, target_dim).

    Raises:
        ValueError: if ``kind`` or ``activation`` is unknown, both bring an activation, ``pool`` or ``hidden`` is
            below 1, or ``shape`` is neither a map nor a vector.

    Example:
        >>> import torch
        >>> make_bridge("lean", (3, 32, 32), target_dim=10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    if len(shape) not in (1, 2, 3):
        raise ValueError(
            "Expected features of shape (D,), (T, D) or (C, H, W) for a bridge, "
            f"but got {shape}. Pool or flatten them at the end of the block."
        )
    check_bridge(kind, activation, pool, hidden)
    if kind == "paper":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(shape), 5 * target_dim),
            nn.Sigmoid(),
            nn.Linear(5 * target_dim, target_dim),
            nn.Sigmoid(),
        )
    squash = [] if activation is None else [SQUASHING[activation]()]
    parts: list[nn.Module] = []
    features = shape[-1] if len(shape) == 2 else shape[0]
    if len(shape) == 2:  # Transformers may end their blocks without a norm
        parts += [Mean(), nn.LayerNorm(features)]
    if len(shape) == 3:
        channels, height, width = shape
        if kind == "conv":
            stride = 2 if max(height, width) > pool else 1
            parts += conv_unit(channels, 2 * channels, stride=stride, norm="batch", activation="elu")
            channels, height, width = 2 * channels, -(-height // stride), -(-width // stride)
        pooled = (pooled_size(height, pool), pooled_size(width, pool))
        parts += [*([] if pooled == (height, width) else [nn.AdaptiveAvgPool2d(pooled)]), nn.Flatten()]
        features = channels * prod(pooled)
    if kind in ("dense", "conv"):
        dims = [features, hidden] if isinstance(hidden, int) else [features, *hidden]
        for a, b in pairwise(dims):
            parts += dense_unit(a, b, norm="batch", activation="elu")
        features = dims[-1]
    linear = nn.Linear(features, target_dim)
    return nn.Sequential(*parts, linear, *squash) if parts or squash else linear
