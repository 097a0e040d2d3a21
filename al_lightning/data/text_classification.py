"""A user's own texts: csv or parquet files, or any text classification set of the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import Unpack

from al_lightning.data.rows import READERS, RowSource, split_files
from al_lightning.data.textdata import TextDataModule, TextOptions
from al_lightning.data.tokens import TokenArrays


class TextClassification(TextDataModule):
    """Rows of text and label by arguments alone.

    Args:
        root: folder of the text set: ``source`` is looked for below it, then as a path, then on the Hub.
        batch_size: texts a batch and process.
        val_fraction: share of the training rows held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise and order.
        source: a csv or parquet file; a folder with ``train.csv`` and ``test.csv`` (or ``<split>-*.parquet``); or
            the name of a set of the Hub, ``owner/name``.
        text_columns: columns whose texts are joined by a space.
        label_column: column of the label: numbers or strings.
        test_split: name of the split to test on; None tests on ``test_fraction`` of the training rows, as does a
            single file.
        test_fraction: share of the rows that is the test split where there is none; always the same rows.
        class_names: labels in the order of the classes, or, where labels are numbers from 0, names for them. If
            None: the source's own names, else the different labels of the training rows, sorted.
        encoding: of csv files.
        max_length: most tokens of a text; the rest is cut off and counted.
        options: see :class:`~al_lightning.data.TextDataModule`.

    Raises:
        FileNotFoundError: if the source is not found.
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
        label_column: str = "label",
        test_split: str | None = "test",
        test_fraction: float = 0.2,
        class_names: list[str] | None = None,
        encoding: str = "utf-8",
        max_length: int = 500,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, max_length=max_length, **options)
        if not text_columns:
            raise ValueError("Expected `text_columns` to name at least one column, but got none.")
        if not 0 < test_fraction < 1:
            raise ValueError(f"Expected `test_fraction` to be in (0, 1), but got {test_fraction}.")
        below = Path(root) / source
        self._path = below if below.exists() else Path(source)
        self.folder = Path(source).name
        self.hub = None if self._path.exists() or source.count("/") > 1 else source
        self.text_columns = tuple(text_columns)
        self.label_column = label_column
        self.encoding = encoding
        self.test_fraction = test_fraction
        self.test_split = None if self._path.is_file() else test_split
        if self._path.is_file() and self._path.suffix not in READERS:
            raise ValueError(
                f"Expected `source` to be one of {', '.join(READERS)}, but got {source}. Write it as one of these."
            )
        self.class_names = class_names or self._find_classes()
        self.num_classes = len(self.class_names)
        self.record(class_names=self.class_names)  # predicting needs no training text

    def source(self, split: str) -> RowSource:
        """Where the rows of a split are: the file itself, a folder, or the Hub."""
        below = super().source(split)
        if self._path.is_file():
            files: tuple[Path, ...] = (self._path,)
        else:
            files = split_files(self._path, split)
        return RowSource(
            below.name, split, files, self._path, self.hub, below.text_columns, below.label_column, below.encoding
        )

    def _find_classes(self) -> list[str]:
        arrays = self._arrays("train")
        if arrays.label_names is not None:
            return arrays.label_names
        values = arrays.label_values
        numbers = all(isinstance(v, int) for v in values)
        if len(values) < 2 or len(values) > 1000:
            raise ValueError(
                f"Expected 2 to 1000 different labels in column {self.label_column!r} of {self.folder}, "
                f"but got {len(values)}. Set `label_column`."
            )
        return [str(v) for v in (sorted(values, key=int) if numbers else sorted(values, key=str))]

    def class_values(self, arrays: TokenArrays) -> Sequence[int | str]:
        """Labels in the order of the classes."""
        if arrays.label_names is not None:
            return range(self.num_classes)
        if any(isinstance(v, str) for v in arrays.label_values):
            return self.class_names
        try:
            return [int(name) for name in self.class_names]
        except ValueError:
            return range(self.num_classes)  # names for numbers from 0
