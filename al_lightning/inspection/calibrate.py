"""Chooses thresholds for the early exits of a trained module, and measures what they give."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

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

Precision: TypeAlias = Callable[[], AbstractContextManager[Any]]
#: From what answers a batch to samples a second.
Rate: TypeAlias = Callable[[Callable[[Any], Any]], float]

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
    module: LayeredModule,
    answers: Answers,
    inputs: Sequence[Any],
    largest: float,
    confidence: float,
    precision: Precision = nullcontext,
) -> Calibrated:
    """Fit temperatures, choose thresholds of the module's own way to read paths out, and give it both.

    Args:
        module: trained, in evaluation mode.
        answers: its scores of held-out samples.
        inputs: some of their batches, to measure time with.
        largest: accuracy that early exits may lose against the module's own path, in [0, 1].
        confidence: probability, in (0, 1), with which they lose no more.
        precision: the context of a forward that is timed.

    Raises:
        ValueError: if the samples cannot promise that.
    """
    depth = module.layers.length(module.path_length)
    choice, rest = choose_exits(module, answers, largest, confidence)
    rate = functools.partial(throughput, inputs=inputs, precision=precision)
    points = [_fixed(module, rest, rate, k) for k in range(1, depth + 1)]
    tried = proposals(depth)
    shown = [tried[round(n * (len(tried) - 1) / (SHOWN - 1))] for n in range(SHOWN)]
    points += [_exits(module, rest, rate, thresholds, False) for thresholds in shown]
    points.append(_exits(module, rest, rate, choice.thresholds, True))
    # Measuring the points has tried other thresholds.
    module.exits.keep(choice.thresholds, largest, confidence, READOUTS.index(module.readout))
    return Calibrated(choice, len(rest.right), points)


def choose_exits(module: LayeredModule, answers: Answers, largest: float, confidence: float) -> tuple[Choice, Held]:
    """Fit temperatures, choose thresholds, and give the module both.

    Args:
        module: trained, in evaluation mode.
        answers: its scores of held-out samples.
        largest: accuracy that early exits may lose against the module's own path, in [0, 1].
        confidence: probability, in (0, 1), with which they lose no more.

    Returns:
        What was chosen, and what the paths say about the samples that decided.

    Raises:
        ValueError: if the samples cannot promise that; the temperatures are fitted then, and no thresholds are kept.
    """
    way = module.readout
    fitting, deciding = divide(answers)
    fit_temperatures(module, fitting)
    rest = held(module, deciding, way)
    choice = choose(rest, largest, confidence)
    module.exits.keep(choice.thresholds, largest, confidence, READOUTS.index(way))
    return choice, rest


def _fixed(module: LayeredModule, rest: Held, rate: Rate, k: int) -> Point:
    path = module.path(k)
    samples = rate(lambda x: path(module.read_input(x)))
    return Point(f"path {k}", float(rest.right[:, k - 1].double().mean()), samples, exits=False)


def _exits(module: LayeredModule, rest: Held, rate: Rate, thresholds: Tensor, chosen: bool) -> Point:
    module.exits.keep(thresholds, 0.0, 0.0, READOUTS.index(module.readout))
    right = rest.right.gather(1, leaving(rest.confidence, thresholds).unsqueeze(1)).double().mean()
    samples = rate(lambda x: module.forward_adaptive(x, "calibrated"))
    return Point("early exits", float(right), samples, exits=True, chosen=chosen)


def beside(
    module: SupervisedModule, trainer: pl.Trainer, data: pl.LightningDataModule, answers: Answers, count: int
) -> Point:
    """Accuracy and throughput of another network, by its own way to answer.

    Args:
        module: trained, in evaluation mode.
        trainer: whose precision and device count.
        data: whose hooks make batches what the module reads.
        answers: of the network that it stands beside, to the same held-out samples.
        count: how many batches time is measured with.

    Raises:
        ValueError: if the samples are others.
    """
    loader = data.val_dataloader()
    own = collect(module, trainer, data, loader)
    if not torch.equal(own.labels, answers.labels):
        raise ValueError(
            f"Expected the networks of `--beside` to be validated on the same samples, but {type(module).__name__} has "
            f"{len(own.labels)} and the other {len(answers.labels)}, or their labels differ. Train both with the same "
            "data, `--data.seed` and `--data.val_fraction`."
        )
    rest = divide(own)[1]  # those that decide
    right = module.target.right(
        module.predictions(rest.scores[module.readout_name()].to(module.device)).cpu(), rest.labels
    )
    inputs = [x for x, _ in itertools.islice(batches(module, trainer, data, loader), count)]
    millions = sum(p.numel() for p in module.scoring_network().parameters()) / 1e6
    if isinstance(module, LayeredModule):
        millions = module.inference_parameters() / 1e6
    name = f"{type(module).__name__}, {millions:.3g} M"
    rate = throughput(module, inputs, trainer.precision_plugin.forward_context)
    return Point(name, float(right.double().mean()), rate, exits=False, beside=True)


def throughput(answer: Callable[[Any], Any], inputs: Sequence[Any], precision: Precision = nullcontext) -> float:
    """Samples a second, over batches that come round again until some time is over.

    Args:
        answer: what is timed.
        inputs: the batches.
        precision: the context of a forward.
    """
    with torch.inference_mode(), precision():
        answer(inputs[0])
        samples, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            for x in inputs:
                answer(x)
                samples += batch_size(x)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return samples / (time.perf_counter() - start)
