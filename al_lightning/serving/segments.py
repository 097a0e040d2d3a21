"""A network in one part a layer, so that samples may leave early outside of Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.association import class_scores
from al_lightning.nn.inputs import ExampleInputs
from al_lightning.nn.path import Reader, Readout
from al_lightning.nn.state import parts
from al_lightning.serving.served import Tensors, Unit, examples, frozen, input_name, ports, readout_number
from al_lightning.targets.base import Calibration, Target


class Segment(nn.Module):
    """Layer i, and what path i says: ``s_{i-1} -> s_i, scores, predictions``.

    For the mean of several paths' probabilities it also hands on the log of their sum so far, which is all that the
    segments above have to know of the paths below.

    Args:
        module: of AL layers, trained.
        number: i, from 1.
        reader: how its paths are read out.
        kind: the NamedTuple that ``s_{i-1}`` is; None for a tensor.
        last: whether nobody reads ``s_i``.
        sure: whether the target kind says how sure predictions are; ``confidence`` (B,) is returned then.
    """

    def __init__(
        self, module: LayeredModule, number: int, reader: Reader, kind: type | None, *, last: bool, sure: bool
    ) -> None:
        super().__init__()
        layers = module.layers.active()[:number]
        self.f, self.b = layers[-1].f, layers[-1].b
        self.h = nn.ModuleList(layer.h for layer in layers if reader.readout == "decoder")
        self.register_buffer("codes", None if reader.readout == "decoder" else reader.codes[number - 1])
        self.temperature = layers[-1].temperature
        self.calibration: Calibration = module.calibration
        self.readout_number = readout_number(module, number, reader.readout)
        self.target: Target | None = module.target if sure else None
        self.number, self.kind, self.last, self.accumulates = number, kind, last, reader.accumulates

    codes: Tensor | None

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Outputs by name, in the order that files have."""
        *state, said = inputs if self.accumulates and self.number > 1 else (*inputs, None)
        s: Any = state[0] if self.kind is None else self.kind(*state)
        s = self.f(s)
        association = self.b(s)
        named = {} if self.last else dict(zip(state_names(s, self.number), state_parts(s)))
        if self.codes is None:
            for h in reversed(self.h):
                association = h(association)
            scores = association
        else:
            scores = class_scores(association, self.codes, self.temperature)
        if self.accumulates:
            own = scores.log_softmax(-1)
            total = own if said is None else torch.logaddexp(said, own)
            scores = scores if said is None else total - math.log(self.number)
            if not self.last:
                named[f"log_sum{self.number}"] = total
        predictions = self.calibration.read(scores, self.readout_number)
        named |= {"scores": scores, "predictions": predictions}
        if self.target is not None:
            named["confidence"] = self.target.confidence(predictions)
        return named


def state_parts(state: Any) -> Tensors:
    """The tensors of a state.

    Raises:
        TypeError: if it is neither a tensor nor a NamedTuple of tensors.
    """
    own = (state,) if isinstance(state, Tensor) else parts(state)[1]
    if not all(isinstance(part, Tensor) for part in own):
        raise TypeError(
            f"Expected the state between two segments to be a NamedTuple of tensors, but {type(state).__name__} holds "
            "others. Export whole paths instead."
        )
    return own


def state_names(state: Any, number: int) -> list[str]:
    """Names of the tensors of ``s_i``: ``state1``, or those of its fields, ``features1`` and ``lengths1``."""
    if isinstance(state, Tensor):
        return [f"state{number}"]
    fields: Sequence[str] = vars(parts(state)[0])["_fields"]
    return [f"{field}{number}" for field in fields]


def says_how_sure(module: LayeredModule, predictions: Tensor) -> bool:
    """Whether a target kind says how sure predictions are."""
    try:
        module.target.confidence(predictions)
    except ValueError:
        return False
    return True


def segment_units(
    module: LayeredModule, path_length: int | None, readout: Readout, inputs: ExampleInputs
) -> list[Unit]:
    """The segments of the first paths, each as what one file holds.

    Args:
        module: trained; left as it was.
        path_length: how many; the module's own path length if None.
        readout: how each path is read out.
        inputs: what the module reads.

    Raises:
        ValueError: if there is no such path or read-out.
    """
    depth = module.layers.length(module.path_length if path_length is None else path_length)
    reader = module.reader(readout)
    batches: list[Tensors] = [(x,) for x in examples(inputs)]
    names = [input_name(batches[0][0])]
    state: Any = batches[0][0]
    kind: type | None = None
    sure = says_how_sure(module, module.predictions(torch.zeros(1, module.target.width, device=module.device)))
    units = []
    for number in range(1, depth + 1):
        last = number == depth
        segment: Any = frozen(Segment(module, number, reader, kind, last=last, sure=sure))
        with torch.no_grad():
            answers: list[dict[str, Tensor]] = [segment(*batch) for batch in batches]
        outputs = ports(list(answers[0]), *(tuple(said.values()) for said in answers))
        units.append(Unit(segment, ports(names, *batches), outputs, batches[0]))
        handed = [name for name in answers[0] if name not in ("scores", "predictions", "confidence")]
        with torch.no_grad():
            state = segment.f(state)
        kind = None if isinstance(state, Tensor) else parts(state)[0]
        names, batches = handed, [tuple(said[name].contiguous() for name in handed) for said in answers]
    return units
