"""The paper's VGG: six convolutions, four poolings (section 6.6; layer table of the published code)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.al import ALModule, ALOptions
from al_lightning.modules.bp import BPModule, BPOptions
from al_lightning.nn.bridges import BridgeKind
from al_lightning.nn.convert import TargetActivation, to_al_layers
from al_lightning.nn.image_units import (
    Activation,
    Norm,
    check_image,
    conv_unit,
    dense_head,
    dense_unit,
    initialise,
)
from al_lightning.nn.layer import ReconstructionLoss

#: (channels, whether a 2x2 max-pooling follows) of the 6 convolutions.
CONVOLUTIONS = ((128, False), (256, True), (256, False), (512, True), (512, True), (512, True))
#: Hidden layers of the backprop sibling's head.
HEAD = (1500, 300, 300, 300, 300)
#: Width of the two dense layers that are the last AL layer.
AL_DENSE = 1024


def vgg_blocks(
    in_channels: int, image_size: int, *, norm: Norm | None, activation: Activation, per_block: Literal[1, 2] = 2
) -> list[nn.Module]:
    """The trunk of both siblings, (B, C, H, W) to (B, 512, H/16, W/16).

    Args:
        in_channels: C.
        image_size: H = W, a multiple of 16.
        norm: ``"batch"`` or None.
        activation: after every convolution.
        per_block: convolutions in a block.

    Returns:
        The blocks, in order.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_image(in_channels, image_size, multiple=16)
    units, inputs = [], in_channels
    for channels, pooled in CONVOLUTIONS:
        unit = conv_unit(inputs, channels, norm=norm, activation=activation)
        units.append([*unit, nn.MaxPool2d(2)] if pooled else unit)
        inputs = channels
    groups = [units[i : i + per_block] for i in range(0, len(units), per_block)]
    blocks: list[nn.Module] = [nn.Sequential(*(part for unit in group for part in unit)) for group in groups]
    initialise(*blocks)
    return blocks


def _features(image_size: int) -> int:
    return CONVOLUTIONS[-1][0] * (image_size // 16) ** 2


class VGGAL(ALModule):
    """The paper's VGG by Associated Learning; its last AL layer is two dense layers of 1024.

    With ``norm=None`` and ``bridge="paper"`` it is the published network: about 164.36 M parameters in training,
    12.20 M on the full inference path. 28x28 images must be padded to 32x32 (our choice: the published layer
    table has no reading for 28).

    Args:
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 16.
        cuts: AL layers: 4, or 8 of one convolution or dense layer each.
        bridge: ``"lean"`` (pool to 4x4, one Linear) or ``"paper"`` (flatten, two sigmoid layers, 5N and N).
        norm: ``"batch"`` or None.
        activation: after every hidden layer; published: ``"elu"``.
        target_dim: N, width of every encoded target.
        target_activation: of g and h; published: ``"sigmoid"``.
        score_activation: of ``h_1``; linear if None; published: ``"sigmoid"``.
        detach_target: stop the associated loss at g.
        reconstruction_loss: the first layer's, ``"mse"`` or ``"cross_entropy"``.
        options: see :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        cuts: Literal[4, 8] = 4,
        bridge: BridgeKind = "lean",
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        target_dim: int = 300,
        target_activation: TargetActivation = "tanh",
        score_activation: TargetActivation | None = None,
        detach_target: bool = True,
        reconstruction_loss: ReconstructionLoss = "cross_entropy",
        **options: Unpack[ALOptions],
    ) -> None:
        if cuts not in (4, 8):
            raise ValueError(f"Expected `cuts` to be 4 or 8, but got {cuts}.")
        trunk = vgg_blocks(in_channels, image_size, norm=norm, activation=activation, per_block=2 if cuts == 4 else 1)
        first = [
            nn.Flatten(),
            *dense_unit(_features(image_size), AL_DENSE, norm=norm, activation=activation),
        ]
        second = dense_unit(AL_DENSE, AL_DENSE, norm=norm, activation=activation)
        dense = [nn.Sequential(*first, *second)] if cuts == 4 else [nn.Sequential(*first), nn.Sequential(*second)]
        initialise(*dense)
        layers = to_al_layers(
            [*trunk, *dense],
            num_classes,
            torch.zeros(1, in_channels, image_size, image_size),
            target_dim,
            bridge=bridge,
            target_activation=target_activation,
            score_activation=score_activation,
            detach_target=detach_target,
            reconstruction_loss=reconstruction_loss,
        )
        super().__init__(layers, num_classes, **options)
        self.input_shape = (in_channels, image_size, image_size)


class VGGBP(BPModule):
    """The paper's VGG by backpropagation; ``activation="relu"`` is the published one (10.60 M parameters).

    Args:
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of 16.
        norm: ``"batch"`` or None, in trunk and head.
        activation: after every hidden layer.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        **options: Unpack[BPOptions],
    ) -> None:
        trunk = vgg_blocks(in_channels, image_size, norm=norm, activation=activation)
        head = dense_head([_features(image_size), *HEAD], num_classes, norm=norm, activation=activation)
        initialise(head)
        super().__init__(nn.Sequential(*trunk, head), num_classes, **options)
        self.input_shape = (in_channels, image_size, image_size)
