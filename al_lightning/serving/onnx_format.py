"""ONNX, which other runtimes read; checked by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.torch_version import TorchVersion

from al_lightning.serving.record import quietly, record, record_part
from al_lightning.serving.recurrence import onnx_translations
from al_lightning.serving.served import Tensors, Unit

#: A file of this many bytes and more keeps its weights beside it: protobuf, ONNX's container, ends at 2 GiB.
LARGEST = 2**31 - 2**24


class OnnxFormat:
    """``torch.onnx.export`` by its exporter of today, which reads an exported program and needs onnxscript.

    Source: https://docs.pytorch.org/docs/stable/onnx_export.html.

    Args:
        opset: version of the operators; the exporter's own if None.
    """

    name = "onnx"
    suffix = ".onnx"

    def __init__(self, opset: int | None = None) -> None:
        self.opset = opset

    def require(self) -> None:
        """Say which packages are missing, or too old.

        Raises:
            ImportError: naming them, and what installs them.
        """
        if TorchVersion(torch.__version__) < "2.7":
            raise ImportError(
                f"Expected torch 2.7 or newer for the format 'onnx', but got {torch.__version__}: its exporter works "
                "with no onnxscript of today. Run `pip install 'al-lightning[onnx]'`, or choose the format 'torch'."
            )
        missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
        if missing:
            raise ImportError(
                f"Expected onnx, onnxruntime and onnxscript for the format 'onnx', but {' and '.join(missing)} cannot "
                "be imported. Run `pip install 'al-lightning[onnx]'`."
            )

    def attempt(self, part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record and translate a call of a network's part, to see whether it can be."""
        with quietly():
            torch.onnx.export(
                record_part(part, args, kwargs),
                dynamo=True,
                verbose=False,
                opset_version=self.opset,
                custom_translation_table=onnx_translations(),
            )

    def write(self, unit: Unit, file: Path) -> None:
        """Record a unit, translate it and write it; weights of 2 GB and more lie in ``<file>.data``."""
        program = record(unit)
        weights = [*unit.network.parameters(), *unit.network.buffers()]
        with quietly():
            translated = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[port.name for port in unit.inputs],
                output_names=[port.name for port in unit.outputs],
                opset_version=self.opset,
                dynamic_shapes={"inputs": tuple(port.axes() for port in unit.inputs)},
                custom_translation_table=onnx_translations(),
            )
            assert translated is not None
            translated.save(file, external_data=sum(w.numel() * w.element_size() for w in weights) >= LARGEST)

    def read(self, file: Path, unit: Unit) -> Callable[[Tensors], Tensors]:
        """Load a file into onnxruntime, on the CPU."""
        import onnxruntime  # an optional dependency

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

        def run(inputs: Tensors) -> Tensors:
            named = {port.name: tensor.numpy() for port, tensor in zip(unit.inputs, inputs)}
            said = session.run([port.name for port in unit.outputs], named)
            return tuple(map(torch.from_numpy, said))

        return run

    def snippet(self, file: Path, unit: Unit) -> str:
        """By onnxruntime and numpy alone."""
        given = ", ".join(f'"{port.name}": {port.name}' for port in unit.inputs)
        names = ", ".join(port.name for port in unit.outputs)
        return (
            f"import onnxruntime; session = onnxruntime.InferenceSession({str(file)!r})\n"
            f"{names} = session.run(None, {{{given}}})"
        )
