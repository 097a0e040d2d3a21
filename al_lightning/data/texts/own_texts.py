"""A user's own texts: where their rows are, whatever is learned of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from typing_extensions import Unpack

from al_lightning.data.places import READABLE, find_source, missing, split_files
from al_lightning.data.texts.module import TextDataModule, TextOptions
from al_lightning.data.texts.rows import RowSource


class OwnTexts(TextDataModule):
    """Abstract base of sets that a user names: a subclass says which columns are learned.

    Args:
        root: folder that is searched for ``source`` first.
        batch_size: texts per batch and process.
        val_fraction: share of the training rows that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains.
        seed: seed of the validation split, label noise and order.
        source: a csv or parquet file, a folder of files of each split, or the name of a set on the Hugging Face Hub.
        text_columns: columns whose texts are joined by a space.
        test_split: name of the split to test on; if None, and for a single file, ``test_fraction`` of the training
            rows.
        test_fraction: share of the rows that is the test split where there is none; always the same rows.
        encoding: of csv files.
        max_length: largest number of tokens of a text; the rest is cut off.
        options: see :class:`~al_lightning.data.TextDataModule`.

    Raises:
        TypeError: if ``text_columns`` are no list of names.
        ValueError: if an argument is not as expected.
    """

    def __init__(
        self,
        root: str,
        batch_size: int,
        val_fraction: float,
        num_workers: int,
        seed: int,
        *,
        source: str,
        text_columns: Sequence[str],
        test_split: str | None,
        test_fraction: float,
        encoding: str,
        max_length: int,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, max_length=max_length, **options)
        if isinstance(text_columns, str):
            raise TypeError(f"Expected `text_columns` to be a list of names, but got {text_columns!r}. Write a list.")
        if not text_columns:
            raise ValueError("Expected `text_columns` to name at least one column, but got none.")
        if not 0 < test_fraction < 1:
            raise ValueError(f"Expected `test_fraction` to be in (0, 1), but got {test_fraction}.")
        self._source = source
        self._path, on_hub = find_source(root, source)
        self.folder = self._path.name or self._path.resolve().name
        self.hub = source if on_hub else None
        self.text_columns = tuple(text_columns)
        self.encoding = encoding
        self.test_fraction = test_fraction
        self.test_split = None if self._path.is_file() else test_split
        if self._path.is_file() and self._path.suffix.lower() not in READABLE:
            raise ValueError(
                f"Expected `source` to be one of {', '.join(READABLE)}, but got {source}. Write it as one of these."
            )

    def source(self, split: str) -> RowSource:
        """Where the rows of a split are: the file itself, a folder, or the Hub.

        Raises:
            FileNotFoundError: if the source is written like a path, and nothing is there.
        """
        if self.hub is None and not self._path.exists():
            # Not in the constructor: a checkpoint predicts other texts when the training texts are gone.
            raise FileNotFoundError(missing(self.root, self._source))
        files = (self._path,) if self._path.is_file() else split_files(self._path, split)
        return dataclasses.replace(super().source(split), files=files, folder=self._path)
