"""Whether a saved file computes what the network does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.inputs import ExampleInputs
from al_lightning.nn.path import Readout
from al_lightning.serving.served import Served, Tensors, examples

#: How far predictions may be off, and scores relative to the largest.
TOLERANCE = 1e-5
#: How far scores may be off those of a module that computes on another device, relative to the largest.
OWN_TOLERANCE = 1e-2
#: Sizes of batches that are compared; texts also by the length of their longest.
SAMPLES = (1, 2, 7)
LENGTHS = (1, 5, 33)


def check_inputs(inputs: ExampleInputs) -> list[Tensor]:
    """Random batches of several sizes, those of text with padding."""
    generator = torch.Generator().manual_seed(1)
    is_text = not inputs.example(1, 1, generator).is_floating_point()
    lengths = LENGTHS if is_text else LENGTHS[:1]
    return [inputs.example(samples, length, generator) for samples in SAMPLES for length in lengths]


def difference(got: Tensor, expected: Tensor, *, relative: bool) -> float:
    """The largest difference of two tensors, infinite if their shapes differ or one is no number.

    Args:
        got: any shape.
        expected: of the same shape.
        relative: to the largest absolute value, where that is above 1.
    """
    if got.shape != expected.shape:
        return float("inf")
    if got.numel() == 0:
        return 0.0
    got, expected = got.double(), expected.double()
    largest = float((got - expected).abs().max()) / (max(1.0, float(expected.abs().max())) if relative else 1.0)
    return float("inf") if math.isnan(largest) else largest


def compare(names: Sequence[str], got: Tensors, expected: Tensors) -> float:
    """The largest difference of named outputs: of predictions, and of others relative to their size."""
    each = zip(names, got, expected)
    return max(difference(a, b, relative=name != "predictions") for name, a, b in each)


def refuse_other_forward(
    module: SupervisedModule,
    served: Served,
    inputs: ExampleInputs,
    path_length: int | None = None,
    readout: Readout | None = None,
) -> None:
    """Refuse a module whose ``forward`` does something else than the functions that are exported.

    A subclass may have changed it; then a file of the path alone would answer otherwise.

    Args:
        module: left as it was.
        served: its path.
        inputs: what it reads.
        path_length: of the path; the module's own if None.
        readout: how it is read out; the module's own way if None.

    Raises:
        ValueError: if their scores differ.
    """
    if next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32).itemsize < 4:
        return  # half precision: it computes the same, and is far off
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    x = examples(inputs)[0]
    try:
        with torch.no_grad():
            asked = (path_length, readout) if isinstance(module, LayeredModule) else ()
            own = module(x.to(module.device), *asked).cpu()
            expected = served(x)["scores"]
    finally:
        for part, training in modes:
            part.training = training
    if not difference(expected, own, relative=True) <= OWN_TOLERANCE:
        raise ValueError(
            f"Expected `forward` of {type(module).__name__} to compute its path and nothing else, but its scores are "
            "not those of `module.path()` (of `net` for BP). Put what it does besides into a layer's encoder."
        )
