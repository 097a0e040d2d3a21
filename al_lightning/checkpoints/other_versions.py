"""Recipes that were written beside other versions of torch: arguments come and go there."""

from __future__ import annotations

import inspect
import sys
import warnings
from typing import Any

#: Values that ask for nothing: an argument that has one of them is not missed.
_ASK_NOTHING: tuple[object, ...] = (None, False, "deprecated")


def fit_installed(entry: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says, with optimizers, callbacks and other parts of arguments that their classes accept here.

    A parser keeps every default, such as ``verbose`` of torch 2.6's schedulers, which later versions refuse.

    Args:
        entry: what a checkpoint says about itself: recipes of model and data, and arguments of a Trainer.

    Returns:
        The same; the arguments of model, data and Trainer themselves are left alone.

    Warns:
        UserWarning: if an argument is left out that asks for something.
    """
    fitting = dict(entry)
    for key in ("model", "data"):
        if entry.get(key) is not None:
            fitting[key] = {**entry[key], "init_args": _each(entry[key].get("init_args", {}))}
    if "trainer" in entry:
        fitting["trainer"] = _each(entry["trainer"])
    return fitting


def _each(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: _fitting(value) for name, value in arguments.items()}


def _fitting(value: Any) -> Any:
    if isinstance(value, list):
        # Vocabularies are long, and of a class of their own.
        return [_fitting(item) for item in value] if any(isinstance(item, dict) for item in value) else value
    if not isinstance(value, dict) or not isinstance(value.get("init_args"), dict) or "class_path" not in value:
        return value
    accepted = _accepted(str(value["class_path"]))
    kept = {}
    for name, argument in value["init_args"].items():
        if accepted is None or name in accepted:
            kept[name] = _fitting(argument)
        elif argument not in _ASK_NOTHING:  # 0 equals False and asks for as little
            warnings.warn(
                f"The checkpoint says {name}={argument!r} of {value['class_path']}, which the version that is "
                "installed here does not accept. It is left out.",
                stacklevel=2,
            )
    return {**value, "init_args": kept}


def _accepted(class_path: str) -> frozenset[str] | None:
    """Names of a class's arguments; None if it takes any, or is not imported: reading a file imports nothing."""
    module, _, name = class_path.rpartition(".")
    kind = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if not isinstance(kind, type):
        return None
    parameters = inspect.signature(kind).parameters.values()
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else frozenset(p.name for p in parameters)
