"""Steps that ``torch.compile`` leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

Step = TypeVar("Step", bound=Callable[..., Any])


def eager(step: Step) -> Step:
    """Keep a step of a LightningModule out of ``torch.compile(module)``.

    Optimizers, logs and checks break its graph in dozens of places, and every name that is logged compiles a graph
    again. What is worth compiling are the layers inside.
    """
    return cast(Step, torch.compiler.disable(step))  # type: ignore[no-untyped-call]
