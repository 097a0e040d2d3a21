"""Calibration on validation data."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from al_lightning.targets.base import Calibration


@runtime_checkable
class Calibrated(Protocol):
    """A module whose scores are read through a calibration."""

    calibration: Calibration

    def path_count(self) -> int:
        """How many inference paths are trained."""


def calibrates(trainer: pl.Trainer) -> bool:
    """Whether the validation that runs now is that of a ``fit``."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


class Calibrate(Callback):
    """Fits how scores are read at the end of every validation of a ``fit``, before the checkpoint is written.

    Modules of this package bring it along; their ``validation_step`` collects the scores.
    """

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fit one calibration per path."""
        if calibrates(trainer) and isinstance(pl_module, Calibrated):
            pl_module.calibration.fit(pl_module.path_count())
