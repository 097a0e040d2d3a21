"""LSTMs in files: of any length, in operations of torch and of ONNX alone, whatever arguments they have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from exported import load
from networks import build
from torch import Tensor, nn

import al_lightning as al
from al_lightning.nn.inputs import TokenCheck
from al_lightning.serving import export_path

#: Runs a program where this package cannot be imported.
ALONE = """
import sys
sys.modules["al_lightning"] = None
import torch
program = torch.export.load(sys.argv[1]).module()
for part in program.modules():
    assert "al_lightning" not in str(getattr(part, "graph", "")), part.graph
torch.save(program(torch.load(sys.argv[2]))["scores"], sys.argv[3])
"""


class Recurrent(nn.Module):
    """An LSTM as a user may have it."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 3)
        self.lstm = nn.LSTM(3, 4, **options)
        self.head = nn.LazyLinear(2)
        self.first = options.get("batch_first", False)
        self.eval()(torch.ones(2, 5, dtype=torch.long))

    def forward(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.words(tokens)
        y, (h, c) = self.lstm(x if self.first else x.transpose(0, 1))
        last = y[:, -1] if self.first else y[-1]
        return self.head(torch.cat([last, *h, *c], 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", ["network.pt2", "network.onnx"])
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
        {"num_layers": 2, "bias": False, "dropout": 0.5},
    ],
)
@torch.no_grad()
def test_arguments(options: dict[str, Any], file: str) -> None:
    module = al.BPModule(Recurrent(**options), 2)
    module.input_check = TokenCheck(20)
    export_path(module, file)
    run = load(file)
    module.eval()
    for samples, length in ((1, 1), (3, 11)):
        x = torch.randint(1, 20, (samples, length))
        torch.testing.assert_close(run(x)["scores"], module(x), atol=1e-5, rtol=1e-5)


def test_a_program_runs_without_this_package() -> None:
    module = build("LSTMAL").eval()
    export_path(module, "network.pt2", readout="codes")
    x = torch.randint(1, 20, (3, 13))
    torch.save(x, "x.pt")
    Path("alone.py").write_text(ALONE)
    subprocess.run([sys.executable, "alone.py", "network.pt2", "x.pt", "y.pt"], check=True)
    torch.testing.assert_close(torch.load("y.pt"), module(x, readout="codes"), atol=1e-5, rtol=1e-5)


def test_onnx_has_its_own_operation() -> None:
    export_path(build("LSTMAL"), "network.onnx")
    graph = onnx.load("network.onnx").graph
    assert sum(node.op_type == "LSTM" for node in graph.node) == 4  # two layers in two directions
    assert {node.domain for node in graph.node} == {""}
    (entry,) = graph.input
    assert [size.dim_param for size in entry.type.tensor_type.shape.dim] == ["batch", "length"]
