"""The CNN with every lever that was tried on images, by AL and by BP."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

import al_lightning as al
from al_lightning.modules.options import ALOptions, BPOptions
from al_lightning.nn.association import TEMPERATURE, Association, precise
from al_lightning.nn.codes import start_at_simplex
from al_lightning.nn.convert import associate, code_width
from al_lightning.nn.image_units import conv_unit, dense_head, initialise
from al_lightning.nn.inputs import ImageCheck
from al_lightning.targets.classes import ClassTarget
from levers.layer import LeverLayer, Levers, fix_codes, warm_codes

CHANNELS = ((32, 1), (32, 1), (32, 1), (32, 2), (64, 1), (64, 1), (64, 1), (64, 2))


class SmoothClasses(ClassTarget):
    """Classes whose cross-entropy is smoothed, for BP.

    Args:
        num_classes: K.
        smoothing: share of the probability that is spread over all classes.
    """

    def __init__(self, num_classes: int, smoothing: float) -> None:
        super().__init__(num_classes)
        self.smoothing = smoothing

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy against smoothed labels."""
        return F.cross_entropy(precise(scores), self.labels(y), label_smoothing=self.smoothing)


def _bridge(
    shape: torch.Size, target_dim: int, pool: int, hidden: Sequence[int], norm: bool, convolutions: int, growth: int
) -> nn.Module:
    channels, height, _ = shape
    parts: list[nn.Module] = []
    for _ in range(convolutions):  # each halves the map, down to what the bridge reads
        stride = 2 if height > pool else 1
        parts += conv_unit(channels, growth * channels, stride=stride, norm="batch", activation="elu")
        channels *= growth
        height = -(-height // stride)
    size = min(pool, height)
    dims = [channels * size * size, *hidden, target_dim]
    parts += [nn.AdaptiveAvgPool2d(size)] if size < height else []
    parts.append(nn.Flatten())
    for number, (a, b) in enumerate(pairwise(dims)):
        if number:
            parts += [nn.BatchNorm1d(a), nn.ELU()]
        parts.append(nn.Linear(a, b))
    return nn.Sequential(*parts, *([nn.BatchNorm1d(target_dim)] if norm else []))


def cnn_blocks(in_channels: int, width: float, cuts: int) -> list[nn.Module]:
    """The convolutions of the CNN, initialised, in as many blocks as there are cuts."""
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
        hidden: widths of hidden layers in every bridge.
        convolutions: 3x3 convolutions in every bridge before its pooling; they halve the map while it is larger
            than ``pool``.
        growth: factor of the channels at each of these convolutions.
        bridge_norm: whether batch norm ends a bridge.
        target_dim: N.
        detach_target: see :class:`~al_lightning.ALLayer`.
        association: see :class:`~al_lightning.ALLayer`.
        fixed_codes: whether codes are the vertices of a simplex and not learned.
        simplex_start: whether codes begin near the vertices of a simplex, and learn from there.
        warm_up: steps that the codes learn alone, before the first image.
        ends: of each layer's learning rate that falls over the whole run, the share of the run at which it is zero
            (FreezeOut, Brock et al., 2017, for layers that know nothing of each other); at its end if None.
        last: widths of the hidden layers of the last bridge, which then reads its whole map, without
            convolutions, as BP's head does; as
            the other bridges if None.
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
        hidden: tuple[int, ...] = (),
        convolutions: int = 0,
        growth: int = 1,
        bridge_norm: bool = False,
        target_dim: int = 64,
        detach_target: bool = True,
        association: Association = "contrast",
        fixed_codes: bool = False,
        simplex_start: bool = False,
        warm_up: int = 0,
        ends: tuple[float, ...] | None = None,
        last: tuple[int, ...] | None = None,
        levers: Levers | None = None,
        **options: Unpack[ALOptions],
    ) -> None:
        blocks = cnn_blocks(in_channels, width, cuts)
        x, bridges = torch.zeros(1, in_channels, image_size, image_size), []
        target_dim = code_width(target_dim, num_classes, association)
        for number, block in enumerate(blocks, 1):
            with torch.no_grad():
                x = block.eval()(x)
            block.train()
            shape = x.shape[1:]
            if last is not None and number == cuts:
                bridges.append(_bridge(shape, target_dim, image_size, last, bridge_norm, 0, 1))
            else:
                bridges.append(_bridge(shape, target_dim, pool, hidden, bridge_norm, convolutions, growth))
        plain = associate(
            blocks, bridges, num_classes, target_dim, detach_target=detach_target, association=association
        )
        said = levers or {}
        layers = [
            LeverLayer(
                one.f, one.b, one.g, one.h, said,
                reconstruction_loss=one.reconstruction_loss, detach_target=detach_target, association=association,
                temperature=said.get("temperature", TEMPERATURE),
            )
            for one in plain
        ]  # fmt: skip
        for layer in layers:
            initialise(layer.g, layer.h)
        if fixed_codes:
            fix_codes(layers, num_classes, target_dim)
        if simplex_start:
            start_at_simplex([layer.g for layer in layers])
        warm_codes(layers, num_classes, warm_up)
        super().__init__(layers, num_classes, **options)
        self.input_check = ImageCheck(in_channels, image_size)
        self.ends = ends

    def configure_optimizers(self) -> Any:
        """Those of every AL module; rates of lower layers may reach zero earlier."""
        optimizers, schedules = super().configure_optimizers()
        for end, schedule in zip(self.ends or (), schedules):
            whole_run = schedule["scheduler"]
            whole_run.total_steps = round(end * whole_run.total_steps)
        return optimizers, schedules


class LeverCNNBP(al.BPModule):
    """The CNN by backpropagation with the levers that are not about local losses.

    Args:
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images.
        width: factor of all channels.
        head: widths of the hidden layers behind the convolutions.
        smoothing: label smoothing of the cross-entropy.
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
        smoothing: float = 0.0,
        **options: Unpack[BPOptions],
    ) -> None:
        blocks = cnn_blocks(in_channels, width, 1)
        dims = [int(width * CHANNELS[-1][0]) * (image_size // 4) ** 2, *head]
        net = nn.Sequential(*blocks, dense_head(dims, num_classes, norm="batch", activation="elu"))
        super().__init__(net, num_classes, **options)
        self.target = SmoothClasses(num_classes, smoothing)
        self.input_check = ImageCheck(in_channels, image_size)
