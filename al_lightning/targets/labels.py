"""Labels: any number of K labels for each sample, such as the topics of a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MultilabelAccuracy, MultilabelExactMatch, MultilabelF1Score

from al_lightning.nn.association import precise
from al_lightning.targets.base import Target
from al_lightning.targets.temperature import LabelTemperatures

#: A label is there where its probability is above it.
THRESHOLD = 0.5


class LabelTarget(Target):
    """Any number of K labels that do not exclude each other; ``t_0`` has 1 for those that are there, else 0.

    Args:
        num_labels: K, at least 1.
        label_names: K different names for predictions; numbers if None.

    Raises:
        TypeError: if ``label_names`` is a single string.
        ValueError: if ``num_labels`` is no integer above 0, or there is another number of names.

    Example:
        >>> target = LabelTarget(3, ["cat", "dog", "emu"])
        >>> target.encode(torch.tensor([[True, False, True]]))
        tensor([[1., 0., 1.]])
        >>> target.rows(torch.tensor([[0.75, 0.25, 1.0]]))
        [('cat; emu', 0.75, 0.25, 1.0)]
    """

    monitor = "f1"
    mode = "max"
    # Not "mse", whose scores are near 0 and 1: a label that is not there would have a probability of 0.5.
    reconstruction_losses = ("binary_cross_entropy",)

    def __init__(self, num_labels: int, label_names: Sequence[str] | None = None) -> None:
        if not isinstance(num_labels, (int, np.integer)) or isinstance(num_labels, bool) or num_labels < 1:
            raise ValueError(f"Expected `num_labels` to be an integer of at least 1, but got {num_labels!r}.")
        if isinstance(label_names, str):
            raise TypeError(f"Expected `label_names` to be a list of names, but got {label_names!r}. Write a list.")
        names = [str(k) for k in range(num_labels)] if label_names is None else [str(name) for name in label_names]
        if len(names) != num_labels or len(set(names)) < len(names) or "" in names:
            raise ValueError(
                f"Expected `label_names` to hold num_labels={num_labels} different names, but got {names}."
            )
        self.num_labels = self.width = int(num_labels)
        self.label_names = names
        self.columns = ("labels", *names)

    def check(self, y: Tensor) -> None:
        """Refuse what are no labels.

        Args:
            y: (B, K) of 0 and 1, of any type; reading them waits for an accelerator.

        Raises:
            ValueError: if ``y`` has another shape, as class numbers have, or holds another number.
        """
        if y.ndim != 2 or y.shape[1] != self.num_labels:
            numbers = (
                " These look like class numbers: leave the target out and set `num_classes`, or give a column of 0 and "
                "1 for each label."
                if y.ndim == 1 and not y.is_floating_point() and y.dtype != torch.bool
                else " Give a column of 0 and 1 for each label."
            )
            raise ValueError(
                f"Expected labels of shape (B, {self.num_labels}), 0 or 1 for each of {', '.join(self.label_names)}, "
                f"but got {tuple(y.shape)} of {y.dtype}.{numbers}"
            )
        known = _known(y)
        if not bool(known.all()):
            sample, column = (int(number) for number in (~known).nonzero()[0])
            raise ValueError(
                f"Expected labels of 0 and 1, but {self.label_names[column]!r} of sample {sample} of the batch is "
                f"{y[sample, column].item()}. Write 1 where the label is there, and 0 where it is not."
            )

    def labels(self, y: Tensor) -> Tensor:
        """Labels (B, K) as floating point, at least float32; what is neither 0 nor 1 becomes NaN.

        So an accelerator, where looking at labels would wait for the device, still stops at the loss.
        """
        values = y.to(torch.promote_types(torch.get_default_dtype(), torch.float32))
        return values.masked_fill(~_known(y), torch.nan)

    def encode(self, y: Tensor) -> Tensor:
        """``t_0``: labels (B, K) in torch's default dtype; what is no label is NaN."""
        return self.labels(y).to(torch.get_default_dtype())

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Binary cross-entropy of scores (B, K), as logits, against labels: mean over labels and samples."""
        exact = precise(scores)
        return F.binary_cross_entropy_with_logits(exact, self.labels(y).to(exact.dtype))

    def measured(self, scores: Tensor) -> Tensor:
        """Probabilities (B, K), uncalibrated: torchmetrics would take some batches of scores for probabilities.

        A score that is no number becomes 0, for one outside [0, 1] has torchmetrics apply a sigmoid to all.
        """
        return precise(scores).sigmoid().nan_to_num(nan=0.0)

    def metrics(self) -> dict[str, Metric]:
        """``f1``, the mean over the labels' own; ``acc``, the share of labels that are right; ``exact``, of samples."""
        return {
            "f1": MultilabelF1Score(self.num_labels, threshold=THRESHOLD, average="macro", validate_args=False),
            "acc": MultilabelAccuracy(self.num_labels, threshold=THRESHOLD, average="micro", validate_args=False),
            "exact": MultilabelExactMatch(self.num_labels, threshold=THRESHOLD, validate_args=False),
        }

    def calibration(self, readouts: int) -> LabelTemperatures:
        """One temperature per read-out."""
        return LabelTemperatures(readouts, self.num_labels)

    def confidence(self, predictions: Tensor) -> Tensor:
        """How sure the least sure of all labels is: the smallest max(p, 1 - p)."""
        return torch.maximum(predictions, 1 - predictions).amin(-1)

    def right(self, predictions: Tensor, y: Tensor) -> Tensor:
        """Whether all labels of a sample are right."""
        return ((predictions > THRESHOLD) == (y > THRESHOLD)).all(-1)

    def rows(self, predictions: Tensor) -> list[tuple[str | float, ...]]:
        """Names of the labels that are there, and the probability of each; ``predictions`` are (B, K).

        Where probabilities are no numbers no label is there.
        """
        return [
            ("; ".join(name for name, p in zip(self.label_names, row) if p > THRESHOLD), *row)
            for row in predictions.tolist()
        ]


def _known(y: Tensor) -> Tensor:
    return (y == 0) | (y == 1)
