"""One layer of Associated Learning (AL), in pure torch.

Legend of symbols, used everywhere in this library (Wu et al., ICLR 2022, section 2.1):

=============  =========================================================================
``f_i``        encoder of layer i: ``s_i = f_i(s_{i-1})``; any block of a network
``b_i``        bridge: projects ``s_i`` to where ``t_i`` lives
``g_i``        target encoder: ``t_i = g_i(t_{i-1})``
``h_i``        target decoder: ``h_i(t_i)`` reconstructs ``t_{i-1}``
``s_0, t_0``   the input ``x`` and the encoded target (one-hot for classes)
``A_i``        associated loss ``mean((b_i(s_i) - t_i)^2)``; see also :mod:`al_lightning.nn.association`
``R_i``        reconstruction loss of ``h_i(t_i)`` against ``t_{i-1}``
``L``          number of AL layers
=============  =========================================================================

Inference with path length k is ``x -> f_1 .. f_k -> b_k -> h_k .. h_1 -> scores`` (Algorithm 3).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

from torch import Tensor, nn

from al_lightning.nn.association import (
    ASSOCIATIONS,
    RECONSTRUCTION_LOSSES,
    TEMPERATURE,
    Association,
    ClassCodes,
    ReconstructionLoss,
    associated_loss,
    reconstruction_loss,
)
from al_lightning.nn.state import State, detach

#: ``t_i``: one row per sample, or one code per class beside the samples' labels.
TargetState = TypeVar("TargetState", bound="Tensor | ClassCodes")


class LayerLosses(NamedTuple):
    """The two local losses of one layer, scalar tensors of at least float32."""

    associated: Tensor
    reconstruction: Tensor


class ALLayer(nn.Module):
    r"""One AL layer: encoder, bridge, target encoder and target decoder, and their two losses.

    .. math::

        s_i = f(s_{i-1}),\quad t_i = g(t_{i-1}),\quad
        A_i = \operatorname{mean}((b(s_i) - t_i)^2),\quad R_i = \ell(h(t_i), t_{i-1})

    (paper, equation 3). ``A_i`` trains f, b and g; ``R_i`` trains g and h (Algorithm 2). The layer is a pure
    function of its inputs: it detaches nothing but what ``detach_target`` says and keeps nothing between calls.
    Whoever loops over layers isolates them, by :func:`detach`.

    Targets of classes may come as :class:`~al_lightning.nn.association.ClassCodes`: g and h then run on one row per
    class, and the losses are the same means over samples.

    Args:
        f: encoder, from the state ``s_{i-1}`` to the state ``s_i``.
        b: bridge, from ``s_i`` to (B, target_dim).
        g: target encoder, from ``t_{i-1}`` to ``t_i``, (B, target_dim).
        h: target decoder, from ``t_i`` back to the shape of ``t_{i-1}``.
        reconstruction_loss: ``"mse"``, or ``"cross_entropy"``, which reads ``t_{i-1}`` as one-hot and ``h(t_i)``
            as logits; it makes sense for the first layer of a classifier. ``"binary_cross_entropy"`` does the same for
            labels of which any number may be there: ``t_{i-1}`` of 0 and 1.
        detach_target: stop the gradient of ``A_i`` at g, as most published code does; the paper lets it through.
        association: ``"mse"``, the paper's; or ``"contrast"``, which adds a cross-entropy over the similarities with
            the codes of all classes, see :func:`~al_lightning.nn.association.associated_loss`; or
            ``"cross_entropy"``, which makes b a classifier, where ``t_i`` is one-hot.
        temperature: what a contrast divides cosine similarities by before its softmax, above 0: the smaller, the more
            the nearest codes count. The read-outs by class codes divide by it too.

    Raises:
        ValueError: if ``reconstruction_loss`` or ``association`` is unknown, or ``temperature`` is not above 0.

    Example:
        >>> import torch
        >>> layer = ALLayer(f=nn.Linear(6, 8), b=nn.Linear(8, 5), g=nn.Linear(4, 5), h=nn.Linear(5, 4))
        >>> s, t, losses = layer(torch.randn(3, 6), torch.eye(4)[:3])
        >>> s.shape, t.shape, losses._fields
        (torch.Size([3, 8]), torch.Size([3, 5]), ('associated', 'reconstruction'))
    """

    def __init__(
        self,
        f: nn.Module,
        b: nn.Module,
        g: nn.Module,
        h: nn.Module,
        *,
        reconstruction_loss: ReconstructionLoss = "mse",
        detach_target: bool = False,
        association: Association = "mse",
        temperature: float = TEMPERATURE,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"Expected `temperature` to be above 0, but got {temperature}.")
        if reconstruction_loss not in RECONSTRUCTION_LOSSES:
            names = " or ".join(map(repr, RECONSTRUCTION_LOSSES))
            raise ValueError(f"Expected `reconstruction_loss` to be {names}, but got {reconstruction_loss!r}.")
        if association not in ASSOCIATIONS:
            names = " or ".join(map(repr, ASSOCIATIONS))
            raise ValueError(f"Expected `association` to be {names}, but got {association!r}.")
        self.f, self.b, self.g, self.h = f, b, g, h
        self.reconstruction_loss: ReconstructionLoss = reconstruction_loss
        self.detach_target = detach_target
        self.association: Association = association
        self.temperature = temperature

    def forward(self, s: State, t: TargetState) -> tuple[State, TargetState, LayerLosses]:
        """Encode both sides and compare them.

        Args:
            s: the state ``s_{i-1}``; a tensor (B, ...) or a NamedTuple of tensors.
            t: ``t_{i-1}``, (B, previous target_dim), floating point; or all classes' codes and the labels.

        Returns:
            ``s_i``, ``t_i`` of the same kind as ``t``, and the two losses.

        Raises:
            ValueError: if the association is a contrast and ``t`` says nothing of other classes.
        """
        s_next = self.f(s)
        t_next = self.encode_target(t)
        return s_next, t_next, self.losses(self.b(s_next), t_next, t)

    def encode_target(self, t: TargetState) -> TargetState:
        """``g``: from ``t_{i-1}`` to ``t_i``, one row per sample, or one per class."""
        if isinstance(t, ClassCodes):
            return cast(TargetState, t._replace(codes=self.g(t.codes)))
        return cast(TargetState, self.g(t))

    def losses(self, association: Tensor, t_next: TargetState, t: TargetState) -> LayerLosses:
        """The losses of a layer whose bridge and target encoder have already run.

        Args:
            association: ``b(s_i)``, (B, target_dim).
            t_next: ``t_i``, (B, target_dim), or all classes' codes and the labels.
            t: ``t_{i-1}``, of the same kind.

        Returns:
            ``A_i`` and ``R_i``, means over all elements (cross-entropy: over samples).

        Raises:
            ValueError: if the association is a contrast and ``t_next`` says nothing of other classes.
        """
        target = detach(t_next) if self.detach_target else t_next
        decoded = self.h(t_next.codes if isinstance(t_next, ClassCodes) else t_next)
        return LayerLosses(
            associated_loss(self.association, association, target, self.temperature),
            reconstruction_loss(self.reconstruction_loss, decoded, t),
        )
