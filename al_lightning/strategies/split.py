"""Which layers each stage of a pipeline trains: a list of the user's, or one balanced by measured cost."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable

from al_lightning.nn.layer import ALLayer
from al_lightning.nn.state import detach
from al_lightning.training import randomness
from al_lightning.training.batch_norm import explain_single_sample

#: How often each layer's work is timed; the fastest counts, for whatever else runs only makes it slower.
REPEATS = 3


class Split:
    """The layers of each stage.

    Args:
        ranges: numbers, from 0, of each stage's layers. Layers behind the last belong to the last stage when they
            become active.
    """

    def __init__(self, ranges: Sequence[range]) -> None:
        self.ranges = list(ranges)

    def owner(self, number: int) -> int:
        """The stage, from 0, that trains a layer."""
        return next((stage for stage, own in enumerate(self.ranges) if number in own), len(self.ranges) - 1)

    def own(self, stage: int, active_depth: int) -> range:
        """Numbers, from 0, of the layers that a stage trains while so many are active.

        Raises:
            ValueError: if a stage has none.
        """
        if active_depth <= self.ranges[-1].start:
            raise ValueError(
                f"Expected every stage of a pipeline to have a layer, but only {active_depth} layers are active and "
                f"the stages have {self.named()}. Start another run with fewer devices."
            )
        own = self.ranges[stage]
        return range(own.start, active_depth) if stage == len(self.ranges) - 1 else own

    def named(self) -> list[list[int]]:
        """Numbers of each stage's layers, from 1, as ``stages`` takes them."""
        return [[number + 1 for number in own] for own in self.ranges]


def check_stages(stages: Sequence[Sequence[int]], depth: int) -> list[range]:
    """Numbers, from 0, of each stage's layers, as a user's list names them from 1.

    Args:
        stages: for each stage the numbers of its layers.
        depth: number of AL layers.

    Raises:
        ValueError: if the stages do not hold every layer once, in order, or one has none.
    """
    named = [number for stage in stages for number in stage]
    if named != list(range(1, depth + 1)) or not all(stages):
        raise ValueError(
            f"Expected `stages` to hold each of the layers 1..{depth} once, in their order, at least one a stage, but "
            f"got {[list(stage) for stage in stages]}. For example: "
            f"{[list(range(1, depth)), [depth]] if depth > 1 else [[1]]}."
        )
    return [range(stage[0] - 1, stage[-1]) for stage in stages]


def measure(
    layers: Sequence[ALLayer],
    optimizer: OptimizerCallable,
    s: Any,
    t: Any,
    precision: Callable[[], AbstractContextManager[Any]],
    device: torch.device,
) -> list[float]:
    """Seconds that each layer takes to learn a batch: forward, losses, backward and optimizer step.

    Copies of the layers work, one at a time, and random numbers come from a stream of their own: nothing of it shows in
    weights, buffers, optimizers, the batch or random states.

    Args:
        layers: from the input upwards.
        optimizer: from parameters to an optimizer.
        s: input of the first layer.
        t: its target.
        precision: the context of a forward.
        device: where the layers are.
    """
    costs: list[float] = []
    s, t = copy.deepcopy(s), copy.deepcopy(t)  # an encoder may work in place
    with randomness.fork(randomness.Purpose.LAYER, device, 0), explain_single_sample():
        for layer in layers:
            twin = copy.deepcopy(layer)
            stepped = optimizer(twin.parameters())
            times: list[float] = []
            for _ in range(REPEATS):
                start = _now(device)
                with precision():
                    s_next, t_next, losses = twin(s, t)
                loss = losses.associated + losses.reconstruction
                if loss.requires_grad:
                    loss.backward()
                    stepped.step()
                    stepped.zero_grad()
                times.append(_now(device) - start)
            costs.append(min(times))
            s, t = detach(s_next), detach(t_next)
    return costs


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
