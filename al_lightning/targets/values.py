"""Values: D real numbers for each sample, such as a price or a temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, R2Score
from typing_extensions import Self

from al_lightning.nn.association import precise
from al_lightning.targets.base import Calibration, Target


class ValueTarget(Target):
    r"""D real numbers per sample; :math:`t_0 = (y - \mu) / \sigma` column by column.

    Networks learn standardised values, so that every column counts the same and losses do not depend on units.
    Predictions and metrics are in the labels' own units.

    Args:
        names: D different names of the values, for predictions.
        mean: :math:`\mu` of each, of the training labels; 0 if None.
        std: :math:`\sigma` of each, above 0; 1 if None.

    Raises:
        TypeError: if ``names`` is a single string.
        ValueError: if names are missing, empty or not different, a number is not finite, a value is constant, or there
            are more or fewer numbers than names.

    Example:
        >>> target = ValueTarget(["height", "weight"], mean=[1.7, 70.0], std=[0.1, 10.0])
        >>> target.encode(torch.tensor([[1.8, 60.0]]))
        tensor([[ 1.0000, -1.0000]])
        >>> target.calibration(1).read(torch.tensor([[1.0, -1.0]]), 0)
        tensor([[ 1.8000, 60.0000]])
    """

    monitor = "r2"
    mode = "max"

    def __init__(
        self, names: Sequence[str], mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        if isinstance(names, str):
            raise TypeError(f"Expected `names` to be a list of names, but got {names!r}. Put it into a list.")
        self.names = [str(name) for name in names]
        if not self.names or "" in self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"Expected `names` to be one or more different names, but got {self.names}. Name each.")
        self.width = len(self.names)
        self.columns = tuple(self.names)
        self.mean = self._numbers("mean", [0.0] * self.width if mean is None else mean)
        self.std = self._numbers("std", [1.0] * self.width if std is None else std)
        for name, deviation in zip(self.names, self.std):
            if deviation == 0:
                raise ValueError(_constant(name))
            if deviation < 0:
                raise ValueError(f"Expected `std` of {name!r} to be above 0, but got {deviation}.")

    def _numbers(self, argument: str, given: Sequence[float]) -> list[float]:
        numbers = [float(number) for number in given]
        if len(numbers) != self.width:
            raise ValueError(
                f"Expected `{argument}` to hold one number for each of {', '.join(self.names)}, but got {len(numbers)}."
            )
        for name, number in zip(self.names, numbers):
            if not math.isfinite(number):
                raise ValueError(f"Expected `{argument}` of {name!r} to be finite, but got {number}.")
        return numbers

    @classmethod
    def of(cls, y: Tensor | NDArray[np.generic], names: Sequence[str] | None = None) -> Self:
        """The target of some training labels, with their mean and standard deviation (population, in float64).

        Args:
            y: (N,) or (N, D) numbers of any real type.
            names: D names; ``value``, or from ``value0`` on, if None.

        Raises:
            ValueError: if there are no labels, they have another shape, one is not finite, or a column is constant.
        """
        labels = (y.detach().cpu() if isinstance(y, Tensor) else torch.as_tensor(np.asarray(y))).double()
        labels = labels.unsqueeze(1) if labels.ndim == 1 else labels
        if labels.ndim != 2 or 0 in labels.shape:
            raise ValueError(
                f"Expected labels of shape (N,) or (N, D), N and D at least 1, but got {tuple(labels.shape)}."
            )
        width = labels.shape[1]
        usual = ["value"] if width == 1 else [f"value{number}" for number in range(width)]
        target = cls(usual if names is None else names)
        if target.width != width:
            raise ValueError(f"Expected `names` to hold a name for each of {width} columns, but got {target.width}.")
        target._check_finite(labels, "the training labels")
        for name, column in zip(target.names, labels.T):
            if bool((column == column[0]).all()):  # rounding may leave a deviation above 0
                raise ValueError(_constant(name))
        return cls(target.names, labels.mean(0).tolist(), labels.std(0, correction=0).tolist())

    def check(self, y: Tensor) -> None:
        """Refuse labels that cannot be learned.

        Args:
            y: (B, D) real numbers, or (B,) where D is 1; reading them waits for an accelerator.

        Raises:
            ValueError: if ``y`` has another shape or type, or a number is NaN or infinite, naming it.
        """
        fits = y.shape[1:] == (self.width,) or (y.ndim == 1 and self.width == 1)
        if y.ndim == 0 or not fits or y.is_complex():
            raise ValueError(
                f"Expected labels of shape (B, {self.width}){' or (B,)' if self.width == 1 else ''}, real numbers for "
                f"{', '.join(self.names)}, but got {tuple(y.shape)} of {y.dtype}. Give a column per name."
            )
        self._check_finite(y.reshape(-1, self.width), "the batch")

    def _check_finite(self, y: Tensor, where: str) -> None:
        finite = y.isfinite()
        if bool(finite.all()):
            return
        sample, column = (int(number) for number in (~finite).nonzero()[0])
        raise ValueError(
            f"Expected labels that are finite numbers, but {self.names[column]!r} of sample {sample} of {where} is "
            f"{float(y[sample, column])}. Correct the data, or leave the sample out."
        )

    def labels(self, y: Tensor) -> Tensor:
        """Values (B, D) in torch's default dtype, but at least float32."""
        return precise(y.to(torch.promote_types(torch.get_default_dtype(), torch.float32))).reshape(-1, self.width)

    def encode(self, y: Tensor) -> Tensor:
        """``t_0``: labels (B, D), or (B,), standardised to (B, D), at least float32; NaN stays NaN."""
        values = self.labels(y)
        encoded: Tensor = (values - values.new_tensor(self.mean)) / values.new_tensor(self.std)
        return encoded.masked_fill(~encoded.isfinite(), torch.nan)

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Mean squared error of scores (B, D) against standardised labels, what a BP sibling minimises."""
        t = self.encode(y)
        return F.mse_loss(precise(scores).to(t.dtype), t)

    def measured(self, scores: Tensor) -> Tensor:
        """Scores (B, D) in the labels' units."""
        return in_units(scores, self.mean, self.std)

    def metrics(self) -> dict[str, Metric]:
        """``r2``, the mean over the columns' own; ``rmse`` and ``mae`` in the labels' units, means over the columns."""
        return {"r2": ColumnsR2(self.mean, self.std), "rmse": ColumnsRMSE(self.width), "mae": MeanAbsoluteError()}

    def calibration(self, readouts: int) -> Units:
        """Nothing to fit: scores are brought to the labels' units."""
        return Units(readouts, self.mean, self.std)

    def rows(self, predictions: Tensor) -> list[tuple[str | float, ...]]:
        """The values of each sample; ``predictions`` are (B, D) in the labels' units.

        Numbers of less than double precision as few digits write them: 0.1, not 0.10000000149011612.
        """
        values = predictions.detach().cpu()
        if values.dtype == torch.float64:
            return [tuple(row) for row in values.tolist()]
        return [tuple(float(str(value)) for value in row) for row in values.float().numpy()]

    def written(self, value: float) -> str:
        """All digits of a value: it may be a price or a tiny concentration."""
        return str(value)


