"""Means of losses over an epoch, kept on the device and read only when a logger wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class EpochLosses(Metric):
    """Sums of several losses, weighted by samples, in one tensor: two additions per batch, whatever their number.

    The means are exact over batches of different size and over processes.

    Args:
        losses: how many losses there are.
    """

    full_state_update = False
    higher_is_better = None
    total: Tensor

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(2, losses), dist_reduce_fx="sum")

    def update(self, losses: Tensor, samples: int, first: int = 0) -> None:
        """Add a batch's mean losses: (n,) of all, from the number ``first`` on."""
        which = slice(first, first + len(losses))
        self.total[0, which].add_(losses, alpha=samples)
        self.total[1, which] += samples

    def compute(self) -> Tensor:
        """Means over all samples, (losses,) float32; 0 for a loss that no batch had."""
        return self.total[0] / self.total[1].clamp(min=1)


class EpochLoss(Metric):
    """One of the means of an :class:`EpochLosses`, or the sum of several, as Lightning logs it under a name.

    Args:
        losses: where the sums are.
        which: numbers of the losses that are added up.
    """

    full_state_update = False
    higher_is_better = None

    def __init__(self, losses: EpochLosses, which: Sequence[int]) -> None:
        super().__init__()
        self._losses = [losses]  # in a list, so that it does not become a child a second time
        self.which = list(which)

    def update(self) -> None:
        """Nothing to add: the sums are kept elsewhere."""

    def compute(self) -> Tensor:
        """The mean, a scalar float32 tensor."""
        means: Tensor = self._losses[0].compute()
        return means.view(-1)[self.which].sum()  # a single mean comes without a dimension

    def reset(self) -> None:
        """Forget the epoch, for all losses together."""
        super().reset()
        self._losses[0].reset()


class LossMeans(nn.Module):
    """All losses of a module under the names of their logs.

    Args:
        names: from a log's name to the numbers of the losses that it is the sum of; the first is that of all.

    Example:
        >>> losses = LossMeans({"train_loss": [0, 1], "train_first": [0]})
        >>> sorted(losses.add(torch.tensor([1.0, 2.0]), samples=3))  # to be logged, once per epoch
        ['train_first', 'train_loss']
        >>> losses.add(torch.tensor([3.0, 2.0]), samples=1)
        {}
        >>> losses.sums.compute()
        tensor([1.5000, 2.0000])
    """

    def __init__(self, names: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.whole = next(iter(names))
        self.sums = EpochLosses(1 + max(number for numbers in names.values() for number in numbers))
        self.means = nn.ModuleDict({name: EpochLoss(self.sums, numbers) for name, numbers in names.items()})

    def add(self, losses: Tensor, samples: int, first: int = 0, total: int | None = None) -> dict[str, Metric]:
        """Add a batch's losses.

        Args:
            losses: (n,) losses of the batch, each a mean over its samples.
            samples: how many samples the batch has.
            first: number of the first of them; other processes may add the rest.
            total: how many losses the batch has in all processes; n if None.

        Returns:
            The means that have to be logged, by name: all that the batch has at the first batch of an epoch, none
            after it. A Metric that was logged once is read by Lightning when the epoch ends.
        """
        self.sums.update(losses, samples, first)
        return {} if self.sums.update_count > 1 else self.named(len(losses) if total is None else total)

    def named(self, losses: int) -> dict[str, Metric]:
        """The means of the first so many losses, by name, to be logged."""
        new: dict[str, Metric] = {}
        for name, mean in self.means.items():
            assert isinstance(mean, EpochLoss)
            if name == self.whole or max(mean.which) < losses:
                mean.update()
                new[name] = mean
        return new

    def of_step(self, losses: Tensor) -> dict[str, Tensor]:
        """One batch's own losses by name, for a logger that wants single steps: ``<name>_step``."""
        named: dict[str, Tensor] = {}
        for name, mean in self.means.items():
            assert isinstance(mean, EpochLoss)
            which = [number for number in mean.which if number < len(losses)]
            if which:
                named[f"{name}_step"] = losses[which].sum()
        return named
