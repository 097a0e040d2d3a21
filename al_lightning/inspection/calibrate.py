"""Chooses thresholds for the early exits of a trained module, and measures what they give."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from al_lightning.inspection.figures import Point
from al_lightning.inspection.held_out import Answers, batches, collect, divide, fit_temperatures, held
from al_lightning.inspection.thresholds import Choice, Held, choose, leaving, proposals
from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.path import READOUTS
from al_lightning.nn.state import batch_size

#: Proposals of which the throughput is measured.
SHOWN = 12
#: Seconds that each of them is measured for, at least.
SECONDS = 1.0


@dataclass(frozen=True)
class Calibrated:
    """What a calibration chose, and what there was to choose from.

    Attributes:
        choice: whose thresholds the module has now.
        deciding: how many samples decided.
        points: accuracy, on the samples that decided, and throughput of fixed paths and of early exits.
    """

    choice: Choice
    deciding: int
    points: list[Point]


def calibrate(
    module: LayeredModule, answers: Answers, inputs: Sequence[Any], largest: float, confidence: float
) -> Calibrated:
    """Fit temperatures, choose thresholds of the module's own way to read paths out, and give it both.

    Args:
        module: trained, in evaluation mode.
        answers: its scores of held-out samples.
        inputs: some of their batches, to measure time with.
        largest: accuracy that early exits may lose against the module's own path, in [0, 1].
        confidence: probability, in (0, 1), with which they lose no more.

    Raises:
        ValueError: if the samples cannot promise that.
    """
    way, depth = module.readout, module.layers.length(module.path_length)
    fitting, deciding = divide(answers)
    fit_temperatures(module, fitting)
    rest = held(module, deciding, way)
    choice = choose(rest, largest, confidence)
    points = [_fixed(module, rest, inputs, k) for k in range(1, depth + 1)]
    tried = proposals(depth)
    points += [
        _exits(module, rest, inputs, tried[int(place)], False) for place in torch.linspace(0, len(tried) - 1, SHOWN)
    ]
    points.append(_exits(module, rest, inputs, choice.thresholds, True))
    module.exits.keep(choice.thresholds, largest, confidence, READOUTS.index(way))
    return Calibrated(choice, len(deciding.labels), points)


def _fixed(module: LayeredModule, rest: Held, inputs: Sequence[Any], k: int) -> Point:
    path = module.path(k)
    rate = throughput(lambda x: path(module.read_input(x)), inputs)
    return Point(f"path {k}", float(rest.right[:, k - 1].double().mean()), rate, exits=False)


def _exits(module: LayeredModule, rest: Held, inputs: Sequence[Any], thresholds: Tensor, chosen: bool) -> Point:
    module.exits.keep(thresholds, 0.0, 0.0, READOUTS.index(module.readout))
    right = rest.right.gather(1, leaving(rest.confidence, thresholds).unsqueeze(1)).double().mean()
    rate = throughput(lambda x: module.forward_adaptive(x, "calibrated"), inputs)
    return Point("early exits", float(right), rate, exits=True, chosen=chosen)


def beside(
    module: SupervisedModule, trainer: pl.Trainer, data: pl.LightningDataModule, loader: Iterable[Any], count: int
) -> Point:
    """Accuracy and throughput of another network, by its own way to answer.

    Args:
        module: trained, in evaluation mode.
        trainer: whose precision and device count.
        data: whose hooks make batches what the module reads.
        loader: of the data that were held out, in the order of the network that it stands beside.
        count: how many batches time is measured with.
    """
    rest = divide(collect(module, trainer, data, loader))[1]  # those that decide
    right = module.predictions(rest.scores[module.readout_name()].to(module.device)).argmax(-1).cpu() == rest.labels
    inputs = [x for x, _ in itertools.islice(batches(module, trainer, data, loader), count)]
    millions = sum(p.numel() for p in module.scoring_network().parameters()) / 1e6
    if isinstance(module, LayeredModule):
        millions = module.inference_parameters() / 1e6
    name = f"{type(module).__name__}, {millions:.3g} M"
    with trainer.precision_plugin.forward_context():
        rate = throughput(module, inputs)
    return Point(name, float(right.double().mean()), rate, exits=False, beside=True)


def throughput(answer: Callable[[Any], Any], inputs: Sequence[Any]) -> float:
    """Samples a second, over batches that come round again until some time is over."""
    with torch.inference_mode():
        answer(inputs[0])
        samples, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            for x in inputs:
                answer(x)
                samples += batch_size(x)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return samples / (time.perf_counter() - start)
