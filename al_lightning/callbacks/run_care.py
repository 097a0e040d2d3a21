"""What happens in every run of this package's modules, whichever hooks a user overrides."""

from __future__ import annotations

import secrets
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from al_lightning.checkpoints.contents import describe_arguments
from al_lightning.checkpoints.recipe import Recorded
from al_lightning.targets.base import Calibration
from al_lightning.training import randomness
from al_lightning.training.agreement import check_agreement
from al_lightning.training.devices import NoGPU
from al_lightning.training.reduction import data_share, share_buffers
from al_lightning.training.schedules import Interval, step_schedules


@runtime_checkable
class Seeded(Protocol):
    """A module whose layers draw random numbers from streams of a run's seed."""

    run_seed: int | None


@runtime_checkable
class Calibrated(Protocol):
    """A module whose scores are read through a calibration, and whose ``validation_step`` collects scores for it."""

    calibration: Calibration

    def path_count(self) -> int:
        """How many inference paths are trained."""


@runtime_checkable
class Scheduled(Protocol):
    """A manually optimized module with schedulers."""

    lr_scheduler_interval: Interval

    def active_schedulers(self) -> list[Any]:
        """Schedulers of the layers that train."""


class RunCare(Callback):
    """Makes runs repeatable, calibrates at every validation, and steps the schedulers of manual optimization.

    One callback and not several, because Lightning calls every hook of every callback for every layer of a batch.
    """

    def __init__(self) -> None:
        self._no_gpu = NoGPU()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse processes that were started differently, before any can wait for another for ever.

        Raises:
            ValueError: naming what differs.
        """
        if stage == "fit":
            check_agreement(_what_was_told(trainer, pl_module))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fix the run's seed: the checkpoint's, or Lightning's, or one drawn by rank 0 for all."""
        self._no_gpu.start()
        if isinstance(pl_module, Seeded) and pl_module.run_seed is None:
            given = randomness.given_seed()
            seed = given if given is not None else secrets.randbits(32)
            pl_module.run_seed = trainer.strategy.broadcast(seed)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse processes that would wait for each other's batches for ever.

        Raises:
            ValueError: if processes have different numbers of batches.
        """
        check_agreement([("the number of training batches", str(trainer.num_training_batches))])

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate on all processes what rank 0 keeps in its checkpoints."""
        share_buffers(pl_module, data_share(trainer))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fit one calibration per path, before the checkpoint of this validation is written."""
        if calibrates(trainer) and isinstance(pl_module, Calibrated):
            pl_module.calibration.fit(pl_module.path_count())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step schedulers: under manual optimization Lightning leaves that to the module."""
        if (
            not pl_module.automatic_optimization
            and isinstance(pl_module, Scheduled)
            and pl_module.lr_scheduler_interval == "epoch"
        ):
            step_schedules(pl_module.active_schedulers(), trainer.callback_metrics)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the same buffers in all processes when training is over."""
        share_buffers(pl_module, data_share(trainer))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so when there was nothing to train on: Lightning only warns.

        Raises:
            ValueError: if the training loader was empty.
        """
        if trainer.num_training_batches == 0 and trainer.limit_train_batches != 0:
            raise ValueError(
                "Expected at least one batch to train on, but the training loader is empty. "
                "Look at `root`, `val_fraction` and `drop_last` of the data."
            )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the process's environment as it was."""
        self._no_gpu.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the process's environment as it was, also after an error or Ctrl-C."""
        self._no_gpu.stop()


def calibrates(trainer: pl.Trainer) -> bool:
    """Whether the validation that runs now is one that calibration is fitted on: that of a ``fit``."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def recorded_data(trainer: pl.Trainer) -> Recorded | None:
    """The run's data module, if it remembers how it was built."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, Recorded) else None


def _what_was_told(trainer: pl.Trainer, module: pl.LightningModule) -> list[tuple[str, str]]:
    """What this process was told, and all others have to be told as well."""
    data = recorded_data(trainer)
    return [
        *(describe_arguments("the model", module) if isinstance(module, Recorded) else []),
        *(describe_arguments("the data", data) if data is not None else []),
        ("the list of the model's parameters", str([tuple(p.shape) for p in module.parameters()])),
        *((f"the Trainer's `{n}`", str(getattr(trainer, n))) for n in ("precision", "max_epochs", "max_steps")),
        ("the checkpoint to go on from", str(trainer.ckpt_path)),
    ]
