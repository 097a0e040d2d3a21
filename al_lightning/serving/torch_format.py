"""torch's own format, ``.pt2``: an exported program, which torch runs without this package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from al_lightning.serving.record import quietly, record, record_part
from al_lightning.serving.recurrence import use_torch_operations
from al_lightning.serving.served import Tensors, Unit


class TorchFormat:
    """``torch.export``, written by ``torch.export.save``; source: https://docs.pytorch.org/docs/stable/export.html."""

    name = "torch"
    suffix = ".pt2"

    def require(self) -> None:
        """Everything needed is torch's."""

    def attempt(self, part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record a call of a network's part, to see whether it can be."""
        record_part(part, args, kwargs)

    def write(self, unit: Unit, file: Path) -> None:
        """Record a unit and write it."""
        program = record(unit)
        use_torch_operations(program)
        with quietly():
            torch.export.save(program, file)

    def read(self, file: Path, unit: Unit) -> Callable[[Tensors], Tensors]:
        """Load a program."""
        with quietly():
            network = torch.export.load(file).module()

        def run(inputs: Tensors) -> Tensors:
            with torch.no_grad():
                said: dict[str, Tensor] = network(*inputs)
            return tuple(said[port.name] for port in unit.outputs)

        return run

    def snippet(self, file: Path, unit: Unit) -> str:
        """By torch alone."""
        given = ", ".join(port.name for port in unit.inputs)
        return (
            f"import torch; network = torch.export.load({str(file)!r}).module()\n"
            f'said = network({given}); said["scores"], said["predictions"]'
        )
