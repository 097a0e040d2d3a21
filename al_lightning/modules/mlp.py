"""Multi-layer perceptron: one AL layer a hidden layer (the example of the paper's section 6.10)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.al import ALModule, ALOptions
from al_lightning.modules.bp import BPModule, BPOptions
from al_lightning.nn.bridges import BridgeKind
from al_lightning.nn.convert import TargetActivation, to_al_layers
from al_lightning.nn.image_units import Activation, Norm, check_image, dense_unit, initialise
from al_lightning.nn.layer import ReconstructionLoss


def mlp_blocks(
    inputs: int, hidden_dims: Sequence[int], *, norm: Norm | None, activation: Activation
) -> list[nn.Module]:
    """The trunk of both siblings: flatten, then one block a hidden layer, each (B, D) to (B, D')."""
    if not hidden_dims or min(hidden_dims) < 1:
        raise ValueError(f"Expected `hidden_dims` to hold widths of at least 1, but got {list(hidden_dims)}.")
    dims = [inputs, *hidden_dims]
    units = [dense_unit(a, b, norm=norm, activation=activation) for a, b in pairwise(dims)]
    units[0].insert(0, nn.Flatten())
    blocks: list[nn.Module] = [nn.Sequential(*unit) for unit in units]
    initialise(*blocks)
    return blocks


class MLPAL(ALModule):
    """Multi-layer perceptron by Associated Learning.

    Args:
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images.
        hidden_dims: width of each hidden layer; each is one AL layer.
        bridge: ``"lean"`` (one Linear) or ``"paper"`` (two sigmoid layers, 5N and N).
        norm: ``"batch"`` or None.
        activation: of the hidden layers.
        target_dim: N, width of every encoded target.
        target_activation: of g and h.
        score_activation: of ``h_1``; linear if None.
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
        hidden_dims: Sequence[int] = (256, 256, 256),
        bridge: BridgeKind = "lean",
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        target_dim: int = 128,
        target_activation: TargetActivation = "tanh",
        score_activation: TargetActivation | None = None,
        detach_target: bool = True,
        reconstruction_loss: ReconstructionLoss = "cross_entropy",
        **options: Unpack[ALOptions],
    ) -> None:
        check_image(in_channels, image_size, multiple=1)
        inputs = in_channels * image_size**2
        layers = to_al_layers(
            mlp_blocks(inputs, hidden_dims, norm=norm, activation=activation),
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


class MLPBP(BPModule):
    """Multi-layer perceptron by backpropagation: the same trunk and one Linear.

    Args:
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images.
        hidden_dims: width of each hidden layer.
        norm: ``"batch"`` or None.
        activation: of the hidden layers.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        hidden_dims: Sequence[int] = (256, 256, 256),
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        **options: Unpack[BPOptions],
    ) -> None:
        check_image(in_channels, image_size, multiple=1)
        inputs = in_channels * image_size**2
        trunk = mlp_blocks(inputs, hidden_dims, norm=norm, activation=activation)
        net = nn.Sequential(*trunk, nn.Linear(hidden_dims[-1], num_classes))
        super().__init__(net, num_classes, **options)
        self.input_shape = (in_channels, image_size, image_size)
