"""The paper's VGG: six convolutions, four poolings (section 6.6; layer table of the published code)."""

from __future__ import annotations

import functools
from typing import Literal

from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.converted import ConvertedAL, ConvertedBP
from al_lightning.modules.options import BPOptions, ImageOptions
from al_lightning.nn.image_units import (
    Activation,
    Norm,
    check_image,
    conv_unit,
    dense_head,
    dense_unit,
    initialise,
)

#: (channels, whether a 2x2 max-pooling follows) of the 6 convolutions.
CONVOLUTIONS = ((128, False), (256, True), (256, False), (512, True), (512, True), (512, True))
#: Hidden layers of the backprop sibling's head.
HEAD = (1500, 300, 300, 300, 300)
#: Width of the two dense layers that are the last AL layer.
AL_DENSE = 1024


def vgg_blocks(
    in_channels: int, image_size: int, *, norm: Norm | None, activation: Activation, cuts: Literal[4, 8] = 4
) -> list[nn.Module]:
    """The trunk of both siblings, (B, C, H, W) to (B, 512, H/16, W/16).

    Args:
        in_channels: C.
        image_size: H = W, a multiple of 16.
        norm: ``"batch"`` or None.
        activation: after every convolution.
        cuts: AL layers of the whole network: 4 with two convolutions per block, or 8 with one.

    Returns:
        The blocks, in order.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if cuts not in (4, 8):
        raise ValueError(f"Expected `cuts` to be 4 or 8, but got {cuts}.")
    check_image(in_channels, image_size, multiple=16)
    units, inputs = [], in_channels
    for channels, pooled in CONVOLUTIONS:
        unit = conv_unit(inputs, channels, norm=norm, activation=activation)
        units.append([*unit, nn.MaxPool2d(2)] if pooled else unit)
        inputs = channels
    per_block = 8 // cuts
    groups = [units[i : i + per_block] for i in range(0, len(units), per_block)]
    blocks: list[nn.Module] = [nn.Sequential(*(part for unit in group for part in unit)) for group in groups]
    initialise(*blocks)
    return blocks


def _features(image_size: int) -> int:
    return CONVOLUTIONS[-1][0] * (image_size // 16) ** 2


def vgg_dense(image_size: int, *, norm: Norm | None, activation: Activation, cuts: Literal[4, 8]) -> list[nn.Module]:
    """What follows the trunk under AL: two dense layers of 1024 units, as one block or as two."""
    first = [nn.Flatten(), *dense_unit(_features(image_size), AL_DENSE, norm=norm, activation=activation)]
    second = dense_unit(AL_DENSE, AL_DENSE, norm=norm, activation=activation)
    blocks: list[nn.Module] = (
        [nn.Sequential(*first, *second)] if cuts == 4 else [nn.Sequential(*first), nn.Sequential(*second)]
    )
    initialise(*blocks)
    return blocks


class VGGAL(ConvertedAL):
    """The paper's VGG by Associated Learning; its last AL layer is two dense layers of 1024.

    With ``norm=None`` and ``bridge="paper"`` it is the published network: about 164.36 M parameters in training,
    12.20 M on the full inference path. 28x28 images must be padded to 32x32 (our choice: the published layer
    table has no reading for 28).

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 16.
        cuts: AL layers: 4, or 8 of one convolution or dense layer each.
        norm: ``"batch"`` or None.
        activation: after every hidden layer; published: ``"elu"``.
        target_dim: N, width of every encoded target.
        options: see :class:`~al_lightning.ConvertedAL` and :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        cuts: Literal[4, 8] = 4,
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        target_dim: int = 300,
        **options: Unpack[ImageOptions],
    ) -> None:
        blocks = vgg_blocks(in_channels, image_size, norm=norm, activation=activation, cuts=cuts)
        blocks += vgg_dense(image_size, norm=norm, activation=activation, cuts=cuts)
        super().__init__(blocks, num_classes, in_channels, image_size, target_dim=target_dim, **options)


class VGGBP(ConvertedBP):
    """The paper's VGG by backpropagation; ``activation="relu"`` is the published one (10.60 M parameters).

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 16.
        norm: ``"batch"`` or None, in trunk and head.
        activation: after every hidden layer.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        **options: Unpack[BPOptions],
    ) -> None:
        blocks = vgg_blocks(in_channels, image_size, norm=norm, activation=activation)
        head = functools.partial(dense_head, [_features(image_size), *HEAD], norm=norm, activation=activation)
        super().__init__(blocks, head, num_classes, in_channels, image_size, **options)
