"""AL layers with other losses and other codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import al_lightning as al
from al_lightning.nn.association import ClassCodes, class_scores, precise, reconstruction_loss, rows
from al_lightning.nn.codes import simplex
from al_lightning.nn.layer import LayerLosses


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
        if self.association == "cross_entropy":
            return super().losses(association, t_next, t)
        levers = self.levers
        target = al.detach(t_next) if self.detach_target else t_next
        own = rows(target)
        associated = levers.get("distance", 1.0) * F.mse_loss(precise(association), precise(own))
        if self.association == "contrast":
            assert isinstance(target, ClassCodes)
            scores = class_scores(association, target.codes, self.temperature)
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


def fix_codes(layers: Sequence[al.ALLayer], num_classes: int, target_dim: int) -> None:
    """Replace what every g learns by the vertices of a simplex, as far from each other as K unit vectors can be.

    ``g_1`` maps classes to them, entries around 1 in size, and the other g hand them on.
    """
    first = nn.Linear(num_classes, target_dim, bias=False)
    first.weight.data = simplex(num_classes, target_dim).T.contiguous()
    first.requires_grad_(False)
    for layer in layers:
        layer.g = nn.Identity()
    layers[0].g = first


def warm_codes(layers: Sequence[al.ALLayer], num_classes: int, steps: int, lr: float = 3e-3) -> None:
    """Let target encoders and decoders learn alone: K rows cost nothing, and the codes hold still afterwards.

    Args:
        layers: from the input upwards.
        num_classes: K.
        steps: how many; none for 0.
        lr: of Adam.
    """
    if steps < 1:
        return
    classes = ClassCodes(torch.eye(num_classes), torch.arange(num_classes))
    adam = torch.optim.Adam([p for layer in layers for part in (layer.g, layer.h) for p in part.parameters()], lr)
    for _ in range(steps):
        t, total = classes, torch.zeros(())
        for layer in layers:
            t_next = layer.encode_target(t)
            total = total + reconstruction_loss(layer.reconstruction_loss, layer.h(t_next.codes), t)
            t = al.detach(t_next)
        adam.zero_grad()
        total.backward()
        adam.step()
