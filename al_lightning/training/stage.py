"""Which layers this process trains: all of them, or those of one stage of a pipeline.

A pipeline is a strategy that gives each process some consecutive layers. What a stage does with a batch is the same
loop over layer updates as everywhere; here stands what it asks its strategy for before and after.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from al_lightning.nn.stack import LayerStack
from al_lightning.training.reduction import Share, data_share


class Handover(NamedTuple):
    """What a later stage of a pipeline gets in place of a batch ``(x, y)``: what the layers below made of it."""

    s: Any
    t: Any


class Arriving:
    """Stands for a batch that the stage before still works on, until the batch is moved to this stage's device."""


@runtime_checkable
class StagedModule(Protocol):
    """A module whose layers can be trained by several processes."""

    layers: LayerStack
    isolated: bool
    optimizer: OptimizerCallable


class StagedStrategy(ABC):
    """A strategy whose processes train some of the layers each."""

    @property
    @abstractmethod
    def training_share(self) -> Share:
        """Which replica of the network this process trains a part of, and the processes that train the same part."""

    @abstractmethod
    def begin_batch(self, s: Any, t: Any) -> range:
        """Numbers, from 0, of the layers that this process trains on the batch ``(s, t)`` that it begins."""

    @abstractmethod
    def hand_on(self, s: Any, t: Any) -> None:
        """Give the next stage what this one's last layer made of the batch; it may still be on its way afterwards."""

    @abstractmethod
    def sum_over_stages(self, values: Tensor) -> Tensor:
        """The sum of all stages' values, each of which has zeros in the places of others."""


def training_share(trainer: pl.Trainer) -> Share:
    """Which replica of the network this process trains, the whole of it or a part."""
    strategy = trainer.strategy
    return strategy.training_share if isinstance(strategy, StagedStrategy) else data_share(trainer)


def own_layers(trainer: pl.Trainer, active_depth: int, s: Any, t: Any) -> range:
    """Numbers, from 0, of the layers that this process trains on a batch.

    Args:
        trainer: of the run.
        active_depth: how many layers are trained at all.
        s: input of the first of them.
        t: its target.
    """
    strategy = trainer.strategy
    return strategy.begin_batch(s, t) if isinstance(strategy, StagedStrategy) else range(active_depth)


def hand_on(trainer: pl.Trainer, s: Any, t: Any) -> None:
    """Give the next stage, if there is one, what the last layer of this process made of a batch."""
    if isinstance(trainer.strategy, StagedStrategy):
        trainer.strategy.hand_on(s, t)


def of_all_stages(trainer: pl.Trainer, losses: Tensor, first: int, total: int) -> Tensor:
    """The losses of a batch from all stages; all processes of a pipeline wait for each other.

    Args:
        trainer: of the run.
        losses: (n,) of this process's layers.
        first: number of the first of them.
        total: how many losses all layers have.

    Returns:
        (total,) losses; as they came, where one process trains all layers.
    """
    if not isinstance(trainer.strategy, StagedStrategy):
        return losses
    placed = losses.new_zeros(total)
    placed[first : first + len(losses)] = losses
    return trainer.strategy.sum_over_stages(placed)
