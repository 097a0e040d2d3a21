"""Learning rate schedulers under manual optimization."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from al_lightning.training.schedules import Interval, step_schedules


@runtime_checkable
class Scheduled(Protocol):
    """A manually optimized module with schedulers."""

    lr_scheduler_interval: Interval

    def active_schedulers(self) -> list[Any]:
        """Schedulers of the layers that train."""


class EpochSchedules(Callback):
    """Steps schedulers at the end of every epoch: Lightning leaves that to the module under manual optimization."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step the schedulers that step per epoch."""
        if isinstance(pl_module, Scheduled) and pl_module.lr_scheduler_interval == "epoch":
            step_schedules(pl_module.active_schedulers(), trainer.callback_metrics)
