"""What a file format has to know, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from torch import nn

from al_lightning.serving.onnx_format import OnnxFormat
from al_lightning.serving.served import Tensors, Unit
from al_lightning.serving.torch_format import TorchFormat

#: From inputs in order to outputs in order.
Run: TypeAlias = Callable[[Tensors], Tensors]


class Format(Protocol):
    """Writes units to files and runs what it reads from them."""

    name: str
    suffix: str

    def require(self) -> None:
        """Raise an ImportError if a package is missing."""

    def attempt(self, part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise an exception, of any type, if a call of a network's part cannot be exported."""

    def write(self, unit: Unit, file: Path) -> None:
        """Write a unit; there may be other files beside it whose names start with the file's."""

    def read(self, file: Path, unit: Unit) -> Run:
        """Load a file of a unit, as whoever serves it would."""

    def snippet(self, file: Path, unit: Unit) -> str:
        """Two lines that run a file."""


FORMATS: dict[str, type[TorchFormat] | type[OnnxFormat]] = {"torch": TorchFormat, "onnx": OnnxFormat}


def choose_format(name: str | None, file: Path | None, opset: int | None) -> Format:
    """A format by its name, or by the end of a file's name.

    Args:
        name: ``"torch"`` or ``"onnx"``; by the file if None.
        file: to be written.
        opset: version of ONNX's operators.

    Raises:
        ValueError: if there is no such format, or a file is named otherwise.
    """
    suffixes = {name: kind.suffix for name, kind in FORMATS.items()}
    names = " or ".join(map(repr, FORMATS))
    if name is None:
        name = next((known for known, suffix in suffixes.items() if file is not None and file.suffix == suffix), None)
        if name is None:
            raise ValueError(f"Expected `format` to be {names}, but got none, and the file does not say. Pass it.")
    if name not in FORMATS:
        raise ValueError(f"Expected `format` to be {names}, but got {name!r}.")
    if file is not None and file.suffix != suffixes[name]:
        raise ValueError(
            f"Expected the name of a file of format {name!r} to end in {suffixes[name]}, but got {file}. Rename it."
        )
    if name == "onnx":
        return OnnxFormat(opset)
    if opset is not None:
        raise ValueError(f"Expected `opset` together with the format 'onnx', but got it for {name!r}. Leave it out.")
    return TorchFormat()
