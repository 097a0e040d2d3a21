"""Records what a network computes as a graph, for any number of samples."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from al_lightning.serving.recurrence import WholeRecurrence
from al_lightning.serving.served import Unit


@contextmanager
def quietly() -> Iterator[None]:
    """Without torch's remarks on its own workings while it records."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.fx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def record(unit: Unit) -> ExportedProgram:
    """The graph of a unit, in which LSTMs are operations of this package.

    Args:
        unit: whose named axes may have any size.

    Raises:
        Exception: torch's own, of many types, if the network computes something that is no graph.
    """
    # torch finds out by itself which axes have the same size, and how long a text may be.
    shapes = tuple({axis: Dim.DYNAMIC for axis in port.axes()} for port in unit.inputs)
    return _export(unit.network, unit.example, {}, {"inputs": shapes})


def record_part(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExportedProgram:
    """The graph of a call of a network's part, for any number of samples where its arguments are tensors."""
    tensors = not kwargs and all(isinstance(arg, Tensor) and arg.ndim for arg in args)
    return _export(part, args, kwargs, tuple({0: Dim.DYNAMIC} for _ in args) if tensors else None)


def _export(network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any) -> ExportedProgram:
    # Fused kernels of a Transformer layer are no operations that other runtimes know.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with quietly(), torch.no_grad(), WholeRecurrence():
            return torch.export.export(network, args, kwargs, dynamic_shapes=shapes, strict=False)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
