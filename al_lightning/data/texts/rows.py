"""Reads rows of text and label from local files or the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_lightning.data.columns import TargetColumns
from al_lightning.data.csv_files import check_columns, read_csv, undecodable_line
from al_lightning.data.places import closest, how_to_fill
from al_lightning.data.table_files import python_values
from al_lightning.data.texts.labels import label_text


@dataclass(frozen=True)
class RowSource:
    """Where the rows of one split of a set are: in local files, or on the Hugging Face Hub.

    Attributes:
        name: name of the set, for messages and caches.
        split: name of the split.
        files: local files in order; empty if the Hub has to be asked.
        folder: where files were looked for, for messages.
        hub: ``owner/name`` on the Hub; None if the set is not there.
        text_columns: columns whose texts are joined by a space.
        label_column: column of the labels; None if nobody needs them.
        encoding: text encoding of csv files.
        targets: columns of numbers that are learned in place of one label, if there are some.
    """

    name: str
    split: str
    files: tuple[Path, ...]
    folder: Path
    hub: str | None
    text_columns: tuple[str, ...]
    label_column: str | None
    encoding: str = "utf-8"
    targets: TargetColumns | None = None

    @property
    def labelled(self) -> bool:
        """Whether anything but the texts is read."""
        return self.label_column is not None or self.targets is not None

    @property
    def where(self) -> str:
        """The source for messages."""
        return f"the {self.split} split of {self.name}" if self.labelled else self.name

    def key(self) -> list[object]:
        """Everything that the contents of a cache of this split depend on."""
        files = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        own = [] if self.targets is None else [self.targets.kind, self.targets.names]
        return [files or self.hub, self.split, self.text_columns, self.label_column, self.encoding, *own]


@dataclass
class Rows:
    """Texts and labels as they stand in the source, row by row."""

    texts: list[str]
    #: Strings, whatever type the source gives them.
    labels: list[str]
    #: Names of the classes, if the source has them; labels are then their numbers.
    label_names: list[str] | None
    #: Rows without any text, kept as empty texts.
    empty: int
    #: (N, D) float64, the numbers that are learned in place of labels; no columns without.
    values: NDArray[np.float64] | None = None


def read_rows(source: RowSource) -> Rows:
    """Read all rows of a split.

    Args:
        source: where they are.

    Returns:
        The rows. A row without text becomes an empty text: dropping it would change the test set.

    Raises:
        FileNotFoundError: if there is no local file and the Hub does not answer.
        ValueError: if there are no rows, a column is missing, a label is missing or no single value, a number that is
            learned is none, or a file cannot be read.
    """
    wanted = [*source.text_columns, *([source.label_column] if source.label_column is not None else [])]
    wanted += [] if source.targets is None else source.targets.names
    columns, names = _read_columns(source, wanted)
    texts = _texts(source, columns)
    if not texts:
        raise ValueError(f"Expected at least one row in {source.where}, but there is none. Write the file again.")
    values = columns[source.label_column] if source.label_column is not None else [0] * len(texts)
    targets = None if source.targets is None else source.targets.read(columns, source.where)
    return Rows(texts, _labels(source, values, names), names, sum(not t for t in texts), targets)


def _read_columns(source: RowSource, wanted: Sequence[str]) -> tuple[dict[str, list[Any]], list[str] | None]:
    """Columns of a split, and names of the classes if the source has them."""
    endings = {f.suffix.lower() for f in source.files}
    if len(endings) > 1:
        raise ValueError(f"Expected files of one kind in {source.folder}, but got csv and parquet. Keep one of them.")
    if endings == {".csv"}:
        unique = list(dict.fromkeys(wanted))
        parts = [read_csv(file, unique, source.encoding, _remedy(source)) for file in source.files]
        return {name: [value for part in parts for value in part[name]] for name in wanted}, None
    with _open(source) as dataset:
        check_columns(dataset.column_names, wanted, source.where, _remedy(source))
        columns = {name: python_values(dataset.data.column(name)) for name in wanted}
        feature = None if source.label_column is None else dataset.features[source.label_column]
        names = getattr(feature, "names", None)
    return columns, None if names is None else list(names)


def _remedy(source: RowSource) -> str:
    if source.targets is not None:
        return f"Set `text_columns` and `{'value' if source.targets.kind == 'values' else 'label'}_columns`."
    if source.label_column is not None:
        return "Set `text_columns` and `label_column`."
    return "Name the columns as in the training data, or write one text per line into a .txt file."


def _texts(source: RowSource, columns: dict[str, list[Any]]) -> list[str]:
    for name in source.text_columns:
        strange = next((n for n, v in enumerate(columns[name]) if not isinstance(v, (str, type(None)))), None)
        if strange is not None:
            raise ValueError(
                f"Expected texts in column {name!r} of {source.name}, but row {strange} of its {source.split} split "
                f"holds {columns[name][strange]!r:.100}. Set `text_columns`."
            )
    rows = zip(*(columns[name] for name in source.text_columns))
    return [" ".join(part for part in parts if part).strip() for parts in rows]


def _labels(source: RowSource, values: list[Any], names: list[str] | None) -> list[str]:
    labels: list[str] = []
    for row, value in enumerate(values):
        try:
            label = None if names is not None and value == -1 else label_text(value)  # the Hub's sign for none
        except TypeError:
            raise ValueError(
                f"Expected one label in every row, but row {row} of the {source.split} split of {source.name} has "
                f"{value!r:.100}. Set `label_column`, or write one number or word per row."
            ) from None
        if label is None:
            raise ValueError(
                f"Expected a label in every row, but row {row} of the {source.split} split of {source.name} has none. "
                "Remove the row, or set `label_column`."
            )
        labels.append(label)
    return labels


@contextlib.contextmanager
def _open(source: RowSource) -> Iterator[Any]:
    """The split as a ``datasets.Dataset``, whose cache is deleted afterwards: we keep the tokens instead."""
    import datasets  # here, because it takes a second and is not needed once the tokens are cached

    if not source.files and source.hub is None:
        raise FileNotFoundError(how_to_fill(source.split, source.folder, None, ""))
    with tempfile.TemporaryDirectory() as scratch:
        shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            if source.files:
                files = [str(f) for f in source.files]
                dataset = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=scratch)
            else:
                dataset = datasets.load_dataset(source.hub, split=source.split)
        except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
            if not source.files:
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise FileNotFoundError(how_to_fill(source.split, source.folder, source.hub, reason)) from error
            innermost: BaseException = error
            while innermost.__cause__ is not None:
                innermost = innermost.__cause__
            raise ValueError(
                f"Expected readable files, but {', '.join(map(str, source.files))} cannot be read ({innermost}). "
                "Fetch or write them again."
            ) from error
        finally:
            if shown:
                datasets.enable_progress_bars()
        yield dataset


def read_lines(file: Path) -> list[str]:
    """Read a UTF-8 file with one text per line.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is empty, or not UTF-8.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected a text file with one text per line, a csv or a parquet file at {file}, but there is none."
            f"{closest([file])} Correct `predict_from`."
        )
    try:
        lines: Sequence[str] = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ValueError(
            f"Expected {file} to be UTF-8 text, but line {undecodable_line(file, 'utf-8')} is not. Convert the file."
        ) from None
    texts = [line.rstrip("\r") for line in lines]
    if texts and texts[-1] == "":
        texts.pop()  # the empty rest after the last line break is no text
    if not texts:
        raise ValueError(f"Expected at least one line of text in {file}, but it is empty. Write one text per line.")
    return texts
