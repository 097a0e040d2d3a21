"""A user's own texts: csv or parquet files, or any text classification set of the Hub."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import Unpack

from al_lightning.data.class_names import ClassNames, checked_names
from al_lightning.data.texts.labels import sorted_names
from al_lightning.data.texts.module import TextOptions
from al_lightning.data.texts.own_texts import OwnTexts
from al_lightning.data.texts.token_cache import TokenArrays


class TextClassification(OwnTexts):
    """Any set of texts with one label each: arguments say where the rows are and which columns to read.

    Args:
        root: folder that is searched for ``source`` first.
        batch_size: texts per batch and process.
        val_fraction: share of the training rows that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains.
        seed: seed of the validation split, label noise and order.
        source: a csv or parquet file; a folder with ``train.csv`` and ``test.csv`` (or ``<split>-*.parquet``); or
            the name of a set on the Hugging Face Hub, ``owner/name``. Looked for in this order: below ``root``, as a
            path, on the Hub; what is written like a path is never looked for on the Hub.
        text_columns: columns whose texts are joined by a space.
        label_column: column of the labels. They are strings: ``01`` and ``1``, ``2`` and ``2.0`` are different labels.
        test_split: name of the split to test on; if None, and for a single file, ``test_fraction`` of the training
            rows.
        test_fraction: share of the rows that is the test split where there is none; always the same rows.
        class_names: the labels (strings, or integers that become strings) in the order of the classes; or other
            names, none of them a number, where labels are the numbers of the classes from 0. If None, the names that
            come with the source, or else all labels of the training rows, sorted: by size if all are numbers, else as
            text.
        encoding: of csv files.
        max_length: largest number of tokens of a text; the rest is cut off.
        options: see :class:`~al_lightning.data.TextDataModule`.

    Raises:
        FileNotFoundError: if the source is not found.
        TypeError: if ``text_columns`` or ``class_names`` are no lists of names.
        ValueError: if an argument or the source is not as expected.
    """

    class_names: Sequence[str]

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
        label_column: str = "label",
        test_split: str | None = "test",
        test_fraction: float = 0.2,
        class_names: ClassNames | None = None,
        encoding: str = "utf-8",
        max_length: int = 500,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, source=source, text_columns=text_columns,
            test_split=test_split, test_fraction=test_fraction, encoding=encoding, max_length=max_length, **options,
        )  # fmt: skip
        self.label_column = label_column
        self.class_names = self._find_classes() if class_names is None else checked_names(class_names)
        self.num_classes = len(self.class_names)
        self.record(class_names=self.class_names)  # so that predicting needs no training text

    def _find_classes(self) -> list[str]:
        arrays = self._arrays("train")
        if arrays.label_names is not None:
            return arrays.label_names
        values = arrays.label_values
        if len(values) < 2 or len(values) > 1000:
            raise ValueError(
                f"Expected 2 to 1000 different labels in column {self.label_column!r} of {self.folder}, "
                f"but got {len(values)}. Set `label_column`."
            )
        return sorted_names(values)

    def spelled_labels(self, arrays: TokenArrays) -> list[str]:
        """The labels by the source's own names, if it has some: two splits may number the same names differently."""
        names = arrays.label_names
        if names is None or not set(names) & set(self.class_names):
            return arrays.label_values
        return [names[int(value)] for value in arrays.label_values]
