"""What an inference path costs: seconds on the machine at hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

#: Forwards before the counted ones: memory is found, kernels are chosen.
WARM_UP = 2


def latency(
    path: Callable[[Any], Any],
    x: Any,
    repeats: int = 10,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> float:
    """Median seconds of a forward of a batch, without gradients; the device has done its work.

    Args:
        path: such as ``module.path(k)``, in evaluation mode.
        x: a batch that it reads.
        repeats: counted forwards.
        precision: the context of a forward.
    """
    seconds = []
    with torch.inference_mode(), precision():
        for _ in range(WARM_UP + repeats):
            start = _now()
            path(x)
            seconds.append(_now() - start)
    return statistics.median(seconds[WARM_UP:])


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
