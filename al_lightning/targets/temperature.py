"""Calibrated probabilities: one temperature per read-out, fitted on validation data (Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from al_lightning.nn.association import precise
from al_lightning.targets.base import Calibration


class Temperatures(Calibration):
    """Reads scores as probabilities ``softmax(scores / T_k)``.

    Under MSE a perfect one-hot score has a softmax maximum of only 0.23 at K = 10: probabilities mean something after
    T_k was fitted. It is 1 until then, and part of the state dict.

    Args:
        readouts: how many inference paths and ways to read them out there are.
        width: K, number of scores of a sample.
    """

    temperatures: Tensor

    def __init__(self, readouts: int, width: int) -> None:
        super().__init__(readouts)
        self.width = width
        self.register_buffer("temperatures", torch.ones(readouts))
        self.fits = nn.ModuleList(self.fitted() for _ in range(readouts))

    def fitted(self) -> FittedTemperature:
        """What fits one temperature."""
        return FittedTemperature()

    def remembered(self) -> int:
        """How many batches were remembered since the last fit."""
        return cast(FittedTemperature, self.fits[0]).update_count

    def reset(self) -> None:
        """Forget scores and labels."""
        for fit in self.fits:
            cast(FittedTemperature, fit).reset()

    def read(self, scores: Tensor, readout: int) -> Tensor:
        """Probabilities (B, K) of scores (B, K), at least float32."""
        return (precise(scores) / self.temperatures[readout]).softmax(-1)

    def update(self, scores: Sequence[Tensor], y: Tensor) -> None:
        """Remember scores (B, K) of the first read-outs and labels (B, ...)."""
        for fit, one in zip(self.fits, scores):
            cast(FittedTemperature, fit).update(one, y)

    def fit(self, readouts: int) -> None:
        """Fit the temperatures of the first so many read-outs; without a sample they stay as they are."""
        for index in range(readouts):
            fit = cast(FittedTemperature, self.fits[index])
            if not fit.scores:  # a process without a validation sample still takes part
                fit.update(*fit.nothing(self.width, self.temperatures.device))
            fitted = fit.compute()
            if not fitted.isnan():
                self.temperatures[index] = fitted
        self.reset()


class LabelTemperatures(Temperatures):
    """Reads scores as probabilities ``sigmoid(scores / T_k)`` of labels that do not exclude each other."""

    def fitted(self) -> FittedTemperature:
        """What fits one temperature, to the binary cross-entropy."""
        return FittedLabelTemperature()

    def read(self, scores: Tensor, readout: int) -> Tensor:
        """Probabilities (B, K) of scores (B, K), at least float32."""
        return (precise(scores) / self.temperatures[readout]).sigmoid()


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
        """Remember scores (B, K) and labels (B, ...)."""
        self.scores.append(scores.detach().float())
        self.labels.append(y)

    def nothing(self, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Scores and labels of no sample."""
        return torch.empty(0, width, device=device), torch.empty(0, dtype=torch.long, device=device)

    def of_labels(self, scores: Tensor) -> Tensor:
        """The scores of what is there, (B,)."""
        return scores.gather(1, dim_zero_cat(self.labels).unsqueeze(1)).squeeze(1)

    def expected(self, scores: Tensor, sharpness: Tensor) -> Tensor:
        """Those scores as the probabilities at ``a`` expect them, (B,)."""
        return ((scores * sharpness).softmax(-1) * scores).sum(-1)

    def compute(self) -> Tensor:
        """Return T, a scalar float32 tensor; NaN without a sample."""
        scores: Tensor = dim_zero_cat(self.scores)
        if len(scores) == 0:
            return scores.new_tensor(torch.nan)
        there = self.of_labels(scores)
        low, high = scores.new_tensor(0.01).log(), scores.new_tensor(100.0).log()
        for _ in range(30):
            middle = (low + high) / 2
            too_sharp = (self.expected(scores, middle.exp()) - there).mean() > 0
            low, high = torch.where(too_sharp, low, middle), torch.where(too_sharp, middle, high)
        return (-(low + high) / 2).exp()


class FittedLabelTemperature(FittedTemperature):
    """The same for the binary cross-entropy of labels (B, K) of 0 and 1.

    Its derivative is ``mean(sum_k(sigmoid(a score_k) score_k) - sum_k(label_k score_k))``.
    """

    def nothing(self, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Scores and labels of no sample."""
        return torch.empty(0, width, device=device), torch.empty(0, width, device=device)

    def of_labels(self, scores: Tensor) -> Tensor:
        """The scores of all labels that are there, (B,)."""
        labels: Tensor = dim_zero_cat(self.labels)
        return (labels * scores).sum(-1)

    def expected(self, scores: Tensor, sharpness: Tensor) -> Tensor:
        """Those scores as the probabilities at ``a`` expect them, (B,)."""
        return ((scores * sharpness).sigmoid() * scores).sum(-1)
