"""Columns of a table as numbers: features, and the targets of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_lightning.targets.base import Target
from al_lightning.targets.labels import LabelTarget
from al_lightning.targets.values import ValueTarget

_TRUTHS = {"true": 1.0, "false": 0.0}


def numbers(values: Sequence[object], column: str, where: str) -> NDArray[np.float64]:
    """A column as numbers, (N,) float64.

    Args:
        values: row by row, strings or numbers.
        column: its name, for messages.
        where: name of the file or of the set, for messages.

    Raises:
        ValueError: if a row is empty, or holds what is no finite number, naming it.
    """
    read = np.empty(len(values), np.float64)
    for row, value in enumerate(values):
        number = _number(value)
        if number is None:
            raise ValueError(
                f"Expected a number in every row of column {column!r} of {where}, but row {row} is empty. Fill it in, "
                "or remove the row."
            )
        if not math.isfinite(number):
            raise ValueError(
                f"Expected a number in every row of column {column!r} of {where}, but row {row} holds {value!r:.100}. "
                "Correct it, or leave the column out."
            )
        read[row] = number
    return read


def _number(value: Any) -> float | None:
    """A value as a number; NaN if it is none, None if there is no value."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and "_" in value:  # Python's own way to write numbers, and nobody's in a file
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def truths(values: Sequence[object], column: str, where: str) -> NDArray[np.float64]:
    """A column of 0 and 1, or of true and false, as numbers, (N,) float64.

    Raises:
        ValueError: as :func:`numbers`; or if a number is neither 0 nor 1, naming the row.
    """
    spelt = [_TRUTHS.get(v.strip().lower(), v) if isinstance(v, str) else v for v in values]
    read = numbers(spelt, column, where)
    strange = np.flatnonzero((read != 0) & (read != 1))
    if len(strange):
        row = int(strange[0])
        raise ValueError(
            f"Expected 0 or 1 in every row of column {column!r} of {where}, but row {row} holds {values[row]!r:.100}. "
            "Give a column of 0 and 1 for each label, or name columns of other numbers `value_columns`."
        )
    return read


@dataclass(frozen=True)
class TargetColumns:
    """Columns that are what is learned of each row.

    Attributes:
        names: of the columns, in order.
        kind: ``"values"``, real numbers; or ``"labels"``, 0 or 1 each.
    """

    names: tuple[str, ...]
    kind: Literal["values", "labels"]

    def read(self, columns: Mapping[str, Sequence[object]], where: str) -> NDArray[np.float64]:
        """Rows (N, D) of numbers.

        Args:
            columns: from the names of columns to their values.
            where: name of the file or of the set, for messages.

        Raises:
            ValueError: if a value is none of its kind, naming column and row.
        """
        read = numbers if self.kind == "values" else truths
        return np.stack([read(columns[name], name, where) for name in self.names], 1)

    def labels(self, rows: NDArray[np.float64]) -> Tensor:
        """Labels (N, D) of data sets: float32, or uint8 for 0 and 1."""
        return torch.from_numpy(rows.astype(np.float32 if self.kind == "values" else np.uint8))

    def target(self, labels: Tensor) -> Target:
        """The target of some training labels (N, D).

        Raises:
            ValueError: if a column of values is constant.
        """
        return ValueTarget.of(labels, self.names) if self.kind == "values" else LabelTarget(len(self.names), self.names)


def chosen_columns(value_columns: Sequence[str] | None, label_columns: Sequence[str] | None) -> TargetColumns:
    """The columns that a user named as targets.

    Args:
        value_columns: columns of real numbers.
        label_columns: columns of 0 and 1.

    Raises:
        TypeError: if columns are a single string.
        ValueError: if not exactly one kind is named, or names are missing or not different.
    """
    check_one_of(value_columns=value_columns, label_columns=label_columns)
    if value_columns is not None:
        return TargetColumns(checked_columns(value_columns, "value_columns"), "values")
    return TargetColumns(checked_columns(label_columns or (), "label_columns"), "labels")


def check_one_of(**given: object) -> None:
    """Refuse arguments of which not exactly one is given.

    Raises:
        ValueError: naming them.
    """
    named = [name for name, columns in given.items() if columns is not None]
    if len(named) != 1:
        raise ValueError(
            f"Expected exactly one of {', '.join(f'`{name}`' for name in given)}, but got "
            f"{' and '.join(named) or 'none'}. Name what is to be learned."
        )


def checked_columns(columns: Sequence[str], argument: str) -> tuple[str, ...]:
    """Names of columns as a user gives them.

    Raises:
        TypeError: if they are a single string.
        ValueError: if there is none, or one stands there twice.
    """
    if isinstance(columns, str):
        raise TypeError(f"Expected `{argument}` to be a list of names, but got {columns!r}. Write a list.")
    names = tuple(str(name) for name in columns)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Expected `{argument}` to be one or more different names, but got {list(names)}.")
    return names
