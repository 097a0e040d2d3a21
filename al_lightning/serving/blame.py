"""Which block of a network cannot be exported, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

#: Exports a module with the arguments and keyword arguments of a call, or raises an exception.
Attempt: TypeAlias = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], object]


def reason_of(error: BaseException) -> str:
    """What torch says, in a line: the innermost exception's own words."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    return next((line.removeprefix("- ") for line in lines[1:] if line.startswith("- ")), said)  # torch lists findings


def find_block(network: nn.Module, inputs: tuple[Any, ...], attempt: Attempt) -> str | None:
    """The innermost module that cannot be exported by itself.

    Args:
        network: which cannot be exported.
        inputs: that it reads.
        attempt: exports a module.

    Returns:
        Its name, as ``named_modules`` has it, and its class; None if each part can, so that it is what stands between.
    """
    seen: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def remember(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        return lambda part, args, kwargs: seen.__setitem__(name, (args, kwargs))

    named = {name: part for name, part in network.named_modules() if name}
    hooks = [part.register_forward_pre_hook(remember(name), with_kwargs=True) for name, part in named.items()]
    try:
        with torch.no_grad():
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    found = None
    for name, call in seen.items():  # in the order in which they were entered: what is inside follows
        if found is not None and not name.startswith(f"{found}."):
            break
        try:
            attempt(named[name], *call)
        except Exception:  # whatever torch raises, it is this block's
            found = name
    return None if found is None else f"{found} ({type(named[found]).__name__})"
