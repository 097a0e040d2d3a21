"""The paper's vanilla CNN: 13 hidden layers, the first 8 of them convolutions (section 6.6)."""

from __future__ import annotations

import functools
from typing import Literal

from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.converted import ConvertedAL, ConvertedBP
from al_lightning.modules.options import BPOptions, ImageOptions
from al_lightning.nn.image_units import Activation, Norm, check_image, conv_unit, dense_head, initialise

#: (channels, stride) of the 8 convolutions.
CONVOLUTIONS = ((32, 1), (32, 1), (32, 1), (32, 2), (64, 1), (64, 1), (64, 1), (64, 2))
#: "the last is flattened to a fully connected layer with 1280 neurons. The subsequent layers consist of 4
#: feedforward layers, followed by an output layer" (section 6.6); their width is the target dim.
HEAD = (1280, 256, 256, 256, 256)


def cnn_blocks(
    in_channels: int, image_size: int, *, norm: Norm | None, activation: Activation, cuts: Literal[4, 8] = 4
) -> list[nn.Module]:
    """The trunk of both siblings, (B, C, H, W) to (B, 64, H/4, W/4).

    Args:
        in_channels: C.
        image_size: H = W, a multiple of 4.
        norm: ``"batch"`` or None.
        activation: after every convolution.
        cuts: number of blocks: 4 of two convolutions, or 8 of one.

    Returns:
        The blocks, in order.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if cuts not in (4, 8):
        raise ValueError(f"Expected `cuts` to be 4 or 8, but got {cuts}.")
    check_image(in_channels, image_size, multiple=4)
    units, inputs = [], in_channels
    for channels, stride in CONVOLUTIONS:
        units.append(conv_unit(inputs, channels, stride=stride, norm=norm, activation=activation))
        inputs = channels
    per_block = len(units) // cuts
    groups = [units[i : i + per_block] for i in range(0, len(units), per_block)]
    blocks: list[nn.Module] = [nn.Sequential(*(part for unit in group for part in unit)) for group in groups]
    initialise(*blocks)
    return blocks


class CNNAL(ConvertedAL):
    """The paper's CNN by Associated Learning.

    With ``norm=None``, ``bridge="paper"`` and 32x32x3 images it is the published network: 80,518,122 parameters
    in training, 5,929,962 on the full inference path. Strided convolutions pad both sides by one.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 4.
        cuts: AL layers: 4 of two convolutions, or 8 of one.
        norm: ``"batch"`` or None.
        activation: after every convolution; published: ``"elu"``.
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
        target_dim: int = 256,
        **options: Unpack[ImageOptions],
    ) -> None:
        blocks = cnn_blocks(in_channels, image_size, norm=norm, activation=activation, cuts=cuts)
        super().__init__(blocks, num_classes, in_channels, image_size, target_dim=target_dim, **options)


class CNNBP(ConvertedBP):
    """The paper's CNN by backpropagation; ``norm=None, activation="relu"`` is the published one (5,929,962).

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 4.
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
        blocks = cnn_blocks(in_channels, image_size, norm=norm, activation=activation)
        dims = [CONVOLUTIONS[-1][0] * (image_size // 4) ** 2, *HEAD]
        head = functools.partial(dense_head, dims, norm=norm, activation=activation)
        super().__init__(blocks, head, num_classes, in_channels, image_size, **options)
