"""What happens in every run of this package's modules, whichever hooks a user overrides."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from al_lightning.checkpoints.contents import describe_arguments
from al_lightning.checkpoints.recipe import Recorded
from al_lightning.targets.base import Calibration
from al_lightning.training.agreement import check_agreement
from al_lightning.training.devices import NoGPU
from al_lightning.training.reduction import data_share, share_buffers
from al_lightning.training.schedules import Interval, step_schedules


@runtime_checkable
class Seeded(Protocol):
    """A module whose layers draw random numbers from streams of a run's seed."""

    def choose_run_seed(self) -> int:
        """The run's seed, chosen now if it was not yet; all processes ask together."""


@runtime_checkable
class Accumulating(Protocol):
    """A module that says how many batches make one optimizer step."""

    accumulate_grad_batches: int


@runtime_checkable
class Calibrated(Protocol):
    """A module whose scores are read through a calibration."""

    calibration: Calibration

    def active_readouts(self) -> list[str]:
        """Names of the read-outs whose scores are remembered."""

    def remember_scores(self, batch: Any) -> None:
        """Let the calibration see the scores of a validation batch."""


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
        self._accumulated: int | None = None
        self._remembered: int | None = None
        self._validated = False
        self._calibration: dict[str, Tensor] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse processes that were started differently, before any can wait for another for ever.

        The Trainer is told how many batches the module accumulates: it estimates the number of steps by it, counts the
        steps of loggers, and leaves gradients alone when it validates in the middle of an accumulation. Earlier, it
        would refuse a number above 1 under manual optimization.

        Raises:
            ValueError: naming what differs.
        """
        if stage != "fit":
            return
        self._calibration, self._validated = {}, False
        if isinstance(pl_module, Accumulating) and pl_module.accumulate_grad_batches > 1:
            self._accumulated = trainer.accumulate_grad_batches
            trainer.accumulate_grad_batches = pl_module.accumulate_grad_batches
        check_agreement(_what_was_told(trainer, pl_module))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fix the run's seed; say so if its checkpoints cannot be rebuilt."""
        self._no_gpu.start()
        if isinstance(pl_module, Seeded):
            pl_module.choose_run_seed()
        for recorded in (pl_module, recorded_data(trainer)):
            if isinstance(recorded, Recorded):
                recorded.tell_what_is_lost()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse processes that would wait for each other's batches for ever.

        Raises:
            ValueError: if processes have different numbers of batches.
        """
        check_agreement([("the number of training batches", str(trainer.num_training_batches))])

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate on all processes what rank 0 keeps in its checkpoints; forget what an interrupted validation left.

        Callbacks that average weights have put them into the module by now.
        """
        share_buffers(pl_module, data_share(trainer))
        if isinstance(pl_module, Calibrated):
            pl_module.calibration.reset()
            self._remembered = pl_module.calibration.remembered()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show the calibration a batch that the module's ``validation_step``, a user's own, did not show it."""
        if self._remembered is None or not calibrates(trainer) or not isinstance(pl_module, Calibrated):
            return
        if pl_module.calibration.remembered() == self._remembered:
            try:
                with trainer.precision_plugin.forward_context():
                    pl_module.remember_scores(batch)
            except Exception as error:  # of any kind: only the user's own step may know how to read its batches
                rank_zero_warn(
                    f"The probabilities of {type(pl_module).__name__} are not calibrated: its own `validation_step` "
                    f"validates batches that the network itself cannot read ({error}). Call "
                    "`self.remember_scores((x, y))` there."
                )
                self._remembered = None
                return
        self._remembered = pl_module.calibration.remembered()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fit one calibration per read-out, before the checkpoint of this validation is written."""
        if calibrates(trainer) and isinstance(pl_module, Calibrated):
            pl_module.calibration.fit(len(pl_module.active_readouts()))
            self._calibration = {k: v.clone() for k, v in pl_module.calibration.state_dict().items()}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step schedulers: under manual optimization Lightning leaves that to the module."""
        if (
            not pl_module.automatic_optimization
            and isinstance(pl_module, Scheduled)
            and pl_module.lr_scheduler_interval == "epoch"
        ):
            step_schedules(pl_module, pl_module.active_schedulers(), "epoch", self._validated)
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember that there are new metrics."""
        self._validated = calibrates(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Whether a plateau scheduler has a metric that it did not see yet."""
        return {"validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint was written."""
        self._validated = bool(state_dict["validated"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Give averaged weights the calibration that was fitted on them, and what cannot be averaged.

        Lightning's ``WeightAveraging`` keeps the module's own state beside that of the averaged weights; it averages
        buffers too, or leaves them as they were.
        """
        own = checkpoint.get("current_model_state")
        if own is None:
            return
        fitted = {f"calibration.{name}": value for name, value in self._calibration.items()}
        counts = {name: value for name, value in own.items() if not value.is_floating_point()}
        checkpoint["state_dict"].update(counts | fitted)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the same buffers in all processes when training is over, and the calibration that was fitted last."""
        if self._calibration and isinstance(pl_module, Calibrated):
            pl_module.calibration.load_state_dict(self._calibration)
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
        """Leave the process's environment and the Trainer as they were."""
        self._restore(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the process's environment and the Trainer as they were, also after an error or Ctrl-C."""
        self._restore(trainer)

    def _restore(self, trainer: pl.Trainer) -> None:
        self._no_gpu.stop()
        if self._accumulated is not None:
            trainer.accumulate_grad_batches, self._accumulated = self._accumulated, None


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
