"""Classes: one label out of K."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from al_lightning.nn.association import ClassCodes, precise
from al_lightning.targets.base import Target
from al_lightning.targets.temperature import Temperatures


class ClassTarget(Target):
    """One label out of K exclusive classes; ``t_0`` is one-hot.

    Args:
        num_classes: K, at least 2.
        class_names: K names for predictions; numbers if None.

    Raises:
        ValueError: if ``num_classes`` is below 2, or there is another number of names.

    Example:
        >>> target = ClassTarget(3, ["cat", "dog", "emu"])
        >>> target.encode(torch.tensor([2]))
        tensor([[0., 0., 1.]])
        >>> target.rows(torch.tensor([[0.25, 0.5, 0.25]]))
        [('dog', 0.5)]
    """

    monitor = "acc"
    mode = "max"
    reconstruction_losses = ("cross_entropy", "mse")
    associations = ("mse", "contrast", "cross_entropy")
    columns = ("class", "probability")

    def __init__(self, num_classes: int, class_names: Sequence[str] | None = None) -> None:
        if not isinstance(num_classes, (int, np.integer)):
            raise ValueError(
                f"Expected `num_classes` to be an integer, but got {num_classes!r} ({type(num_classes).__name__})."
            )
        if num_classes < 2:
            raise ValueError(f"Expected `num_classes` to be at least 2, but got {num_classes}.")
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                f"Expected `class_names` to hold num_classes={num_classes} names, but got {len(class_names)}."
            )
        self.num_classes = self.width = int(num_classes)
        self.class_names = [str(k) for k in range(num_classes)] if class_names is None else list(class_names)

    def check(self, y: Tensor) -> None:
        """Refuse labels that are no class.

        Args:
            y: (B,) integer labels, or truth values for two classes; reading them waits for an accelerator.

        Raises:
            ValueError: if ``y`` is no integer vector or has a label outside ``0..num_classes-1``.
        """
        if y.dtype.is_floating_point or y.ndim != 1:
            raise ValueError(
                "Expected labels of shape (B,) and an integer type, "
                f"but got {tuple(y.shape)} of {y.dtype}. Give class numbers (`y.long()`), not one-hot vectors."
            )
        if y.numel() == 0:
            return
        low, high = (int(v) for v in y.to(torch.int64).aminmax())
        if low < 0 or high >= self.num_classes:
            raise ValueError(
                f"Expected labels in 0..{self.num_classes - 1}, but the batch holds {low if low < 0 else high}. "
                "Set `num_classes` to the number of classes of the data, or number its labels from 0."
            )

    def labels(self, y: Tensor) -> Tensor:
        """Class numbers (B,) int64."""
        return y.long()

    def _valid(self, y: Tensor) -> Tensor:
        return (y >= 0) & (y < self.num_classes)

    def encode(self, y: Tensor) -> Tensor:
        """``t_0``: labels (B,) int64 to one-hot (B, K), in torch's default dtype (float64 under 64-true).

        A label that is no class becomes a row of NaN, so that an accelerator, where looking at labels would
        wait for the device, still stops at the loss.
        """
        label = y.unsqueeze(-1)
        one_hot = (label == torch.arange(self.num_classes, device=y.device)).to(torch.get_default_dtype())
        return one_hot.masked_fill_((label < 0) | (label >= self.num_classes), torch.nan)

    def encode_classes(self, y: Tensor) -> ClassCodes:
        """One-hot rows (K, K) of all classes, in torch's default dtype, beside the labels (B,) int64 of a batch.

        A label that is no class makes all rows NaN.
        """
        one_hot = torch.eye(self.num_classes, device=y.device)
        return ClassCodes(one_hot.masked_fill_(~self._valid(y).all(), torch.nan), y.clamp(0, self.num_classes - 1))

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of scores (B, K) against labels (B,), what a BP sibling minimises; NaN as above."""
        each = F.cross_entropy(precise(scores), y.long().clamp(0, self.num_classes - 1), reduction="none")
        return each.masked_fill(~self._valid(y), torch.nan).mean()

    def metrics(self) -> dict[str, Metric]:
        """``acc``: the share of all samples that are right."""
        return {"acc": MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)}

    def calibration(self, readouts: int) -> Temperatures:
        """One temperature per read-out."""
        return Temperatures(readouts, self.num_classes)

    def confidence(self, predictions: Tensor) -> Tensor:
        """The largest probability."""
        return predictions.amax(-1)

    def right(self, predictions: Tensor, y: Tensor) -> Tensor:
        """Whether the most probable class is the label."""
        return predictions.argmax(-1) == y

    def rows(self, predictions: Tensor) -> list[tuple[str | float, ...]]:
        """Name and probability of the most probable class; ``predictions`` are probabilities (B, K).

        Where they are no numbers there is no class: its name is empty.
        """
        values, labels = predictions.max(-1)
        named = zip(labels.tolist(), values.tolist())
        return [("" if math.isnan(p) else self.class_names[k], p) for k, p in named]


def as_target(num_classes: int | None, class_names: Sequence[str] | None, target: Target | None) -> Target:
    """The target that a user asked for, by the number of classes or by a target kind.

    Raises:
        ValueError: if neither or both are given.
    """
    if (num_classes is None) == (target is None) or (target is not None and class_names is not None):
        raise ValueError(
            "Expected `num_classes` (with `class_names`), or else a `target` of another kind, but got "
            f"num_classes={num_classes}, class_names={class_names} and target={target}. Give one of the two."
        )
    if target is not None:
        return target
    assert num_classes is not None
    return ClassTarget(num_classes, class_names)
