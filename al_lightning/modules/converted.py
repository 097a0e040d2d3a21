"""Image networks from their blocks: by Associated Learning through Algorithm 1, and by backpropagation with a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.al import ALModule
from al_lightning.modules.bp import BPModule
from al_lightning.modules.options import AssociatedOptions, BPOptions, split_options
from al_lightning.nn.bridges import BRIDGE_DIM, LEAN_POOL, BridgeKind, SquashingActivation
from al_lightning.nn.convert import to_al_layers
from al_lightning.nn.image_units import initialise
from al_lightning.nn.inputs import ImageCheck, VectorCheck
from al_lightning.targets.classes import as_target


def _example(in_channels: int, image_size: int, in_features: int | None) -> torch.Tensor:
    """One input of the network: an image, or a vector if ``in_features`` is given."""
    if in_features is None:
        return torch.zeros(1, in_channels, image_size, image_size)
    return torch.zeros(1, in_features)


def _check(in_channels: int, image_size: int, in_features: int | None) -> ImageCheck | VectorCheck:
    """Refuses other inputs than those."""
    return ImageCheck(in_channels, image_size) if in_features is None else VectorCheck(in_features)


class ConvertedAL(ALModule):
    """Blocks of an image network, each an AL layer.

    The blocks keep the weights that they come with. Target encoders, target decoders and bridges start from He-normal
    weights and zero biases, as in the published image code, which draws all four functions alike. A bridge that ends
    in a Linear is no function of that code and keeps torch's smaller start: from He-normal weights the MLP on Digits
    ends a point lower.

    Args:
        blocks: the encoders ``f_1 .. f_L`` in order; each must return features (B, C, H, W) or (B, D).
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        target_dim: N, width of every encoded target.
        bridge: ``"lean"`` (pool, one Linear: linear, as the text of the paper says), ``"dense"`` (pool, Linear, batch
            norm, ELU, Linear), ``"conv"`` (a 3x3 convolution to twice the channels, norm, ELU, then as a dense one) or
            ``"paper"`` (flatten, two sigmoid layers, 5N and N: the published image code's).
        bridge_activation: what follows the last Linear of any bridge but the published: ``"tanh"``, ``"sigmoid"`` or
            nothing.
        bridge_pool: rows and columns of a map that such a bridge reads at most.
        bridge_dim: width of the hidden layer of a dense or convolutional bridge.
        last_bridge_dims: widths of the hidden layers of the last bridge, which then is dense and reads its whole map,
            as the head of a BP network does; the last bridge is as all others if empty.
        in_features: D, for vectors (B, D) in place of images; ``in_channels`` and ``image_size`` mean nothing then.
        options: see :class:`~al_lightning.modules.options.AssociatedOptions` and :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module] | nn.Sequential,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        target_dim: int = 128,
        bridge: BridgeKind = "lean",
        bridge_activation: SquashingActivation | None = None,
        bridge_pool: int = LEAN_POOL,
        bridge_dim: int = BRIDGE_DIM,
        last_bridge_dims: Sequence[int] = (),
        in_features: int | None = None,
        **options: Unpack[AssociatedOptions],
    ) -> None:
        target = as_target(num_classes, options.get("class_names"), options.get("target"))
        association, rest = split_options(options, target)
        layers = to_al_layers(
            blocks,
            target.width,
            _example(in_channels, image_size, in_features),
            target_dim,
            bridge=bridge,
            bridge_activation=bridge_activation,
            bridge_pool=bridge_pool,
            bridge_dim=bridge_dim,
            last_bridge_dims=last_bridge_dims,
            **association,
        )
        linear_bridge = bridge != "paper" and bridge_activation is None
        random_codes = association.get("code_start", "random") == "random"
        for layer in layers:
            initialise(layer.h, *([layer.g] if random_codes else []), *([] if linear_bridge else [layer.b]))
        super().__init__(layers, num_classes, **rest)
        self.input_check = _check(in_channels, image_size, in_features)


class ConvertedBP(BPModule):
    """Blocks of an image network and a head, trained end to end.

    Args:
        blocks: the trunk, in order.
        head: builds the rest of the network for a number of scores: from the trunk's features to (B, width).
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        in_features: D, for vectors (B, D) in place of images; ``in_channels`` and ``image_size`` mean nothing then.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module] | nn.Sequential,
        head: Callable[[int], nn.Module],
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        in_features: int | None = None,
        **options: Unpack[BPOptions],
    ) -> None:
        target = as_target(num_classes, options.get("class_names"), options.get("target"))
        super().__init__(nn.Sequential(*blocks, head(target.width)), num_classes, **options)
        self.input_check = _check(in_channels, image_size, in_features)
