"""What is exported: the functions of one path, how its scores are read, and which tensors go in and come out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.inputs import ExampleInputs
from al_lightning.nn.path import Readout
from al_lightning.targets.base import Calibration

#: Samples and length of the batches that axes are told apart by. Of a single sample, torch would make a constant.
SIZES = ((2, 6), (3, 8))

#: One tensor after the other, in the order of their names.
Tensors: TypeAlias = tuple[Tensor, ...]


class Port(NamedTuple):
    """A tensor that goes in or comes out: its name, type, and shape with names for what may differ."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def axes(self) -> dict[int, str]:
        """The axes that may differ, and what they are called."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}


class Unit(NamedTuple):
    """What one file holds.

    ``network`` takes the inputs one by one and returns the outputs by name; ``example`` are inputs of two samples.
    """

    network: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    example: Tensors

    def answer(self, inputs: Tensors) -> Tensors:
        """The outputs, in order."""
        with torch.no_grad():
            said: dict[str, Tensor] = self.network(*inputs)
        return tuple(said[port.name] for port in self.outputs)


class Served(nn.Module):
    """Scores of a path and what they say.

    Args:
        path: from the input to scores.
        calibration: how scores are read.
        number: of the read-out.
    """

    def __init__(self, path: nn.Module, calibration: Calibration, number: int) -> None:
        super().__init__()
        self.path, self.calibration, self.number = path, calibration, number

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """``scores`` (B, width) and ``predictions`` (B, ...) of an input."""
        scores = self.path(*inputs)
        return {"scores": scores, "predictions": self.calibration.read(scores, self.number)}


class ShapedInputs:
    """Inputs of which only the shape is known.

    Args:
        shape: of one sample.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def example(self, samples: int, length: int, generator: torch.Generator) -> Tensor:
        """Noise, (B, ...) float32."""
        return torch.randn((samples, *self.shape), generator=generator, dtype=torch.float32)


def find_inputs(module: SupervisedModule, input_shape: Sequence[int] | None) -> ExampleInputs:
    """What makes inputs for a module.

    Args:
        module: which may know what it reads.
        input_shape: of one sample, for a module that does not.

    Raises:
        ValueError: if nobody knows the shape, both do and disagree, or it is none.
    """
    check: object = module.input_check
    if input_shape is None:
        if isinstance(check, ExampleInputs):
            return check
        raise ValueError(
            f"Expected to know what {type(module).__name__} reads, but it was built from parts. Pass the shape of one "
            "sample, such as `--input_shape '[3, 32, 32]'` (`input_shape=(3, 32, 32)`); for tokens, set its "
            "`input_check` to a `TokenCheck`."
        )
    if not all(isinstance(size, int) and size > 0 for size in input_shape):
        raise ValueError(
            f"Expected `input_shape` to be whole numbers above 0, the shape of one sample, but got {input_shape!r}. "
            "Pass `[3, 32, 32]` for images, `[6]` for vectors."
        )
    shaped = ShapedInputs(input_shape)
    if module.input_check is not None:
        module.input_check(shaped.example(2, 1, torch.Generator().manual_seed(0)))  # says what the module reads
    return shaped


def frozen(part: nn.Module) -> nn.Module:
    """A copy on the CPU, in evaluation mode, float32 and without gradients, so that the module stays as it is."""
    own = copy.deepcopy(part).to("cpu", torch.float32).requires_grad_(False).eval()
    for inner in own.modules():
        if isinstance(inner, Calibration):
            inner.reset()  # validation scores are no part of it
    return own


def readout_number(module: SupervisedModule, path_length: int | None, readout: Readout | None) -> int:
    """Number of a read-out, by which a module's calibration knows it."""
    return module.active_readouts().index(module.readout_name(path_length, readout))


def served_path(module: SupervisedModule, path_length: int | None, readout: Readout | None) -> Served:
    """The functions of a path, as a module of its own.

    Args:
        module: trained.
        path_length: k; the module's own if None. A BP module has one path.
        readout: how it is read out; the module's own way if None. A BP module has one.

    Raises:
        ValueError: if there is no such path or read-out.
    """
    if isinstance(module, LayeredModule):
        path: nn.Module = module.path(path_length, readout)
    elif path_length is None and readout is None:
        path = module.scoring_network()
    else:
        asked = "path_length" if path_length is not None else "readout"
        raise ValueError(
            f"Expected AL layers for `{asked}`, but {type(module).__name__} has one path and one way to read it. "
            f"Leave `{asked}` out."
        )
    served = Served(path, module.calibration, readout_number(module, path_length, readout))
    frozen_served = frozen(served)
    assert isinstance(frozen_served, Served)
    return frozen_served


def ports(names: Sequence[str], first: Tensors, second: Tensors) -> tuple[Port, ...]:
    """Describe tensors of two batches, which differ in samples and length.

    Args:
        names: of the tensors.
        first: of a batch of the first of :data:`SIZES`.
        second: of the second.
    """
    called = {pair: name for pair, name in zip(zip(*SIZES), ("batch", "length"))}
    found = []
    for name, a, b in zip(names, first, second):
        shape = [
            x if x == y else called.get((x, y), f"{name}_{axis}") for axis, (x, y) in enumerate(zip(a.shape, b.shape))
        ]
        found.append(Port(name, str(a.dtype).removeprefix("torch."), tuple(shape)))
    return tuple(found)


def examples(inputs: ExampleInputs) -> list[Tensor]:
    """A batch of each of :data:`SIZES`."""
    generator = torch.Generator().manual_seed(0)
    return [inputs.example(samples, length, generator) for samples, length in SIZES]


def input_name(x: Tensor) -> str:
    """What a network's input is called: ``tokens`` of text, else ``x``."""
    return "x" if x.is_floating_point() else "tokens"


def path_unit(served: Served, inputs: ExampleInputs) -> Unit:
    """A path as what one file holds."""
    batches = examples(inputs)
    with torch.no_grad():
        answers: list[dict[str, Any]] = [served(x) for x in batches]
    outputs = ports(list(answers[0]), *(tuple(said.values()) for said in answers))
    return Unit(served, ports([input_name(batches[0])], (batches[0],), (batches[1],)), outputs, (batches[0],))
