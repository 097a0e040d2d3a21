"""Levers of the search for an AL that keeps up with BP which are no part of the library.

Each is a network that ``benchmarks/search.py`` trains like any other, by its class path. What earned its place has
moved into the library; what is left here either did not, or is still being tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

import al_lightning as al
from al_lightning.data import FashionMNIST
from al_lightning.data.images.module import ImageBatch
from al_lightning.modules.options import ALOptions, BPOptions, TextOptions
from al_lightning.nn import association as contrasts
from al_lightning.nn.association import Association, ClassCodes, class_scores, precise, reconstruction_loss, rows
from al_lightning.nn.convert import associate
from al_lightning.nn.image_units import conv_unit, dense_head, initialise
from al_lightning.nn.inputs import ImageCheck
from al_lightning.nn.layer import LayerLosses
from al_lightning.nn.sequence import Pool, TokenSequence, valid_positions
from al_lightning.nn.vocabulary import Vocabulary
from al_lightning.targets.classes import ClassTarget
from al_lightning.training.randomness import Purpose, uniform

TEMPERATURE = contrasts.TEMPERATURE
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


class MatrixMuon(torch.optim.Optimizer):
    """Muon for matrices and for convolutions' kernels, each read as a matrix (out, rest); Adam for all other weights.

    Its state is not saved: a trial is never resumed.

    Args:
        params: the weights.
        lr: learning rate of Adam; Muon's is as large, and scaled to Adam's usual update.
        momentum: of Muon.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 1e-3, momentum: float = 0.95) -> None:
        given = list(params)
        self.kernels = [p for p in given if p.ndim > 1]
        others = [p for p in given if p.ndim < 2]
        groups = [{"params": part} for part in (self.kernels, others) if part]
        super().__init__(groups, {"lr": lr})
        self.matrices = [nn.Parameter(p.data.view(len(p), -1)) for p in self.kernels]  # the same memory
        self.inner: list[torch.optim.Optimizer] = []
        if self.kernels:
            adjust = "match_rms_adamw"
            muon = torch.optim.Muon(self.matrices, lr, weight_decay=0, momentum=momentum, adjust_lr_fn=adjust)
            self.inner.append(muon)
        if others:
            self.inner.append(torch.optim.Adam(others, lr))

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both, at the learning rates that a scheduler has set here."""
        loss = None if closure is None else closure()
        for matrix, kernel in zip(self.matrices, self.kernels):
            matrix.grad = None if kernel.grad is None else kernel.grad.reshape(matrix.shape)
        for group, optimizer in zip(self.param_groups, self.inner):
            optimizer.param_groups[0]["lr"] = group["lr"]
            optimizer.step()
        return loss


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


def fix_codes(layers: Sequence[al.ALLayer], num_classes: int, target_dim: int) -> None:
    """Replace what every g learns by the vertices of a simplex, as far from each other as K unit vectors can be.

    ``g_1`` maps classes to them, entries around 1 in size, and the other g hand them on.
    """
    vectors, _ = torch.linalg.qr(torch.randn(target_dim, num_classes))  # K orthonormal columns
    vertices = vectors - vectors.mean(1, keepdim=True)
    first = nn.Linear(num_classes, target_dim, bias=False)
    first.weight.data = vertices * (target_dim / (1 - 1 / num_classes)) ** 0.5
    first.requires_grad_(False)
    for layer in layers:
        layer.g = nn.Identity()
    layers[0].g = first


class CutoutFashionMNIST(FashionMNIST):
    """Fashion-MNIST whose training images lose a square at a random place (DeVries and Taylor, 2017).

    Args:
        hole: height and width of the square, pixels.
        options: see :class:`~al_lightning.data.FashionMNIST`.
    """

    def __init__(self, hole: int = 8, **options: Any) -> None:
        super().__init__(**options)
        self.hole = hole

    def prepare(self, batch: ImageBatch, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """Cut out after normalisation, where zero is the mean."""
        x, y = super().prepare(batch, training, epoch)
        if training:
            size = x.shape[-1]
            centre = uniform(Purpose.AUGMENTATION, 2, batch.sample, self.seed, epoch) * size
            near = (torch.arange(size, device=x.device) - centre[..., None]).abs() < self.hole / 2
            x = x.masked_fill((near[:, 0, :, None] & near[:, 1, None, :])[:, None], 0)
        return x, y


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
        hidden: widths of hidden layers in every bridge.
        convolutions: 3x3 convolutions in every bridge before its pooling; they halve the map while it is larger
            than ``pool``.
        growth: factor of the channels at each of these convolutions.
        bridge_norm: whether batch norm ends a bridge.
        target_dim: N.
        detach_target: see :class:`~al_lightning.ALLayer`.
        association: see :class:`~al_lightning.ALLayer`.
        fixed_codes: whether codes are the vertices of a simplex and not learned.
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
        levers: Levers | None = None,
        **options: Unpack[ALOptions],
    ) -> None:
        blocks = _blocks(in_channels, width, cuts)
        x, bridges = torch.zeros(1, in_channels, image_size, image_size), []
        for block in blocks:
            with torch.no_grad():
                x = block.eval()(x)
            block.train()
            bridges.append(_bridge(x.shape[1:], target_dim, pool, hidden, bridge_norm, convolutions, growth))
        plain = associate(blocks, bridges, num_classes, target_dim, detach_target=detach_target)
        said = levers or {}
        contrasts.TEMPERATURE = said.get("temperature", TEMPERATURE)  # that of the trial before would stay
        layers = [
            LeverLayer(
                one.f, one.b, one.g, one.h, said,
                reconstruction_loss=one.reconstruction_loss, detach_target=detach_target, association=association,
            )
            for one in plain
        ]  # fmt: skip
        for layer in layers:
            initialise(layer.g, layer.h)
        if fixed_codes:
            fix_codes(layers, num_classes, target_dim)
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
        blocks = _blocks(in_channels, width, 1)
        dims = [int(width * CHANNELS[-1][0]) * (image_size // 4) ** 2, *head]
        net = nn.Sequential(*blocks, dense_head(dims, num_classes, norm="batch", activation="elu"))
        super().__init__(net, num_classes, **options)
        self.target = SmoothClasses(num_classes, smoothing)
        self.input_check = ImageCheck(in_channels, image_size)


class WindowBridge(nn.Module):
    """A bridge that reads words together with their neighbours: a convolution over them, then its maximum.

    Args:
        features: D of the sequence (B, T, D).
        target_dim: N.
        window: tokens that a filter sees; odd.
        filters: how many there are.
    """

    def __init__(self, features: int, target_dim: int, window: int = 3, filters: int = 128) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(features, filters, window, padding=window // 2)
        self.linear = nn.Linear(filters, target_dim)

    def forward(self, state: TokenSequence) -> Tensor:
        """Padding is silent in the convolution and in the maximum."""
        own = valid_positions(state)
        seen = self.convolution(state.features.masked_fill(~own.unsqueeze(-1), 0).transpose(1, 2))
        strongest = F.elu(seen).masked_fill(~own.unsqueeze(1), -1).amax(-1)
        scores: Tensor = self.linear(strongest)
        return scores


class ManyPools(nn.Module):
    """A bridge that reads the final states of a Bi-LSTM beside the maximum of every feature over the text.

    Args:
        features: D of the sequence (B, T, D).
        target_dim: N.
    """

    def __init__(self, features: int, target_dim: int) -> None:
        super().__init__()
        self.final = Pool("final")
        self.linear = nn.Linear(2 * features, target_dim)

    def forward(self, state: TokenSequence) -> Tensor:
        """From a sequence (B, T, D) to (B, N)."""
        strongest = state.features.masked_fill(~valid_positions(state).unsqueeze(-1), -1).amax(1)
        scores: Tensor = self.linear(torch.cat([self.final(state), strongest], -1))
        return scores


class LeverLSTM(al.LSTMAL):
    """The Bi-LSTM by Associated Learning with other bridges.

    Args:
        window: whether the embedding's bridge is a :class:`WindowBridge`.
        pools: whether the bridges of the Bi-LSTM layers are :class:`ManyPools`.
        levers: see :class:`Levers`.
        options: see :class:`~al_lightning.LSTMAL`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        vocabulary: Vocabulary | None = None,
        glove: str | None = None,
        *,
        window: bool = False,
        pools: bool = False,
        embedding_dim: int = 300,
        hidden_dims: tuple[int, ...] = (300, 300),
        dropout: float = 0.0,
        target_dim: int = 128,
        max_length: int | None = None,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(
            num_classes, None, vocabulary, glove, embedding_dim=embedding_dim, hidden_dims=hidden_dims,
            dropout=dropout, target_dim=target_dim, max_length=max_length, **options,
        )  # fmt: skip
        first, *rest = (layer for layer in self.layers if isinstance(layer, al.ALLayer))
        if window:
            first.b = WindowBridge(embedding_dim, target_dim)
        for layer, hidden in zip(rest, hidden_dims):
            if pools:
                layer.b = ManyPools(2 * hidden, target_dim)
