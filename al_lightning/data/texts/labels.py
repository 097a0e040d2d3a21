"""Labels are strings: which string is which class is said once, by the names of the classes, for all splits."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"(\d+)(\.0*)?")


def label_text(value: object) -> str | None:
    """A label as it stands in a file, as a string.

    Returns:
        The string; None if there is no label, or nothing but white space.

    Raises:
        TypeError: for what is no single value, such as a list.

    Example:
        >>> [label_text(v) for v in (3, 2.0, True, "NA", None)]
        ['3', '2.0', 'True', 'NA', None]
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, (str, bool, int, float, Decimal, datetime.date, datetime.time, datetime.timedelta)):
        return str(value)
    raise TypeError(f"{value!r} is no single value")


def sorted_names(labels: Iterable[str]) -> list[str]:
    """Labels in the order of the classes that they name: numbers by size, in their own spelling; else as text.

    Example:
        >>> sorted_names(["10.0", "2.0"]), sorted_names(["10", "2", "other"])
        (['2.0', '10.0'], ['10', '2', 'other'])
    """
    names = sorted(set(labels))
    return sorted(names, key=float) if all(_NUMBER.fullmatch(name) for name in names) else names


def class_number(label: str, class_names: Sequence[str]) -> int | None:
    """The class that a label names.

    Names decide. Only where no name looks like a number may labels be the numbers of the classes, from 0, with or
    without white space around them.

    Returns:
        The number of the class; None if there is no such class.

    Example:
        >>> class_number("1", ["1", "2"]), class_number("1", ["bad", "good"]), class_number("2", ["bad", "good"])
        (0, 1, None)
    """
    if label in class_names:
        return list(class_names).index(label)
    number = _INTEGER.fullmatch(label.strip())
    if number is None or any(_NUMBER.fullmatch(name) for name in class_names):
        return None
    return int(number.group(1)) if int(number.group(1)) < len(class_names) else None
