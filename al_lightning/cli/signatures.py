"""The arguments of a constructor, by the path of its class."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any, get_args, get_type_hints


def required_names(class_path: str) -> list[str]:
    """Names of a constructor's arguments without a default, but for the first, which whoever calls it passes."""
    module, kind = class_path.rsplit(".", 1)
    parameters = list(inspect.signature(getattr(import_module(module), kind).__init__).parameters.values())
    return [p.name for p in parameters[2:] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]


def default_of(class_path: str, name: str) -> Any:
    """The default of a constructor's argument; None if it has none of its own."""
    module, kind = class_path.rsplit(".", 1)
    parameter = inspect.signature(getattr(import_module(module), kind).__init__).parameters.get(name)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def argument_names(class_path: str) -> list[str]:
    """Names of a constructor's arguments, those of ``Unpack[TypedDict]`` included."""
    module, name = class_path.rsplit(".", 1)
    constructor = getattr(import_module(module), name).__init__
    names: list[str] = []
    for parameter in list(inspect.signature(constructor).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            hint = get_type_hints(constructor, include_extras=True).get(parameter.name)
            names += [key for option in get_args(hint) for key in vars(option).get("__annotations__", {})]
        else:
            names.append(parameter.name)
    return names
