"""Image networks from blocks, or cut into blocks: by Associated Learning (Algorithm 1), and by backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.al import ALModule
from al_lightning.modules.bp import BPModule
from al_lightning.modules.network import (
    ConvertedModule,
    Network,
    build_network,
    example_for,
    is_file,
    load_weights,
)
from al_lightning.modules.options import AssociatedOptions, BPOptions, split_options
from al_lightning.nn.bridges import BRIDGE_DIM, LEAN_POOL, BridgeKind, SquashingActivation
from al_lightning.nn.convert import Blocks, to_al_layers
from al_lightning.nn.cuts import Cuts
from al_lightning.nn.image_units import initialise
from al_lightning.nn.inputs import ImageCheck, VectorCheck
from al_lightning.nn.split import SplitNetwork, split_network
from al_lightning.targets.classes import as_target


def _example(in_channels: int, image_size: int, in_features: int | None) -> torch.Tensor:
    """One input of the network: an image, or a vector if ``in_features`` is given."""
    if in_features is None:
        return torch.zeros(1, in_channels, image_size, image_size)
    return torch.zeros(1, in_features)


def _check(in_channels: int, image_size: int, in_features: int | None) -> ImageCheck | VectorCheck:
    """Refuses other inputs than those."""
    return ImageCheck(in_channels, image_size) if in_features is None else VectorCheck(in_features)


def _split(
    blocks: Blocks | None,
    network: Network | None,
    network_args: dict[str, Any] | None,
    weights: str | None,
    cuts: Cuts,
    example: torch.Tensor,
) -> SplitNetwork | None:
    """A network in blocks and a head; None of blocks that stay as they are."""
    if (blocks is None) == (network is None):
        raise ValueError(
            "Expected `blocks`, or a `network` that is cut into blocks, but got "
            f"{'neither' if blocks is None else 'both'}. Give one of the two."
        )
    if blocks is not None and not isinstance(blocks, (Sequence, nn.Sequential, nn.ModuleList)):
        raise TypeError(
            f"Expected `blocks` to be a list of blocks or an nn.Sequential, but got {type(blocks).__name__}. Pass a "
            "network that is to be cut, or what builds it, as `network`."
        )
    if network is None:
        if network_args or weights is not None:
            raise ValueError(
                "Expected `network_args` and `weights` beside a `network`, but got blocks. Leave them out."
            )
        if cuts is None:
            return None
        assert blocks is not None
        trunk = blocks if isinstance(blocks, nn.Sequential) else nn.Sequential(*blocks)
        return split_network(trunk, cuts, example_for(trunk, example), keep_head=True)
    built = build_network(network, network_args, weights)
    split = split_network(built, cuts, example_for(built, example))
    if weights is not None and is_file(weights):
        last = split.last()
        load_weights(built, weights, [] if last is None else [last])
    return split


class ConvertedAL(ConvertedModule, ALModule):
    """Blocks of an image network, each an AL layer; or a network of somebody else's, cut into such blocks.

    The blocks keep the weights that they come with. Target encoders, target decoders and bridges start from He-normal
    weights and zero biases, as in the published image code, which draws all four functions alike. A bridge that ends
    in a Linear is no function of that code and keeps torch's smaller start: from He-normal weights the MLP on Digits
    ends a point lower.

    Args:
        blocks: the encoders ``f_1 .. f_L`` in order; each must return features (B, C, H, W), (B, T, D) or (B, D).
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        network: in place of blocks, a function or class that builds a network, such as ``torchvision.models.resnet18``,
            or the network. Its last Linear, with the pooling before it, is left out: bridges and decoders make scores.
        network_args: of that function or class.
        weights: that the network starts from: what it takes as ``weights``, such as ``"DEFAULT"``, or the file of a
            state dict. In no checkpoint.
        cuts: how many AL layers the network is cut into, of about the same number of multiplications (4 if None), or
            the modules with which all but the first begin; see :func:`~al_lightning.split_network`. Of ``blocks``: each
            is a layer if None.
        block_starts: where blocks begin, as ``cuts`` found it; checkpoints keep it, so that another version of torch,
            which counts otherwise, cuts alike. Nobody has to give it.
        freeze_encoder: whether the blocks keep their weights, in evaluation mode; bridges, target encoders and target
            decoders learn.
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

    found_arguments: ClassVar[frozenset[str]] = frozenset({"block_starts"})

    def __init__(
        self,
        blocks: Blocks | None = None,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        network: Network | None = None,
        network_args: dict[str, Any] | None = None,
        weights: str | None = None,
        cuts: Cuts = None,
        block_starts: Sequence[str] | None = None,
        freeze_encoder: bool = False,
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
        example = _example(in_channels, image_size, in_features)
        split = _split(blocks, network, network_args, weights, block_starts or cuts, example)
        layers = to_al_layers(
            list(blocks or ()) if split is None else split.blocks,
            target.width,
            example if split is None else example_for(split.network, example),
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
        if split is not None and all(start in dict(split.network.named_modules()) for start in split.starts):
            self.record(block_starts=split.starts[1:])  # operations without a module have no lasting names
        if freeze_encoder:
            self.keep_frozen([layer.f for layer in layers])


class ConvertedBP(ConvertedModule, BPModule):
    """Blocks of an image network and a head, trained end to end; or a network of somebody else's.

    Args:
        blocks: the trunk, in order.
        head: builds the rest of the network for a number of scores: from the trunk's features to (B, width).
        num_classes: K; None with a ``target`` of another kind.
        in_channels: channels of the images.
        image_size: height and width of the images.
        network: in place of blocks and head, a function or class that builds a network, such as
            ``torchvision.models.resnet18``, or the network. Its last Linear is replaced where it has another number of
            outputs; a network that does not end in one gets one.
        network_args: of that function or class.
        weights: that the network starts from: what it takes as ``weights``, such as ``"DEFAULT"``, or the file of a
            state dict. In no checkpoint.
        freeze_encoder: whether all but the head keep their weights, in evaluation mode.
        in_features: D, for vectors (B, D) in place of images; ``in_channels`` and ``image_size`` mean nothing then.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        blocks: Blocks | None = None,
        head: Callable[[int], nn.Module] | None = None,
        num_classes: int | None = None,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        network: Network | None = None,
        network_args: dict[str, Any] | None = None,
        weights: str | None = None,
        freeze_encoder: bool = False,
        in_features: int | None = None,
        **options: Unpack[BPOptions],
    ) -> None:
        target = as_target(num_classes, options.get("class_names"), options.get("target"))
        example = _example(in_channels, image_size, in_features)
        split = _split(blocks, network, network_args, weights, None if network is None else 1, example)
        trunk, end = (list(blocks or ()), head) if split is None else (split.blocks, head or split.head)
        if end is None:
            raise ValueError("Expected `head` beside `blocks`, to make scores of what they return, but got None.")
        super().__init__(nn.Sequential(*trunk, end(target.width)), num_classes, **options)
        self.input_check = _check(in_channels, image_size, in_features)
        if freeze_encoder:
            self.keep_frozen(trunk)
