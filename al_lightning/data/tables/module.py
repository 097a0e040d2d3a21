"""Vectors: rows of a table as float32, standardised where the set says so."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self, Unpack

from al_lightning.data.base import BaseDataModule
from al_lightning.data.columns import numbers
from al_lightning.data.dataset import LabelledDataset
from al_lightning.data.options import DataOptions
from al_lightning.data.places import READABLE, closest
from al_lightning.data.table_files import read_table


class VectorBatch(NamedTuple):
    """What a loader yields: vectors (B, D) float32, labels (B, ...)."""

    vectors: Tensor
    labels: Tensor


class Vectors(LabelledDataset[VectorBatch]):
    """Vectors and labels in memory.

    Args:
        vectors: (N, D) float64, as they stand in the source.
        labels: (N, ...).
        mean: (D,) float64, what is taken off each feature; nothing if None.
        std: (D,) float64, what each feature is divided by then.
    """

    def __init__(
        self, vectors: Tensor, labels: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> None:
        self.vectors = vectors
        self.labels = labels
        self.mean, self.std = mean, std

    def __getitem__(self, index: Tensor) -> VectorBatch:
        vectors = self.vectors[index]
        if self.mean is not None and self.std is not None:
            vectors = (vectors - vectors.new_tensor(self.mean)) / vectors.new_tensor(self.std)
        return VectorBatch(vectors.float(), self.labels[index])

    def take(self, samples: Tensor) -> tuple[Self, Tensor]:
        """Copy some samples, numbered anew, so that the memory of the others is freed."""
        taken = type(self)(self.vectors[samples], self.labels[samples], self.mean, self.std)
        return taken, torch.arange(len(samples))


class TableDataModule(BaseDataModule[VectorBatch, Vectors]):
    """Abstract base of sets of vectors: a subclass names their features and loads two splits.

    The batch that reaches the model is ``(x, y)`` with x (B, D) float32.

    Args:
        root: folder that is searched for the data.
        batch_size: rows per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains; 0 is fastest, as the rows are in memory.
        seed: seed of the validation split, label noise and order.
        options: see :class:`~al_lightning.data.BaseDataModule`; ``predict_from`` is a csv or parquet file with the
            columns of the features.

    Raises:
        ValueError: if an argument is out of its range.
    """

    raw_batch: ClassVar[type] = VectorBatch
    #: Names of the features, in order.
    feature_columns: Sequence[str]
    #: What is taken off each feature, and what it is divided by then; nothing if None.
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    #: Of csv files.
    encoding: str = "utf-8"

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, **options)

    @property
    def in_features(self) -> int:
        """D, how many features a vector has."""
        return len(self.feature_columns)

    @abstractmethod
    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Vectors (N, D) float64, as they stand in the source, and labels (N, ...) of a split."""

    def load_split(self, split: Literal["train", "test"]) -> tuple[Vectors, Tensor]:
        """Load a split; its features are standardised by whole batches."""
        vectors, labels = self.load(split)
        return Vectors(vectors, labels, self.mean, self.std), torch.arange(len(labels))

    def load_unlabelled(self, path: Path) -> tuple[Vectors, list[str]]:
        """Read the features in a csv or parquet file; rows are named by their numbers."""
        if not path.is_file() or path.suffix.lower() not in READABLE:
            there = "there is none" if not path.exists() else "that is none"
            raise FileNotFoundError(
                f"Expected a csv or parquet file with the columns of the features at {path}, but {there}."
                f"{closest([path])} Correct `predict_from`."
            )
        vectors = self.read_features(path)
        labels = torch.zeros(len(vectors), dtype=torch.long)
        return Vectors(vectors, labels, self.mean, self.std), [str(row) for row in range(len(vectors))]

    def read_features(self, file: Path) -> Tensor:
        """Features (N, D) float64 of a csv or parquet file.

        Raises:
            ValueError: if a column is missing or holds what is no number, naming file, row and column.
        """
        columns = read_table(file, self.feature_columns, self.encoding, "Set `feature_columns`.")
        read = [numbers(columns[name], name, str(file)) for name in self.feature_columns]
        return torch.from_numpy(np.stack(read, 1))

    def prepare(self, batch: VectorBatch, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """``(x, y)``: vectors (B, D) float32 and labels (B, ...); nothing is random."""
        return batch.vectors, batch.labels
