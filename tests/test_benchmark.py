"""The benchmark's counter of bytes, which does not depend on the machine; its times are nobody's test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import al_lightning as al


@pytest.fixture(scope="module")
def step() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "step.py"
    spec = importlib.util.spec_from_file_location("step", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["step"] = module
    spec.loader.exec_module(module)
    return module


def test_bytes_of_a_known_graph(step: ModuleType) -> None:
    """Linear saves its input, tanh its output, which is the second Linear's input: each storage once."""
    net = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 5), nn.Tanh())
    count = step.SavedBytes(net)
    x = torch.randn(8, 10)
    with count.counting():
        out = net(x)
        assert count.now == 4 * 8 * (10 + 20 + 5)
        out.sum().backward()
    assert count.now == 0
    assert count.peak == 4 * 8 * (10 + 20 + 5)


def test_isolated_graphs_are_not_alive_together(step: ModuleType) -> None:
    """Two AL-like halves, one after the other: the peak is the larger half, not the sum."""
    first, second = nn.Sequential(nn.Linear(10, 20), nn.Tanh()), nn.Sequential(nn.Linear(20, 5), nn.Tanh())
    count = step.SavedBytes(nn.Sequential(first, second))
    with count.counting():
        s = first(torch.randn(8, 10))
        s.sum().backward()
        second(s.detach()).sum().backward()
    assert count.peak == 4 * 8 * (10 + 20)


@pytest.mark.parametrize(("network", "limit"), [("CNN", 0.50), ("VGG", 0.70)])
def test_al_keeps_less_for_backward(step: ModuleType, network: str, limit: float) -> None:
    """The promise at batch 128 holds at batch 8 as well, for bytes per sample are what is counted."""
    data = step.images(8, 1)
    controls = dict(norm="batch", activation="elu")
    bp = step.saved_bytes(getattr(al, f"{network}BP")(10, **controls), data)
    coarse = step.saved_bytes(getattr(al, f"{network}AL")(10, cuts=4, **controls), data)
    fine = step.saved_bytes(getattr(al, f"{network}AL")(10, cuts=8, **controls), data)
    assert coarse <= limit * bp
    assert fine < coarse
