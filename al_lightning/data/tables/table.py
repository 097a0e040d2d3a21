"""A user's own table of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.class_names import ClassNames, checked_names
from al_lightning.data.columns import TargetColumns, check_one_of, checked_columns, chosen_columns
from al_lightning.data.options import DataOptions
from al_lightning.data.table_files import columns_of, read_table, table_files, table_source
from al_lightning.data.tables.module import TableDataModule
from al_lightning.data.texts.labels import class_number, label_text, sorted_names
from al_lightning.targets.base import Target


class Table(TableDataModule):
    """Rows of a csv or parquet file: features, and what is learned of them, by the names of their columns.

    What is learned is exactly one of: real numbers (``value_columns``), any number of labels (``label_columns``) or one
    class (``class_column``). Features are standardised by the training rows.

    Args:
        root: folder that is searched for ``source`` first.
        batch_size: rows per batch and process.
        val_fraction: share of the training rows that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains; 0 is fastest, as the rows are in memory.
        seed: seed of the validation split, label noise and order.
        source: a csv or parquet file; or a folder with ``train.csv`` and ``test.csv`` (or ``<split>-*.parquet``).
            Looked for below ``root``, then as a path.
        value_columns: columns of real numbers to learn.
        label_columns: columns of labels to learn, 0 or 1 each.
        class_column: column of the classes to learn. They are strings: ``01`` and ``1`` are different classes.
        feature_columns: columns of numbers to learn from; if None, all others.
        test_fraction: share of the rows that is the test split where there is no test file; always the same rows.
        class_names: the classes in order; if None, those of the training rows, sorted: by size if all are numbers,
            else as text.
        mean: what is taken off each feature; the mean of the training rows if None.
        std: what each feature is divided by; the standard deviation of the training rows, 1 for a constant feature, if
            None.
        encoding: of csv files.
        options: see :class:`~al_lightning.data.BaseDataModule`; ``predict_from`` is a csv or parquet file with the
            columns of the features.

    Raises:
        FileNotFoundError: if the source is not found.
        TypeError: if columns or ``class_names`` are no lists of names.
        ValueError: if an argument or the source is not as expected.
    """

    found_arguments: ClassVar[frozenset[str]] = TableDataModule.found_arguments | {"feature_columns", "mean", "std"}

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        source: str,
        value_columns: Sequence[str] | None = None,
        label_columns: Sequence[str] | None = None,
        class_column: str | None = None,
        feature_columns: Sequence[str] | None = None,
        test_fraction: float = 0.2,
        class_names: ClassNames | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        encoding: str = "utf-8",
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, **options)
        if not 0 < test_fraction < 1:
            raise ValueError(f"Expected `test_fraction` to be in (0, 1), but got {test_fraction}.")
        self._source, self._path = source, table_source(root, source)
        check_one_of(value_columns=value_columns, label_columns=label_columns, class_column=class_column)
        self._targets: TargetColumns | None = None
        if class_column is None:
            self._targets = chosen_columns(value_columns, label_columns)
        self._class_column = class_column
        self.test_fraction, self.encoding = test_fraction, encoding
        learned = self._targets.names if self._targets is not None else (str(class_column),)
        self.feature_columns = self._features(feature_columns, learned)
        if class_column is not None:
            self.class_names = self._find_classes() if class_names is None else checked_names(class_names)
            self.num_classes = len(self.class_names)
        elif class_names is not None:
            raise ValueError(
                f"Expected `class_names` beside a `class_column` only, but got {list(class_names)} without one. Leave "
                "them out."
            )
        self.mean, self.std = self._scales(mean, std)
        found = {"feature_columns": list(self.feature_columns), "mean": list(self.mean), "std": list(self.std)}
        self.record(class_names=self.class_names, **found)  # so that predicting needs no training rows

    def find_target(self) -> Target | None:
        """Values standardised by the training rows, or labels; None for classes."""
        return None if self._targets is None else self._targets.target(self.training_labels())

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Features (N, D) float64 and labels of a split: values (N, .) float32, labels (N, .) uint8 or classes (N,)."""
        files, both = self._files(split)
        vectors = torch.cat([self.read_features(file) for file in files])
        labels = torch.cat([self._labels(file) for file in files])
        if not both:
            return vectors, labels
        own = self.own_part(labels, split)
        return vectors[own], labels[own]

    def _files(self, split: Literal["train", "test"]) -> tuple[tuple[Path, ...], bool]:
        return table_files(self.root, self._source, self._path, split)

    def _features(self, asked: Sequence[str] | None, learned: tuple[str, ...]) -> tuple[str, ...]:
        if asked is None:
            there = columns_of(self._files("train")[0][0], self.encoding)
            asked = [name for name in there if name not in learned]
            if not asked:
                raise ValueError(f"Expected columns to learn from beside {', '.join(learned)}, but there is none.")
        features = checked_columns(asked, "feature_columns")
        both = [name for name in features if name in learned]
        if both:
            raise ValueError(
                f"Expected `feature_columns` without what is learned, but {both[0]!r} is both. Take it out of one."
            )
        return features

    def _find_classes(self) -> list[str]:
        names = sorted_names(label for file in self._files("train")[0] for label in self._spelled(file))
        if not 2 <= len(names) <= 1000:
            raise ValueError(
                f"Expected 2 to 1000 different classes in column {self._class_column!r} of {self._source}, but got "
                f"{len(names)}. Name columns of numbers to predict `value_columns`."
            )
        return names

    def _spelled(self, file: Path) -> list[str]:
        """The class of each row, as it stands in a file."""
        column = str(self._class_column)
        labels: list[str] = []
        for row, value in enumerate(read_table(file, [column], self.encoding, "Set `class_column`.")[column]):
            label = label_text(value)
            if label is None:
                raise ValueError(
                    f"Expected a class in every row of column {column!r} of {file}, but row {row} has none. Fill it "
                    "in, or remove the row."
                )
            labels.append(label)
        return labels

    def _labels(self, file: Path) -> Tensor:
        if self._targets is not None:
            names = self._targets.names
            remedy = f"Set `{'value' if self._targets.kind == 'values' else 'label'}_columns`."
            return self._targets.labels(self._targets.read(read_table(file, names, self.encoding, remedy), str(file)))
        known = self.class_names or ()
        spelled = self._spelled(file)
        numbers = {label: class_number(label, known) for label in set(spelled)}
        for row, label in enumerate(spelled):
            if numbers[label] is None:
                raise ValueError(
                    f"Expected classes among {', '.join(known[:20])} in column {self._class_column!r} of {file}, but "
                    f"row {row} has {label!r}. Correct the row, or set `class_names`."
                )
        return torch.tensor([numbers[label] for label in spelled])

    def _scales(
        self, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What standardises features: what was given, else that of the training rows."""
        if mean is None or std is None:
            data = self.dataset("train")
            rows = data.vectors[self.indices("train")]
            constant = (rows == rows[0]).all(0)
            mean = rows.mean(0).tolist() if mean is None else mean
            std = rows.std(0, correction=0).masked_fill(constant, 1.0).tolist() if std is None else std
            data.mean, data.std = list(mean), list(std)  # the set was loaded without them
        if not len(mean) == len(std) == self.in_features or min(std) <= 0:
            raise ValueError(
                f"Expected `mean` and `std` to hold a number for each of the {self.in_features} features, std above 0, "
                f"but got {list(mean)} and {list(std)}."
            )
        return tuple(mean), tuple(std)
