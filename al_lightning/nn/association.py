"""How a layer compares its bridge's output with its encoded target: by distance, or by contrast with other classes.

A mean squared error against the code of a sample's own class says nothing of other classes' codes; the paper names
contrasting as the next step (section 4.2). Here it is against one code per class, never against the samples of a batch:
the loss depends neither on the batch size nor on the number of processes, and g and h run on K rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, float32, float64

#: ``"mse"`` is the paper's; ``"contrast"`` adds a cross-entropy over the similarities with all classes' codes;
#: ``"cross_entropy"`` reads the bridge as a classifier and its target as one-hot (Table 6, "w/o AE").
Association: TypeAlias = Literal["mse", "contrast", "cross_entropy"]

#: ``"cross_entropy"`` is of one class out of K, ``"binary_cross_entropy"`` of K labels that are there or not.
ReconstructionLoss: TypeAlias = Literal["mse", "cross_entropy", "binary_cross_entropy"]

ASSOCIATIONS: tuple[Association, ...] = ("mse", "contrast", "cross_entropy")
_RECONSTRUCTIONS: dict[ReconstructionLoss, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
}
RECONSTRUCTION_LOSSES: tuple[ReconstructionLoss, ...] = tuple(_RECONSTRUCTIONS)

#: What cosine similarities are divided by before a softmax, if nothing else is asked for: scores lie within -10..10.
TEMPERATURE = 0.1
#: Norms below it count as it, so that the gradient of a bridge's zero output stays bounded.
SMALLEST_NORM = 1e-3


class ClassCodes(NamedTuple):
    """The encoded target of a batch of classes: one code per class, and which of them each sample has.

    ``codes`` (K, width) float; ``labels`` (B,) int64 in 0..K-1. The target ``t`` of the samples is ``codes[labels]``.
    """

    codes: Tensor
    labels: Tensor


def precise(x: Tensor) -> Tensor:
    """At least float32: losses of a converged layer reach 1e-7 (Table 9), where half precision sees zero."""
    return x if x.dtype in (float32, float64) else x.float()


def rows(t: Tensor | ClassCodes) -> Tensor:
    """The target of each sample, (B, width)."""
    return t.codes[t.labels] if isinstance(t, ClassCodes) else t


def samples(t: Tensor | ClassCodes) -> int:
    """How many samples a target is of."""
    return len(t.labels if isinstance(t, ClassCodes) else t)


def class_scores(association: Tensor, codes: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    r"""Similarities of bridged samples with the codes of all classes, :math:`\cos(b(s), c_k) / \tau`.

    Args:
        association: ``b(s)``, (B, N).
        codes: ``c``, (K, N).
        temperature: :math:`\tau`, above 0.

    Returns:
        (B, K) within plus and minus :math:`1 / \tau`, at least float32; a zero vector is similar to none.
    """
    with torch.autocast(association.device.type, enabled=False):  # a product in half precision would be off by 0.03
        samples, classes = precise(association), F.normalize(precise(codes), dim=-1, eps=SMALLEST_NORM)
        norms: Tensor = torch.linalg.vector_norm(samples, dim=-1, keepdim=True).clamp_min(SMALLEST_NORM)
        return samples @ classes.T / (temperature * norms)  # B x K numbers are divided in place of B x N


def associated_loss(
    kind: Association, association: Tensor, target: Tensor | ClassCodes, temperature: float = TEMPERATURE
) -> Tensor:
    r"""``A_i``: how far bridged samples are from their encoded targets.

    .. math::

        A_i^{mse} = \operatorname{mean}((b(s_i) - t_i)^2),\quad
        A_i^{contrast} = A_i^{mse} + \operatorname{mean}\Bigl(-\log \frac{\exp(\cos(b(s_i), c_y) / \tau)}
        {\sum_k \exp(\cos(b(s_i), c_k) / \tau)}\Bigr)

    (paper, equation 3; section 4.2 for the second), with ``c_k`` the code of class k and ``t_i = c_y``. Under
    ``"cross_entropy"`` ``b(s_i)`` are logits and ``t_i`` probabilities.

    Args:
        kind: ``"mse"``, ``"contrast"`` or ``"cross_entropy"``.
        association: ``b(s_i)``, (B, N).
        target: ``t_i``, (B, N), or all classes' codes and the labels.
        temperature: :math:`\tau` of a contrast.

    Returns:
        A scalar of at least float32.

    Raises:
        ValueError: if a contrast is asked for and the target is no :class:`ClassCodes`.
    """
    if kind == "cross_entropy":
        return F.cross_entropy(precise(association), precise(rows(target)))
    distance = F.mse_loss(precise(association), precise(rows(target)))
    if kind == "mse":
        return distance
    if not isinstance(target, ClassCodes):
        raise ValueError(
            "Expected the encoded target of an association by 'contrast' to be ClassCodes, one code per class and "
            f"the labels, but got a tensor of shape {tuple(target.shape)}. Use association='mse' without classes."
        )
    return distance + F.cross_entropy(class_scores(association, target.codes, temperature), target.labels)


def reconstruction_loss(kind: ReconstructionLoss, decoded: Tensor, t: Tensor | ClassCodes) -> Tensor:
    r"""``R_i``: how far decoded targets are from what was encoded, mean over samples.

    .. math::

        R^{mse} = \operatorname{mean}((h - t)^2),\quad
        R^{ce} = \operatorname{mean}\Bigl(-\sum_k t_k \log \operatorname{softmax}(h)_k\Bigr),\quad
        R^{bce} = \operatorname{mean}(-t \log \sigma(h) - (1 - t) \log(1 - \sigma(h)))

    with ``h`` what was decoded, the first and the last as means over all elements.

    Args:
        kind: ``"mse"``; ``"cross_entropy"`` of logits against probabilities; or ``"binary_cross_entropy"`` of logits
            against 0 and 1, element by element.
        decoded: ``h(t_i)``, (B, width); of all classes, (K, width), where ``t`` is their codes.
        t: ``t_{i-1}``, (B, width), or all classes' codes and the labels.

    Returns:
        A scalar of at least float32.
    """
    loss = _RECONSTRUCTIONS[kind]
    if isinstance(t, Tensor):
        return loss(precise(decoded), precise(t))
    each = loss(precise(decoded), precise(t.codes), reduction="none")
    return each.view(len(each), -1).mean(1)[t.labels].mean()
