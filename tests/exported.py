"""Files that were exported, run as a server would, and compared with the module at sizes that no example had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime
import torch
from networks import AL, TEXT, build, shape
from torch import Tensor

from al_lightning.nn.path import Readout
from al_lightning.serving import Exported, export_path


def given_shape(name: str) -> dict[str, Any]:
    """The shape that networks built from parts have to be told."""
    return {"input_shape": shape(name)} if name in ("ALModule", "BPModule") else {}


def some_inputs(name: str, samples: int, length: int) -> Tensor:
    """Images, or tokens that are padded on the right; texts may be empty."""
    if name not in TEXT:
        return torch.randn(samples, *shape(name))
    x = torch.randint(1, 20, (samples, length))
    return x * (torch.arange(length) < torch.randint(0, length + 1, (samples, 1)))


def load(file: str) -> Callable[[Tensor], dict[str, Tensor]]:
    """From an input to the outputs by name."""
    if file.endswith(".pt2"):
        program: Any = torch.export.load(file).module()
        return program  # type: ignore[no-any-return]
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    (entry,) = session.get_inputs()
    return lambda x: dict(zip(names, map(torch.from_numpy, session.run(None, {entry.name: x.numpy()}))))


@torch.no_grad()
def check_network(name: str, path_length: int | None, readout: Readout | None, file: str) -> Exported:
    """Export a network with several temperatures and compare what the file says."""
    module: Any = build(name)
    module.calibration.temperatures.copy_(torch.linspace(0.5, 2.0, len(module.calibration.temperatures)))
    asked = {"path_length": path_length, "readout": readout} if name in AL else {}
    exported = export_path(module, file, **asked, **given_shape(name))
    assert exported.difference <= 1e-5
    run = load(file)
    module.eval()
    for samples, length in ((1, 3), (4, 1), (3, 19)):
        x = some_inputs(name, samples, length)
        expected = module(x, **asked)
        said = run(x)
        assert list(said) == ["scores", "predictions"]
        torch.testing.assert_close(said["scores"], expected, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(said["predictions"], module.predictions(expected, **asked), atol=1e-5, rtol=0)
    return exported
