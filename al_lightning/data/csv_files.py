"""Reads columns of csv files as strings: what looks like a number, a date or "NA" is text like any other."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

#: Bytes that are parsed at a time; a row must fit.
_BLOCK = 1 << 26


def read_csv(file: Path, columns: Sequence[str], encoding: str, remedy: str) -> dict[str, list[str]]:
    """Read some columns of a csv file with a header.

    Args:
        file: the file; fields may be quoted by ``"`` and then hold commas and line breaks.
        columns: names of the columns to read.
        encoding: text encoding; a byte order mark is left out.
        remedy: what to do about columns that are missing.

    Returns:
        The strings of each column, row by row; an empty field is an empty string. Empty lines are no rows.

    Raises:
        ValueError: if a column is missing or stands there twice, or a row has another number of fields than the header,
            naming the row; or the file cannot be decoded, naming the line; or there is no such encoding.
    """
    encoding = _known(encoding)
    header = csv_columns(file, encoding)
    check_columns(header, columns, str(file), remedy)
    twice = [name for name, times in Counter(header).items() if times > 1 and name in columns]
    if twice:
        raise ValueError(f"Expected each column of {file} once, but {twice[0]!r} stands there twice. Rename one.")
    strange: list[pa_csv.InvalidRow] = []

    def remember(row: pa_csv.InvalidRow) -> str:
        strange.append(row)
        return "skip" if len(strange) > 1 else "error"

    try:
        table = pa_csv.read_csv(
            file,
            pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK, encoding=encoding),  # so that rows have numbers
            pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=remember),
            pa_csv.ConvertOptions(
                include_columns=list(columns),
                column_types={name: pa.string() for name in columns},
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        if strange:
            row = strange[0]
            hint = (
                "Put a text that holds commas into double quotes"
                if row.actual_columns > row.expected_columns
                else "Complete the row, or put a text that holds line breaks into double quotes"
            )
            raise ValueError(
                f"Expected {row.expected_columns} fields in every row of {file}, as its header has, but row "
                f"{_number(row)} has {row.actual_columns}: {row.text[:80]!r}. {hint}."
            ) from None
        if str(error).endswith("cannot infer number of columns"):  # a header without a line break after it
            return {name: [] for name in columns}
        raise ValueError(_why_not_read(file, encoding, error)) from error
    return {name: table.column(name).to_pylist() for name in columns}


def _known(encoding: str) -> str:
    """Python's own name of an encoding."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(
            f"Expected `encoding` to be one that Python knows, but got {encoding!r}. Try utf-8, cp1252 or utf-16."
        ) from None


def _number(row: pa_csv.InvalidRow) -> str:
    """Number of a row of data, from 0, as other messages count them."""
    return "?" if row.number is None else str(row.number - 2)


def check_columns(there: Sequence[str], wanted: Sequence[str], where: str, remedy: str) -> None:
    """Refuse to read columns that are not there.

    Args:
        there: names of the columns of a file.
        wanted: names of the columns to read.
        where: name of the file or of the set, for messages.
        remedy: what to do about columns that are missing.

    Raises:
        ValueError: naming the columns that are.
    """
    lacking = [name for name in wanted if name not in there]
    if not lacking:
        return
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(there) == 1 and separator in there[0]:
            remedy = f"Its fields are separated by {name}: write it with commas."
    raise ValueError(
        f"Expected columns {', '.join(wanted)} in {where}, but {lacking[0]!r} is not among "
        f"{', '.join(name if len(name) <= 40 else f'{name[:40]}...' for name in there)}. {remedy}"
    )


def csv_columns(file: Path, encoding: str) -> list[str]:
    """Names of the columns of a csv file, as its first line has them.

    Raises:
        ValueError: if the file is empty or cannot be decoded, or there is no such encoding.
    """
    encoding = _known(encoding)
    try:
        with open(file, encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as lines:
            header = next((names for names in csv.reader(lines) if names), None)
    except (UnicodeError, csv.Error) as error:
        raise ValueError(_why_not_read(file, encoding, error)) from error
    if not header:
        raise ValueError(f"Expected {file} to begin with the names of its columns, but it is empty.")
    return header


def _why_not_read(file: Path, encoding: str, error: BaseException) -> str:
    line = undecodable_line(file, encoding)
    if line is not None:
        return (
            f"Expected {file} to be {encoding} text, but line {line} is not: encodings are mixed, or "
            "the file has another one. Convert the file, or set `encoding`."
        )
    return f"Expected a readable file, but {file} cannot be read ({error}). Write it again."


def undecodable_line(file: Path, encoding: str) -> int | None:
    """Number of the first line, from 1, that cannot be decoded with an encoding; None if all can."""
    content = file.read_bytes()
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return content[: error.start].decode(encoding, errors="ignore").count("\n") + 1
    return None
