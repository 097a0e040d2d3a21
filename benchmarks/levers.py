"""Levers of the search for an AL that keeps up with BP which are no part of the library.

Each is a network that ``benchmarks/search.py`` trains like any other, by its class path. What earned its place has
moved into the library; what is left here either did not, or is still being tried.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

import al_lightning as al
from al_lightning.modules.options import ALOptions, BPOptions
from al_lightning.nn import association as contrasts
from al_lightning.nn.association import Association, ClassCodes, class_scores, precise, reconstruction_loss, rows
from al_lightning.nn.convert import associate
from al_lightning.nn.image_units import conv_unit, dense_head, initialise
from al_lightning.nn.inputs import ImageCheck
from al_lightning.nn.layer import LayerLosses

CHANNELS = ((32, 1), (32, 1), (32, 1), (32, 2), (64, 1), (64, 1), (64, 1), (64, 2))


class Levers(TypedDict, total=False):
    """What a layer's losses may look like.

    Attributes:
        own_decoding: whether a layer also decodes its own bridge: ``loss(h_i(b_i(s_i)), t_{i-1})``.
        distance: factor of the MSE beside the contrast.
        temperature: of the contrast.
        gram: factor of a loss between the Gram matrices of bridged samples and of their codes.
        smoothing: label smoothing of the contrast.
    """

    own_decoding: bool
    distance: float
    temperature: float
    gram: float
    smoothing: float


class LeverLayer(al.ALLayer):
    """An AL layer with other losses; see :class:`Levers`."""

    def __init__(self, f: nn.Module, b: nn.Module, g: nn.Module, h: nn.Module, levers: Levers, **options: Any) -> None:
        super().__init__(f, b, g, h, **options)
        self.levers = levers

    def losses(self, association: Tensor, t_next: Any, t: Any) -> LayerLosses:
        """``A_i`` and ``R_i`` with whatever the levers add to them."""
        levers = self.levers
        target = al.detach(t_next) if self.detach_target else t_next
        own = rows(target)
        associated = levers.get("distance", 1.0) * F.mse_loss(precise(association), precise(own))
        if self.association == "contrast":
            assert isinstance(target, ClassCodes)
            scores = class_scores(association, target.codes)
            associated = associated + F.cross_entropy(scores, target.labels, label_smoothing=levers.get("smoothing", 0))
        if levers.get("gram"):
            grams = [x @ x.T for x in (F.normalize(precise(x), dim=-1, eps=1e-3) for x in (association, own))]
            associated = associated + levers["gram"] * F.mse_loss(grams[0], grams[1])
        decoded = self.h(t_next.codes if isinstance(t_next, ClassCodes) else t_next)
        reconstruction = reconstruction_loss(self.reconstruction_loss, decoded, t)
        if levers.get("own_decoding"):
            original = rows(t).detach()
            reconstruction = reconstruction + reconstruction_loss(
                self.reconstruction_loss, self.h(association), original
            )
        return LayerLosses(associated, reconstruction)


def _bridge(shape: torch.Size, target_dim: int, pool: int, hidden: int, norm: bool) -> nn.Module:
    channels, height, _ = shape
    size = min(pool, height)
    width = channels * size * size
    dims = [width, *([hidden] if hidden else []), target_dim]
    parts: list[nn.Module] = [nn.AdaptiveAvgPool2d(size)] if size < height else []
    parts.append(nn.Flatten())
    for number, (a, b) in enumerate(pairwise(dims)):
        if number:
            parts += [nn.BatchNorm1d(a), nn.ELU()]
        parts.append(nn.Linear(a, b))
    return nn.Sequential(*parts, *([nn.BatchNorm1d(target_dim)] if norm else []))


def _blocks(in_channels: int, width: float, cuts: int) -> list[nn.Module]:
    units, inputs = [], in_channels
    for channels, stride in CHANNELS:
        units.append(conv_unit(inputs, int(width * channels), stride=stride, norm="batch", activation="elu"))
        inputs = int(width * channels)
    size = len(units) // cuts
    groups = [units[i : i + size] for i in range(0, len(units), size)]
    blocks: list[nn.Module] = [nn.Sequential(*(part for unit in group for part in unit)) for group in groups]
    initialise(*blocks)
    return blocks


class LeverCNN(al.ALModule):
    """The CNN by Associated Learning with every lever that was tried.

    Args:
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images.
        width: factor of all channels.
        cuts: AL layers: 1, 2, 4 or 8.
        pool: rows and columns of a map that a bridge reads.
        hidden: width of a hidden layer in every bridge; none if 0.
        bridge_norm: whether batch norm ends a bridge.
        target_dim: N.
        detach_target: see :class:`~al_lightning.ALLayer`.
        association: see :class:`~al_lightning.ALLayer`.
        levers: see :class:`Levers`.
        options: see :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        *,
        width: float = 1.0,
        cuts: Literal[1, 2, 4, 8] = 4,
        pool: int = 4,
        hidden: int = 0,
        bridge_norm: bool = False,
        target_dim: int = 64,
        detach_target: bool = True,
        association: Association = "contrast",
        levers: Levers | None = None,
        **options: Unpack[ALOptions],
    ) -> None:
        blocks = _blocks(in_channels, width, cuts)
        x, bridges = torch.zeros(1, in_channels, image_size, image_size), []
        for block in blocks:
            with torch.no_grad():
                x = block.eval()(x)
            block.train()
            bridges.append(_bridge(x.shape[1:], target_dim, pool, hidden, bridge_norm))
        plain = associate(blocks, bridges, num_classes, target_dim, detach_target=detach_target)
        said = levers or {}
        contrasts.TEMPERATURE = said.get("temperature", contrasts.TEMPERATURE)
        layers = [
            LeverLayer(
                one.f, one.b, one.g, one.h, said,
                reconstruction_loss=one.reconstruction_loss, detach_target=detach_target, association=association,
            )
            for one in plain
        ]  # fmt: skip
        for layer in layers:
            initialise(layer.g, layer.h)
        super().__init__(layers, num_classes, **options)
        self.input_check = ImageCheck(in_channels, image_size)


class LeverCNNBP(al.BPModule):
    """The CNN by backpropagation with the levers that are not about local losses.

    Args:
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images.
        width: factor of all channels.
        head: widths of the hidden layers behind the convolutions.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        *,
        width: float = 1.0,
        head: tuple[int, ...] = (1280, 256, 256, 256, 256),
        **options: Unpack[BPOptions],
    ) -> None:
        blocks = _blocks(in_channels, width, 1)
        dims = [int(width * CHANNELS[-1][0]) * (image_size // 4) ** 2, *head]
        net = nn.Sequential(*blocks, dense_head(dims, num_classes, norm="batch", activation="elu"))
        super().__init__(net, num_classes, **options)
        self.input_check = ImageCheck(in_channels, image_size)
