"""A target kind of one's own, as a user would define it outside the package."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanSquaredError, Metric

from al_lightning.targets.base import Target


class Numbers(Target):
    """D real numbers per sample."""

    monitor = "mse"
    mode: Literal["min", "max"] = "min"
    columns = ("first", "last")

    def __init__(self, dim: int) -> None:
        self.dim = self.width = dim

    def check(self, y: Tensor) -> None:
        if y.ndim != 2 or y.shape[1] != self.dim or not y.is_floating_point():
            raise ValueError(f"Expected numbers of shape (B, {self.dim}), but got {tuple(y.shape)} of {y.dtype}.")

    def encode(self, y: Tensor) -> Tensor:
        return y

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(scores, y)

    def metrics(self) -> dict[str, Metric]:
        return {"mse": MeanSquaredError()}

    def rows(self, predictions: Tensor) -> list[tuple[str | float, ...]]:
        return [(float(row[0]), float(row[-1])) for row in predictions]