def _constant(name: str) -> str:
    return (
        f"Expected values that differ between samples, but {name!r} is constant: there is nothing to learn. Leave it "
        "out."
    )


def in_units(scores: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Standardised numbers (B, D) in the units that they had: times ``std``, plus ``mean``; at least float32."""
    exact = precise(scores)
    return exact * exact.new_tensor(list(std)) + exact.new_tensor(list(mean))


class Units(Calibration):
    """Brings scores of all read-outs to the labels' units.

    The numbers are no buffers, which a module in half precision would round with its weights, and are the target's.

    Args:
        readouts: how many there are.
        mean: of each value.
        std: of each value.
    """

    def __init__(self, readouts: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(readouts)
        self.mean, self.std = list(mean), list(std)

    def read(self, scores: Tensor, readout: int) -> Tensor:
        """Values (B, D) of scores (B, D), at least float32."""
        return in_units(scores, self.mean, self.std)


class ColumnsR2(R2Score):
    """R2 of each column, and their mean; of fewer than two samples NaN, for they have no variance.

    It does not depend on units. Its sums are those of standardised values: sums of squares of numbers such as 2000 to
    2010 would leave no digit for their variance.

    Args:
        mean: of each column, about.
        std: of each column, about.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = list(mean), list(std)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add values (B, D) and labels (B, D)."""
        columns = [(x - x.new_tensor(self.mean)) / x.new_tensor(self.std) for x in (preds, target)]
        super().update(*columns)

    def compute(self) -> Tensor:
        """A scalar."""
        if int(self.total) < 2:
            return self.sum_squared_error.new_tensor(torch.nan).squeeze()
        return super().compute().squeeze()


class ColumnsRMSE(MeanSquaredError):
    """Root mean squared error of each column, and their mean.

    Args:
        columns: how many.
    """

    def __init__(self, columns: int) -> None:
        super().__init__(squared=False, num_outputs=columns)

    def compute(self) -> Tensor:
        """A scalar."""
        return super().compute().mean()
