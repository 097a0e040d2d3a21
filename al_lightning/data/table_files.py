"""Reads columns of a table, a csv or a parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from al_lightning.data.csv_files import check_columns, csv_columns, read_csv
from al_lightning.data.places import READABLE, closest, missing, split_files


def table_source(root: str, source: str, argument: str = "source") -> Path:
    """Where a table, or the folder of a table's splits, is: below ``root``, or at its own path.

    Raises:
        ValueError: if nothing is named, or a file of another kind.
    """
    if not source:
        raise ValueError(f"Expected `{argument}` to name a csv or parquet file, or a folder of some, but it is empty.")
    written = Path(source).expanduser()
    below = Path(root) / written
    path = below if below.exists() else written
    if path.is_file() and path.suffix.lower() not in READABLE:
        raise ValueError(
            f"Expected `{argument}` to be one of {', '.join(READABLE)}, or a folder of some, but got {source}. Write "
            "it as one of these."
        )
    return path


def table_files(
    root: str, source: str, path: Path, split: str, argument: str = "source"
) -> tuple[tuple[Path, ...], bool]:
    """The files that hold a split, and whether they hold the test split too, which then has to be drawn.

    Args:
        root: folder that was searched first, for messages.
        source: what the user wrote, for messages.
        path: of the file or the folder, as :func:`table_source` found it.
        split: ``"train"`` or ``"test"``.
        argument: that named the source.

    Raises:
        FileNotFoundError: if there is no such file, or none for training in the folder.
    """
    if not path.exists():
        raise FileNotFoundError(missing(root, source, argument, hub=False))
    if path.is_file():
        return (path,), True
    own, test = split_files(path, split), split_files(path, "test")
    files = own or split_files(path, "train")
    if not files:
        raise FileNotFoundError(
            f"Expected train.csv or train-*.parquet in {path}, but there is none."
            f"{closest([path / 'train.csv'])} Name the files so, or name one file."
        )
    return files, not test


def columns_of(file: Path, encoding: str) -> list[str]:
    """Names of all columns of a table.

    Raises:
        ValueError: if the file cannot be read.
    """
    if file.suffix.lower() == ".csv":
        return csv_columns(file, encoding)
    return [str(name) for name in _parquet(file).schema_arrow.names]


def read_table(file: Path, columns: Sequence[str], encoding: str, remedy: str) -> dict[str, list[Any]]:
    """Read some columns of a table.

    Args:
        file: a csv or a parquet file.
        columns: names of the columns to read.
        encoding: of a csv file.
        remedy: what to do about columns that are missing.

    Returns:
        The values of each column, row by row: strings of a csv file.

    Raises:
        ValueError: if a column is missing, there is no row, or the file cannot be read.
    """
    if file.suffix.lower() == ".csv":
        read: dict[str, list[Any]] = {**read_csv(file, columns, encoding, remedy)}
    else:
        parquet = _parquet(file)
        check_columns(parquet.schema_arrow.names, columns, str(file), remedy)
        table = parquet.read(columns=list(columns))
        read = {name: python_values(table.column(name)) for name in columns}
    if columns and not read[columns[0]]:
        raise ValueError(f"Expected at least one row in {file}, but there is none. Write the file again.")
    return read


def _parquet(file: Path) -> Any:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"Expected a readable file, but {file} cannot be read ({error}). Write it again.") from error


def python_values(column: pa.ChunkedArray) -> list[Any]:
    """Python values; numbers of less than double precision as few digits write them: 0.1, not 0.10000000149011612."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_floating(column.type) and column.type.bit_width < 64:
        return [float(str(number)) for number in column.to_numpy()]
    return values
