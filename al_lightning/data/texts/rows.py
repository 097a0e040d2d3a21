"""Reads rows of text and label from local files or the Hugging Face Hub, with ``datasets``."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: File endings that can be read, and the name of their reader in ``datasets``.
READERS = {".parquet": "parquet", ".csv": "csv"}


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
        label_column: column of the labels.
        encoding: text encoding of csv files.
    """

    name: str
    split: str
    files: tuple[Path, ...]
    folder: Path
    hub: str | None
    text_columns: tuple[str, ...]
    label_column: str
    encoding: str = "utf-8"

    def key(self) -> list[object]:
        """Everything that the contents of a cache of this split depend on."""
        files = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return [files or self.hub, self.split, self.text_columns, self.label_column, self.encoding]


@dataclass
class Rows:
    """Texts and labels as they stand in the source, row by row."""

    texts: list[str]
    labels: list[Any]
    #: Names of the classes, if the source has them.
    label_names: list[str] | None
    #: Rows without any text, kept as empty texts.
    empty: int


def split_files(folder: Path, split: str) -> tuple[Path, ...]:
    """The files ``<split>.csv``, ``<split>-*.parquet`` and so on, in order."""
    if not folder.is_dir():
        return ()
    found = [p for p in folder.iterdir() if p.suffix in READERS and p.stem.split("-")[0] == split]
    return tuple(sorted(found))


def read_rows(source: RowSource) -> Rows:
    """Read all rows of a split.

    Args:
        source: where they are.

    Returns:
        The rows. A row without text becomes an empty text: dropping it would change the test set.

    Raises:
        FileNotFoundError: if there is no local file and the Hub does not answer.
        ValueError: if a column is missing, a label is missing, or a file cannot be read.
    """
    with _open(source) as dataset:
        wanted = [*source.text_columns, source.label_column]
        lacking = [c for c in wanted if c not in dataset.column_names]
        if lacking:
            raise ValueError(
                f"Expected columns {', '.join(wanted)} in the {source.split} split of {source.name}, but "
                f"{lacking[0]!r} is not among {', '.join(dataset.column_names)}. Set `text_columns` and `label_column`."
            )
        columns = [dataset.data.column(c).to_pylist() for c in source.text_columns]
        labels = dataset.data.column(source.label_column).to_pylist()
        names = getattr(dataset.features[source.label_column], "names", None)
    for column, values in zip(source.text_columns, columns):
        strange = next((n for n, v in enumerate(values) if not isinstance(v, (str, type(None)))), None)
        if strange is not None:
            raise ValueError(
                f"Expected texts in column {column!r} of {source.name}, but row {strange} of its {source.split} split "
                f"holds {values[strange]!r}. Set `text_columns`."
            )
    texts = [" ".join(part for part in parts if part).strip() for parts in zip(*columns)]
    missing = next(
        (n for n, v in enumerate(labels) if v in (None, "") or (isinstance(v, float) and math.isnan(v))), None
    )
    if missing is not None:
        raise ValueError(
            f"Expected a label in every row, but row {missing} of the {source.split} split of {source.name} has none. "
            "Remove the row, or set `label_column`."
        )
    return Rows(texts, labels, None if names is None else list(names), sum(not t for t in texts))


@contextlib.contextmanager
def _open(source: RowSource) -> Iterator[Any]:
    """The split as a ``datasets.Dataset``, whose cache is deleted afterwards: we keep the tokens instead."""
    import datasets  # here, because it takes a second and is not needed once the tokens are cached

    if not source.files and source.hub is None:
        raise FileNotFoundError(_how_to_fill(source, "and no set of the Hub is named"))
    if len({f.suffix for f in source.files}) > 1:
        raise ValueError(f"Expected files of one kind in {source.folder}, but got csv and parquet. Keep one of them.")
    with tempfile.TemporaryDirectory() as scratch:
        shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            if source.files:
                reader = READERS[source.files[0].suffix]
                options: dict[str, Any] = {"encoding": source.encoding} if reader == "csv" else {}
                files = [str(f) for f in source.files]
                dataset = datasets.load_dataset(reader, data_files=files, split="train", cache_dir=scratch, **options)
            else:
                dataset = datasets.load_dataset(source.hub, split=source.split)
        except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
            if not source.files:
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise FileNotFoundError(_how_to_fill(source, f"and the Hub did not answer ({reason})")) from error
            raise ValueError(_what_is_wrong(source, error)) from error
        finally:
            if shown:
                datasets.enable_progress_bars()
        yield dataset


def _how_to_fill(source: RowSource, reason: str) -> str:
    hub = f"https://huggingface.co/datasets/{source.hub}" if source.hub else "the set's home page"
    return (
        f"Expected {source.split}-*.parquet or {source.split}.csv in {source.folder}, but there is none, {reason}. "
        f"Fetch the files of {source.hub or source.name} from {hub} there, or set `root`."
    )


def _what_is_wrong(source: RowSource, error: BaseException) -> str:
    for file in source.files:
        if file.suffix == ".csv":
            line = undecodable_line(file, source.encoding)
            if line is not None:
                return (
                    f"Expected {file} to be {source.encoding} text, but line {line} is not: encodings are mixed, or "
                    "the file has another one. Convert the file, or set `encoding`."
                )
    innermost: BaseException = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    return (
        f"Expected readable files, but {', '.join(map(str, source.files))} cannot be read ({innermost}). "
        "Fetch or write them again."
    )


def undecodable_line(file: Path, encoding: str) -> int | None:
    """Number of the first line, from 1, that cannot be decoded with an encoding; None if all can."""
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number
    return None


def read_lines(file: Path) -> list[str]:
    """Read a UTF-8 file with one text per line.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is empty, or not UTF-8.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected a text file with one text per line at {file}, but there is none. Set `predict_from` to one."
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
