"""A user's own texts with numbers: values or labels to learn of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.columns import chosen_columns
from al_lightning.data.texts.module import TextOptions
from al_lightning.data.texts.own_texts import OwnTexts
from al_lightning.data.texts.rows import RowSource
from al_lightning.data.texts.token_cache import TokenArrays
from al_lightning.targets.base import Target


class TextTable(OwnTexts):
    """Any set of texts with real numbers, or any number of labels, in columns beside them.

    Args:
        root: folder that is searched for ``source`` first.
        batch_size: texts per batch and process.
        val_fraction: share of the training rows that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains.
        seed: seed of the validation split and order.
        source: a csv or parquet file; a folder with ``train.csv`` and ``test.csv`` (or ``<split>-*.parquet``); or
            the name of a set on the Hugging Face Hub, ``owner/name``. Looked for in this order: below ``root``, as a
            path, on the Hub; what is written like a path is never looked for on the Hub.
        text_columns: columns whose texts are joined by a space.
        value_columns: columns of real numbers to learn; these or ``label_columns``.
        label_columns: columns of labels to learn, 0 or 1 each.
        test_split: name of the split to test on; if None, and for a single file, ``test_fraction`` of the training
            rows.
        test_fraction: share of the rows that is the test split where there is none; always the same rows.
        encoding: of csv files.
        max_length: largest number of tokens of a text; the rest is cut off.
        options: see :class:`~al_lightning.data.TextDataModule`.

    Raises:
        FileNotFoundError: if the source is not found.
        TypeError: if columns are no lists of names.
        ValueError: if an argument or the source is not as expected.
    """

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 64,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        source: str,
        text_columns: Sequence[str] = ("text",),
        value_columns: Sequence[str] | None = None,
        label_columns: Sequence[str] | None = None,
        test_split: str | None = "test",
        test_fraction: float = 0.2,
        encoding: str = "utf-8",
        max_length: int = 500,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, source=source, text_columns=text_columns,
            test_split=test_split, test_fraction=test_fraction, encoding=encoding, max_length=max_length, **options,
        )  # fmt: skip
        self._targets = chosen_columns(value_columns, label_columns)

    def find_target(self) -> Target:
        """Values standardised by the training rows, or labels."""
        return self._targets.target(self.training_labels())

    def source(self, split: str) -> RowSource:
        """Where the rows of a split are, and which of their columns are read."""
        return dataclasses.replace(super().source(split), label_column=None, targets=self._targets)

    def _labels(self, arrays: TokenArrays, split: str) -> Tensor:
        return self._targets.labels(arrays.values)
