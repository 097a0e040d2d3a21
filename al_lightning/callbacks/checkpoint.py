"""Checkpoints that mean for AL what they mean for BP, written so that no failure costs an older one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint


@runtime_checkable
class Monitored(Protocol):
    """A module that says which metric decides what is best, and whether large is good."""

    monitor: str
    mode: str


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary name in the same folder and renames: a full disk leaves the old file whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: what to write.
            path: where; remote addresses are left to Lightning's own writer.
            storage_options: Lightning's, for remote addresses.

        Raises:
            OSError: if it cannot be written; whatever stood at ``path`` still stands there.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
        except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as RuntimeError
            raise OSError(
                f"Expected to write the checkpoint {final}, but could not ({_cause(error)}). "
                "Checkpoints written before are whole; free some space and resume from the last one."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _cause(error: BaseException) -> str:
    root: BaseException = error
    while (deeper := root.__cause__ or root.__context__) is not None:
        root = deeper
    return str(root).strip().splitlines()[0] if str(root).strip() else type(root).__name__


def _asks(module: pl.LightningModule) -> tuple[str | None, str]:
    """What a module wants to be judged by; nothing, if it does not say."""
    return (module.monitor, module.mode) if isinstance(module, Monitored) else (None, "max")


class Checkpoint(ModelCheckpoint):
    """Keeps the best checkpoint by validation and the last one, by epoch, step or time.

    Under manual optimization Lightning's own class ignores the time interval and expects weights from before the
    optimizer step. Here a training-step or time trigger writes the weights as they are, after the batch: at once
    if nothing is monitored, and as ``last``; the monitored best is written at the next validation, whose metric
    belongs to the weights.

    Args:
        dirpath: folder; the logger's if None.
        filename: pattern such as ``{epoch}-{step}``; if None, ``best`` where one best checkpoint is kept, else
            Lightning's default.
        monitor: metric that decides what is best; ``"auto"`` is the module's own, ``val_acc`` for classes; None keeps
            by recency. Without validation it counts as None.
        mode: ``"max"`` or ``"min"``; if None, the module's own with ``"auto"``, ``"min"`` for a loss, else ``"max"``.
        save_top_k: how many best ones to keep; -1 keeps all.
        save_last: also keep ``last.ckpt``, from which a run can go on, at every interval, better or not.
        every_n_epochs: save every so many epochs; the default where no other interval is given.
        every_n_train_steps: save every so many optimizer steps.
        train_time_interval: save after this much time, such as ``00:30:00``.
        save_weights_only: leave optimizers out.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        monitor: str | None = "auto",
        mode: Literal["min", "max"] | None = None,
        save_top_k: int = 1,
        save_last: bool = True,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        save_weights_only: bool = False,
    ) -> None:
        self._calls_it_best = filename is None and monitor is not None and save_top_k == 1
        super().__init__(
            dirpath=dirpath,
            filename="best" if self._calls_it_best else filename,
            monitor=monitor,
            mode=mode or ("min" if "loss" in (monitor or "") else "max"),
            save_top_k=save_top_k,
            save_last=save_last,
            every_n_epochs=every_n_epochs,
            every_n_train_steps=every_n_train_steps,
            train_time_interval=train_time_interval,
            save_weights_only=save_weights_only,
        )
        self._asked = (monitor, mode)
        self._waits_for_epoch_end = False
        self._steps_seen = 0
        self._judged_at = -1

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Make the Trainer's writer atomic, unless the user chose another one; ask the module what is best."""
        if self._asked[0] == "auto":
            self.monitor, mode = _asks(pl_module)
            self.mode = self._asked[1] or mode
            self.kth_value = torch.tensor(torch.inf if self.mode == "min" else -torch.inf)
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; without validation there is nothing to monitor."""
        super().on_train_start(trainer, pl_module)
        self._steps_seen = trainer.global_step
        self._monitor_nothing_without_validation(trainer)

    def _monitor_nothing_without_validation(self, trainer: pl.Trainer) -> None:
        """Without a validation batch there is nothing to monitor.

        Lightning counts them when it first validates, which may be epochs ahead; until then there may be some.
        """
        if trainer.enable_validation and trainer.val_dataloaders is None:
            return
        batches = trainer.num_val_batches
        if self.monitor is not None and not sum(batches if isinstance(batches, list) else [batches]):
            self.monitor = None
            if self._calls_it_best:  # nobody has judged it
                self.filename = None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: torch.Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if a step or time trigger is due."""
        if trainer.global_step == self._steps_seen:
            return  # gradients that wait for those of more batches are in no checkpoint
        self._steps_seen = trainer.global_step
        if not self._is_due(trainer) or self._should_skip_saving_checkpoint(trainer):
            return
        if trainer.is_last_batch:
            self._waits_for_epoch_end = True  # a run that goes on from here would miss validation and schedulers
            return
        candidates = self._monitor_candidates(trainer)
        if self.monitor is None:
            self._save_topk_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)
        if self.monitor is not None:
            self._defer_save_until_validation = True
            self._last_global_step_saved = 0  # else a validation right after this batch would be skipped

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if an epoch is due, or a step or time trigger waited for this epoch's metric."""
        self._monitor_nothing_without_validation(trainer)
        deferred = self._defer_save_until_validation and self._should_save_on_train_epoch_end(trainer)
        if deferred or self._waits_for_epoch_end:
            judged = self.monitor is None or self._judged_at == trainer.global_step
            self._waits_for_epoch_end = False
            self._defer_save_until_validation = not judged  # the metric that is there belongs to earlier weights
            if not self._should_skip_saving_checkpoint(trainer):
                candidates = self._monitor_candidates(trainer)
                if judged:
                    self._save_topk_checkpoint(trainer, candidates)
                self._save_last_checkpoint(trainer, candidates)
            return
        super().on_train_epoch_end(trainer, pl_module)
        epochs = self._every_n_epochs
        due = self.save_last and epochs >= 1 and (trainer.current_epoch + 1) % epochs == 0
        if due and not self._should_skip_saving_checkpoint(trainer):  # Lightning keeps the last *best* one
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note which weights were judged; save if Lightning's own would."""
        self._judged_at = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last one if nothing has been saved; Lightning's own does so even in a ``fast_dev_run``."""
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by the Trainer
            super().on_train_end(trainer, pl_module)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        steps = self._every_n_train_steps
        if steps >= 1 and trainer.global_step > 0 and trainer.global_step % steps == 0:
            return True
        interval = self._train_time_interval
        if interval is None:
            return False
        now = time.monotonic()
        started = self._last_time_checked
        due = started is not None and now - started >= interval.total_seconds()
        due = bool(trainer.strategy.broadcast(due))  # clocks differ; all ranks must agree
        if due:
            self._last_time_checked = now
        return due
