"""ResNet-20/32 for small images (He et al., CVPR 2016, section 4.2), an extra of the 2021 AL paper."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from al_lightning.modules.converted import ConvertedAL, ConvertedBP
from al_lightning.modules.options import BPOptions, ImageOptions
from al_lightning.nn.image_units import Activation, Norm, activate, check_image, conv_unit, initialise, linear_head

#: Channels of the three stages; the second and third halve the map.
STAGES = (16, 32, 64)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a parameter-free shortcut (option A: subsample, pad channels with zeros)."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, norm: Norm | None, activation: Activation) -> None:
        super().__init__()
        bias = norm is None  # batch norm brings its own
        first = conv_unit(inputs, outputs, stride=stride, bias=bias, norm=norm, activation=activation)
        second = conv_unit(outputs, outputs, bias=bias, norm=norm, activation=activation)[:-1]
        self.residual = nn.Sequential(*first, *second)
        self.stride = stride
        self.new_channels = outputs - inputs
        self.activation = activate(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        out: Tensor = self.activation(self.residual(x) + shortcut)
        return out


def resnet_blocks(
    in_channels: int,
    image_size: int,
    *,
    depth: int,
    norm: Norm | None,
    activation: Activation,
    cuts: Literal["stage", "block"] = "stage",
) -> list[nn.Module]:
    """The trunk of both siblings, (B, C, H, W) to (B, 64, H/4, W/4); the stem belongs to the first block.

    Args:
        in_channels: C.
        image_size: H = W, a multiple of 4.
        depth: 6n + 2 weight layers.
        norm: ``"batch"`` or None.
        activation: after every convolution and every sum.
        cuts: one block a ``"stage"`` (3) or one a residual ``"block"`` (3n).

    Returns:
        The blocks, in order.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_image(in_channels, image_size, multiple=4)
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"Expected `depth` to be 6n + 2, such as 20 or 32, but got {depth}.")
    if cuts not in ("stage", "block"):
        raise ValueError(f"Expected `cuts` to be 'stage' or 'block', but got {cuts!r}.")
    per_stage = (depth - 2) // 6
    residual: list[nn.Module] = []
    inputs = STAGES[0]
    for stage, channels in enumerate(STAGES):
        for position in range(per_stage):
            stride = 2 if stage > 0 and position == 0 else 1
            residual.append(ResidualBlock(inputs, channels, stride, norm=norm, activation=activation))
            inputs = channels
    size = per_stage if cuts == "stage" else 1
    stem = conv_unit(in_channels, STAGES[0], bias=norm is None, norm=norm, activation=activation)
    groups = [residual[i : i + size] for i in range(0, len(residual), size)]
    blocks: list[nn.Module] = [nn.Sequential(*(stem if i == 0 else []), *g) for i, g in enumerate(groups)]
    initialise(*blocks)
    return blocks


def _pooled_linear(width: int) -> nn.Module:
    """Global average pooling and one Linear."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear_head(STAGES[-1], width))


class ResNetAL(ConvertedAL):
    """ResNet-20/32 by Associated Learning.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 4.
        depth: 6n + 2 weight layers, such as 20 or 32.
        cuts: one AL layer a ``"stage"`` (3) or one a residual ``"block"`` (9 for ResNet-20).
        norm: ``"batch"`` or None.
        activation: after every convolution and every sum.
        target_dim: N, width of every encoded target.
        options: see :class:`~al_lightning.ConvertedAL` and :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        depth: int = 20,
        cuts: Literal["stage", "block"] = "stage",
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        target_dim: int = 128,
        **options: Unpack[ImageOptions],
    ) -> None:
        blocks = resnet_blocks(in_channels, image_size, depth=depth, norm=norm, activation=activation, cuts=cuts)
        super().__init__(blocks, num_classes, in_channels, image_size, target_dim=target_dim, **options)


class ResNetBP(ConvertedBP):
    """ResNet-20/32 by backpropagation: the same trunk, global average pooling and one Linear.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 4.
        depth: 6n + 2 weight layers, such as 20 or 32.
        norm: ``"batch"`` or None.
        activation: after every convolution and every sum.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        depth: int = 20,
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        **options: Unpack[BPOptions],
    ) -> None:
        blocks = resnet_blocks(in_channels, image_size, depth=depth, norm=norm, activation=activation)
        super().__init__(blocks, _pooled_linear, num_classes, in_channels, image_size, **options)
