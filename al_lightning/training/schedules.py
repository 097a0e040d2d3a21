"""Optimizers of layers and their learning rates: one optimizer per layer, one scheduler per optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import lightning.pytorch as pl
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau as TorchPlateau

from al_lightning.training.whole_run import WholeRunLR

Interval: TypeAlias = Literal["epoch", "step"]


def check_rates(rates: list[float] | None, layers: int) -> list[float] | None:
    """Learning rates of so many layers, as they were given.

    Raises:
        ValueError: if there is another number of them, or one is not above 0.
    """
    if rates is not None and (len(rates) != layers or min(rates) <= 0):
        raise ValueError(
            f"Expected `layer_lr` to hold one learning rate above 0 for each of the {layers} layers, but got {rates}."
        )
    return rates


def layer_optimizers(
    factory: OptimizerCallable, layers: Iterable[nn.Module], rates: list[float] | None
) -> list[Optimizer]:
    """One optimizer per layer.

    Args:
        factory: any callable from parameters to an optimizer.
        layers: whose parameters they step.
        rates: a learning rate per layer in place of the optimizer's own, or None.
    """
    optimizers = [factory(layer.parameters()) for layer in layers]
    for optimizer, rate in zip(optimizers, rates or []):
        for group in optimizer.param_groups:
            group["lr"] = rate
    return optimizers


def make_schedules(
    factory: LRSchedulerCallable | None,
    interval: Interval,
    optimizers: Sequence[Optimizer],
    *,
    manual: bool = False,
    validates_every: int | None = 1,
    trainer: pl.Trainer | None = None,
) -> list[dict[str, Any]]:
    """One scheduler per optimizer, as Lightning wants to be told.

    Args:
        factory: any callable from an optimizer to a scheduler; no schedulers if None.
        interval: schedulers step per ``"epoch"`` or per ``"step"`` (optimizer step).
        optimizers: in the order of the layers.
        manual: under manual optimization, Lightning does not step them and wants to know their names only.
        validates_every: epochs from one validation to the next, None if it is counted in batches: a plateau scheduler
            has a new metric only then.
        trainer: tells schedulers over the whole run how long it is.

    Returns:
        Lightning's scheduler configurations.

    Raises:
        ValueError: for a plateau scheduler that does not know its metric, or a scheduler over the whole run of a
            Trainer that does not know when it ends.
    """
    if factory is None:
        return []
    schedules: list[dict[str, Any]] = []
    for number, optimizer in enumerate(optimizers, 1):
        scheduler = factory(optimizer)
        if isinstance(scheduler, TorchPlateau) and not isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                "Expected a scheduler that knows its metric, but got torch's ReduceLROnPlateau. "
                "Use lightning.pytorch.cli.ReduceLROnPlateau with `monitor`."
            )
        if isinstance(scheduler, WholeRunLR) and trainer is not None:
            scheduler.total_steps = _run_length(trainer, interval)
        schedule: dict[str, Any] = (
            {"scheduler": scheduler} if manual else {"scheduler": scheduler, "interval": interval}
        )
        if len(optimizers) > 1:
            schedule["name"] = f"lr_layer{number}"
        if isinstance(scheduler, ReduceLROnPlateau) and not manual:
            schedule["monitor"] = scheduler.monitor
            # Before the first validation there is no metric yet, which is no reason to stop.
            schedule["strict"] = validates_every is not None and interval == "epoch"
            if interval == "epoch" and _is_validated(scheduler.monitor):
                schedule["frequency"] = validates_every or 1
        schedules.append(schedule)
    return schedules


def _run_length(trainer: pl.Trainer, interval: Interval) -> int:
    """How often schedulers step in a whole run.

    Raises:
        ValueError: if the Trainer has no end.
    """
    steps = trainer.estimated_stepping_batches if interval == "step" else trainer.max_epochs or -1
    if steps == math.inf or steps < 0:
        raise ValueError(
            "Expected a Trainer that knows when it ends, for a learning rate that falls over the whole run, but got "
            f"max_epochs={trainer.max_epochs} and max_steps={trainer.max_steps}. Set `max_epochs`"
            f"{' or `max_steps`' if interval == 'step' else ''}."
        )
    return int(steps)


def _is_validated(metric: str) -> bool:
    """Whether validation logs a metric; those of training are called ``train_...``."""
    return not metric.startswith("train")


def step_schedules(
    module: pl.LightningModule, schedulers: Sequence[Any], interval: Interval, validated: bool | None = None
) -> None:
    """Step schedulers, each plateau scheduler with its metric, through the module's ``lr_scheduler_step``.

    In a network that grows, a layer that begins later has a schedule over what is then left of the run.

    Args:
        module: in training.
        schedulers: as ``LightningModule.lr_schedulers`` gives them.
        interval: what they step per.
        validated: whether a validation has logged new metrics, without which plateau schedulers that monitor it wait;
            if None, whether one has logged any at all.

    Raises:
        ValueError: if a monitored metric was not logged.
    """
    trainer = module.trainer
    metrics = trainer.callback_metrics
    validated = any(map(_is_validated, metrics)) if validated is None else validated
    done = trainer.global_step - 1 if interval == "step" else trainer.current_epoch  # before this step
    for scheduler in schedulers:
        if isinstance(scheduler, WholeRunLR) and scheduler.last_epoch == 0 and done > 0:
            scheduler.total_steps = max(1, _run_length(trainer, interval) - done)
        if not isinstance(scheduler, ReduceLROnPlateau):
            module.lr_scheduler_step(scheduler, None)
            continue
        if _is_validated(scheduler.monitor) and trainer.enable_validation and not validated:
            continue
        if scheduler.monitor not in metrics:
            raise ValueError(
                f"Expected the scheduler to monitor a logged metric, but got {scheduler.monitor!r}. "
                f"Logged so far: {', '.join(sorted(metrics))}."
            )
        module.lr_scheduler_step(scheduler, metrics[scheduler.monitor])
