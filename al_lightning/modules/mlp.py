"""Multi-layer perceptron: one AL layer a hidden layer (the example of the paper's section 6.10)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise

from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.converted import ConvertedAL, ConvertedBP
from al_lightning.modules.options import BPOptions, ConvertedOptions
from al_lightning.nn.image_units import Activation, Norm, check_image, dense_unit, initialise


def mlp_blocks(
    in_channels: int, image_size: int, hidden_dims: Sequence[int], *, norm: Norm | None, activation: Activation
) -> list[nn.Module]:
    """The trunk of both siblings: flatten, then one block per hidden layer, each (B, D) to (B, D').

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_image(in_channels, image_size, multiple=1)
    if not hidden_dims or min(hidden_dims) < 1:
        raise ValueError(f"Expected `hidden_dims` to hold widths of at least 1, but got {list(hidden_dims)}.")
    dims = [in_channels * image_size**2, *hidden_dims]
    units = [dense_unit(a, b, norm=norm, activation=activation) for a, b in pairwise(dims)]
    units[0].insert(0, nn.Flatten())
    blocks: list[nn.Module] = [nn.Sequential(*unit) for unit in units]
    initialise(*blocks)
    return blocks


class MLPAL(ConvertedAL):
    """Multi-layer perceptron by Associated Learning.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        hidden_dims: width of each hidden layer; each is one AL layer.
        norm: ``"batch"`` or None.
        activation: of the hidden layers.
        target_dim: N, width of every encoded target.
        options: see :class:`~al_lightning.ConvertedAL` and :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        hidden_dims: Sequence[int] = (256, 256, 256),
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        target_dim: int = 128,
        **options: Unpack[ConvertedOptions],
    ) -> None:
        blocks = mlp_blocks(in_channels, image_size, hidden_dims, norm=norm, activation=activation)
        super().__init__(blocks, num_classes, in_channels, image_size, target_dim=target_dim, **options)


class MLPBP(ConvertedBP):
    """Multi-layer perceptron by backpropagation: the same trunk and one Linear.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        hidden_dims: width of each hidden layer.
        norm: ``"batch"`` or None.
        activation: of the hidden layers.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        hidden_dims: Sequence[int] = (256, 256, 256),
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        **options: Unpack[BPOptions],
    ) -> None:
        blocks = mlp_blocks(in_channels, image_size, hidden_dims, norm=norm, activation=activation)
        head = functools.partial(nn.Linear, hidden_dims[-1])
        super().__init__(blocks, head, num_classes, in_channels, image_size, **options)
