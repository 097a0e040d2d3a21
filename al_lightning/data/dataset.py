"""Samples and labels in memory, indexed by whole batches."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import Self

RawBatch = TypeVar("RawBatch")


class LabelledDataset(Dataset[RawBatch]):
    """Abstract data set that is indexed by a tensor of sample numbers: one indexing gives one whole batch.

    Attributes:
        labels: (N, ...), of all samples.
        lengths: (N,) int64 where batches shall hold samples of similar length, else None.
    """

    labels: Tensor
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: Tensor) -> RawBatch:
        """One batch; ``index`` is (B,) int64."""

    def take(self, samples: Tensor) -> tuple[Self, Tensor]:
        """Let go of all samples but some, where that frees memory.

        Args:
            samples: (M,) int64, the numbers of the samples to keep.

        Returns:
            A data set that holds them, and their numbers in it.
        """
        return self, samples

    def long_to_short(self, samples: Tensor) -> Tensor:
        """The order in which samples are evaluated: by length if they have one, so that batches hold little padding."""
        if self.lengths is None:
            return samples
        return samples[self.lengths[samples].argsort(descending=True, stable=True)]
