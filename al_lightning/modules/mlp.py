"""Multi-layer perceptron: one AL layer a hidden layer (the example of the paper's section 6.10)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise

from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.converted import ConvertedAL, ConvertedBP
from al_lightning.modules.options import BPOptions, ImageOptions
from al_lightning.nn.image_units import Activation, Norm, check_image, dense_unit, initialise, linear_head


def mlp_blocks(
    in_channels: int,
    image_size: int,
    in_features: int | None,
    hidden_dims: Sequence[int],
    *,
    norm: Norm | None,
    activation: Activation,
) -> list[nn.Module]:
    """The trunk of both siblings: flatten, then one block per hidden layer, each (B, D) to (B, D').

    Raises:
        ValueError: if an argument is out of its range.
    """
    if in_features is None:
        check_image(in_channels, image_size, multiple=1)
    elif in_features < 1:
        raise ValueError(f"Expected `in_features` to be at least 1, but got {in_features}.")
    if not hidden_dims or min(hidden_dims) < 1:
        raise ValueError(f"Expected `hidden_dims` to hold widths of at least 1, but got {list(hidden_dims)}.")
    dims = [in_channels * image_size**2 if in_features is None else in_features, *hidden_dims]
    units = [dense_unit(a, b, norm=norm, activation=activation) for a, b in pairwise(dims)]
    units[0].insert(0, nn.Flatten())
    blocks: list[nn.Module] = [nn.Sequential(*unit) for unit in units]
    initialise(*blocks)
    return blocks


class MLPAL(ConvertedAL):
    """Multi-layer perceptron by Associated Learning.

    The network of section 6.10 is this one; its pseudocode has b and g, and the arguments of the cross-entropy, the
    wrong way round::

        MLPAL(5, in_features=10, hidden_dims=[10] * 5, target_dim=10, norm=None, activation="sigmoid",
              target_activation="sigmoid", score_activation="sigmoid", bridge_activation="sigmoid")

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        hidden_dims: width of each hidden layer; each is one AL layer.
        in_features: D, for vectors (B, D) in place of images; ``in_channels`` and ``image_size`` mean nothing then.
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
        in_features: int | None = None,
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        target_dim: int = 128,
        **options: Unpack[ImageOptions],
    ) -> None:
        blocks = mlp_blocks(in_channels, image_size, in_features, hidden_dims, norm=norm, activation=activation)
        super().__init__(
            blocks, num_classes, in_channels, image_size, target_dim=target_dim, in_features=in_features, **options
        )


class MLPBP(ConvertedBP):
    """Multi-layer perceptron by backpropagation: the same trunk and one Linear.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        hidden_dims: width of each hidden layer.
        in_features: D, for vectors (B, D) in place of images; ``in_channels`` and ``image_size`` mean nothing then.
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
        in_features: int | None = None,
        norm: Norm | None = "batch",
        activation: Activation = "elu",
        **options: Unpack[BPOptions],
    ) -> None:
        blocks = mlp_blocks(in_channels, image_size, in_features, hidden_dims, norm=norm, activation=activation)
        head = functools.partial(linear_head, hidden_dims[-1])
        super().__init__(blocks, head, num_classes, in_channels, image_size, in_features=in_features, **options)
