"""Target kinds: what a label becomes for AL, and how scores are read. Classes are the first kind."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.utilities import dim_zero_cat

from al_lightning.nn.layer import precise


class ClassTarget:
    """One label out of K exclusive classes.

    Args:
        num_classes: K, at least 2.

    Raises:
        ValueError: if ``num_classes`` is below 2.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 2:
            raise ValueError(f"Expected `num_classes` to be at least 2, but got {num_classes}.")
        self.num_classes = num_classes

    def check(self, y: Tensor) -> None:
        """Refuse labels that are no class.

        Args:
            y: (B,) integer labels; reading them waits for an accelerator.

        Raises:
            ValueError: if ``y`` is no integer vector or has a label outside ``0..num_classes-1``.
        """
        if y.dtype.is_floating_point or y.ndim != 1:
            raise ValueError(
                "Expected labels of shape (B,) and an integer type, "
                f"but got {tuple(y.shape)} of {y.dtype}. Give class numbers, not one-hot vectors."
            )
        wrong = y[~self._valid(y)]
        if wrong.numel():
            raise ValueError(
                f"Expected labels in 0..{self.num_classes - 1}, but the batch holds {int(wrong[0])}. "
                "Set `num_classes` to the number of classes of the data, or number its labels from 0."
            )

    def _valid(self, y: Tensor) -> Tensor:
        return (y >= 0) & (y < self.num_classes)

    def encode(self, y: Tensor) -> Tensor:
        """``t_0``: labels (B,) int64 to one-hot (B, K), in torch's default dtype (float64 under 64-true).

        A label that is no class becomes a row of NaN, so that an accelerator, where looking at labels would
        wait for the device, still stops at the loss.
        """
        one_hot = F.one_hot(y.long().clamp(0, self.num_classes - 1), self.num_classes)
        one_hot = one_hot.to(torch.get_default_dtype())
        return one_hot.masked_fill(~self._valid(y).unsqueeze(-1), torch.nan)

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of scores (B, K) against labels (B,), what a BP sibling minimises; NaN as above."""
        each = F.cross_entropy(precise(scores), y.long().clamp(0, self.num_classes - 1), reduction="none")
        return each.masked_fill(~self._valid(y), torch.nan).mean()

    def probabilities(self, scores: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
        """``softmax(scores / T)``, (B, K), at least float32.

        Under MSE a perfect one-hot score has a softmax maximum of only 0.23 at K = 10: probabilities mean
        something after T was fitted (:class:`FittedTemperature`).
        """
        return (precise(scores) / temperature).softmax(-1)

    def accuracy(self) -> Metric:
        """A fresh accuracy metric: the share of all samples that are right."""
        return MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)


class FittedTemperature(Metric):
    """The temperature T that minimises the cross-entropy of ``scores / T`` (Guo et al., ICML 2017).

    The loss is convex in ``a = 1 / T``: its derivative ``mean(E_p[score] - score_of_the_label)`` is found zero by
    bisection on ``log a``. ``T`` stays within 0.01..100, where a perfect or a hopeless classifier ends.
    """

    full_state_update = False
    higher_is_better = None
    scores: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, y: Tensor) -> None:
        """Remember scores (B, K) and labels (B,)."""
        self.scores.append(scores.detach().float())
        self.labels.append(y)

    def compute(self) -> Tensor:
        """Return T, a scalar float32 tensor."""
        scores: Tensor = dim_zero_cat(self.scores)
        right = scores.gather(1, dim_zero_cat(self.labels).unsqueeze(1)).squeeze(1)
        low, high = scores.new_tensor(0.01).log(), scores.new_tensor(100.0).log()
        for _ in range(30):
            middle = (low + high) / 2
            expected = ((scores * middle.exp()).softmax(-1) * scores).sum(-1)
            too_sharp = (expected - right).mean() > 0
            low, high = torch.where(too_sharp, low, middle), torch.where(too_sharp, middle, high)
        return (-(low + high) / 2).exp()
