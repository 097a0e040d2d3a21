"""A learning rate that falls over a whole run, however long the run is."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Shape: TypeAlias = Literal["cosine", "linear"]


class WholeRunLR(LRScheduler):
    r"""Anneals learning rates from their start to ``end`` times it, over all optimizer steps of a run.

    .. math:: \eta_n = \eta \cdot \bigl(e + (1 - e) \tfrac{1 + \cos(\pi n / N)}{2}\bigr)
              \quad\text{or}\quad \eta \cdot \bigl(e + (1 - e) (1 - n / N)\bigr)

    at step n of N (cosine: Loshchilov and Hutter, ICLR 2017). The modules of this package tell it N, which they ask the
    Trainer for, so that a configuration holds for any number of epochs, samples and processes. Use it with
    ``lr_scheduler_interval="step"``.

    Args:
        optimizer: whose rates it sets.
        shape: ``"cosine"`` or ``"linear"``.
        end: e, the share of its start at which a rate ends, in [0, 1].
        warmup: share of the run, in [0, 1), in which rates rise linearly before they fall.
        last_epoch: steps that were taken already; -1 for none.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import torch
        >>> schedule = WholeRunLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), shape="linear")
        >>> schedule.total_steps = 4
        >>> rates = []
        >>> for _ in range(5):
        ...     rates += schedule.get_last_lr()
        ...     schedule.optimizer.step()
        ...     schedule.step()
        >>> rates
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, shape: Shape = "cosine", end: float = 0.0, warmup: float = 0.0, last_epoch: int = -1
    ) -> None:
        if shape not in ("cosine", "linear"):
            raise ValueError(f"Expected `shape` to be 'cosine' or 'linear', but got {shape!r}.")
        if not 0 <= end <= 1:
            raise ValueError(f"Expected `end` to be in [0, 1], but got {end}.")
        if not 0 <= warmup < 1:
            raise ValueError(f"Expected `warmup` to be in [0, 1), but got {warmup}.")
        self.shape = shape
        self.end = end
        self.warmup = warmup
        self._total_steps: int | None = None
        super().__init__(optimizer, last_epoch)

    @property
    def total_steps(self) -> int | None:
        """N; None until it is known, and rates stay at their start."""
        return self._total_steps

    @total_steps.setter
    def total_steps(self, total: int) -> None:
        self._total_steps = total
        for group, rate in zip(self.optimizer.param_groups, self.get_lr()):
            group["lr"] = rate
        self._last_lr = self.get_lr()

    def factor(self, step: int) -> float:
        """Share of its start that a rate has after so many steps."""
        if self._total_steps is None:
            return 1.0
        rising = self.warmup * self._total_steps
        if step < rising:
            return (step + 1) / (rising + 1)
        done = min((step - rising) / max(self._total_steps - rising, 1), 1.0)
        fallen = (1 + math.cos(math.pi * done)) / 2 if self.shape == "cosine" else 1 - done
        return self.end + (1 - self.end) * fallen

    def get_lr(self) -> list[Any]:
        """Rates of all parameter groups now."""
        return [base * self.factor(self.last_epoch) for base in self.base_lrs]
