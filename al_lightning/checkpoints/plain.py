"""Values as plain types, which a checkpoint may hold: classes by the path under which others can import them."""

from __future__ import annotations

import functools
import inspect
import sys
from enum import Enum
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from al_lightning.targets.base import Target


class NotPlainError(TypeError):
    """A value that no checkpoint of plain types can hold."""


def import_path(item: type | FunctionType | BuiltinFunctionType) -> str:
    """The path by which others import a class or function.

    Files of this package may move between versions, the names that it offers stay. What stands in the script that was
    started is called ``__main__`` in this process only: others import it by the script's name. What was typed into a
    notebook stays ``__main__``, and can be found in that notebook alone.

    Raises:
        NotPlainError: if nobody can import it, because it stands inside a function.
    """
    name = item.__qualname__
    if "<" in name:  # <locals>, <lambda>
        raise NotPlainError(f"{name} stands inside a function")
    if item.__module__ == "__main__":
        return f"{script_name() or '__main__'}.{name}"
    if isinstance(item, BuiltinFunctionType) and vars(sys.modules[item.__module__]).get(item.__name__) is item:
        return f"{item.__module__}.{item.__name__}"  # torch.tanh is called _VariableFunctionsClass.tanh
    package, *rooms = item.__module__.split(".")
    if package == __name__.split(".", maxsplit=1)[0]:
        for depth in range(len(rooms)):
            front = ".".join([package, *rooms[:depth]])
            if vars(sys.modules[front]).get(name) is item:
                return f"{front}.{name}"
    return f"{item.__module__}.{name}"


def script_name() -> str | None:
    """By which name others import what is ``__main__`` here; None for a notebook or an interactive session."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # started by `python -m package.script`
        return main.__spec__.name
    file = vars(main).get("__file__")
    return Path(file).stem if file is not None and Path(file).suffix == ".py" else None


def local_path(path: str) -> str:
    """The path by which this process imports what others import by ``path``.

    A script must not be imported a second time by its own name: it would run again, and its classes would be others.
    """
    module, _, name = path.rpartition(".")
    here = module == script_name() and name in vars(sys.modules["__main__"])
    return f"__main__.{name}" if here else path


def plain(value: object) -> Any:
    """A value as plain types: a class or a function becomes its path, a partial of a class its path and arguments.

    Args:
        value: numbers and strings (numpy's too), None, paths, enumerations, lists, tuples, dictionaries with strings as
            keys, classes, functions, partials of classes, target kinds, and these inside each other.

    Raises:
        NotPlainError: for anything else.
    """
    if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
        return plain(value.item())
    if isinstance(value, Enum):
        return value.name
    if value is None or type(value) in (bool, int, float, str):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):  # of a class of its own, which a checkpoint would name
            return kind(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return import_path(value)
    if isinstance(value, Target):
        names = list(inspect.signature(type(value)).parameters)
        return {"class_path": import_path(type(value)), "init_args": {n: plain(getattr(value, n)) for n in names}}
    if isinstance(value, functools.partial) and isinstance(value.func, type) and not value.args:
        return {"class_path": import_path(value.func), "init_args": plain(value.keywords)}
    raise NotPlainError(f"{type(value).__name__} has no plain form")


def plain_part(values: dict[str, Any]) -> dict[str, Any]:
    """Those of some values that have a plain form."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        try:
            kept[name] = plain(value)
        except NotPlainError:
            continue
    return kept
