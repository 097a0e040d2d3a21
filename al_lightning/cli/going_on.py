"""What a ``fit`` that goes on from a checkpoint takes from the run that wrote it, beside model and data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import SIGTERMException

from al_lightning.callbacks import Checkpoint

#: Arguments of the Trainer that decide what is trained. Others are matters of a machine or of one job, such as devices,
#: loggers and ``max_time``.
KEPT = (
    "max_epochs", "min_epochs", "max_steps", "min_steps", "limit_train_batches", "limit_val_batches", "overfit_batches",
    "val_check_interval", "check_val_every_n_epoch", "precision", "deterministic", "sync_batchnorm",
    "reload_dataloaders_every_n_epochs", "callbacks",
)  # fmt: skip


def run_arguments(parser: LightningArgumentParser, config: Any) -> dict[str, dict[str, Any]]:
    """What checkpoints of a ``fit`` say of its command.

    Args:
        parser: of the command.
        config: its parsed configuration.

    Returns:
        Arguments that are not null, in plain types: of the Trainer under ``"trainer"``, of how often checkpoints are
        written under ``"checkpoint"``.
    """
    said = json.loads(parser.dump(config, format="json"))
    trainer = {key: said["trainer"].get(key) for key in KEPT}
    return {
        "trainer": {key: value for key, value in trainer.items() if value is not None},
        "checkpoint": {key: value for key, value in said.get("checkpoint", {}).items() if value is not None},
    }


def to_go_on(entry: Mapping[str, Any], args: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What a command takes from a checkpoint: whatever is typed behind it counts.

    Callbacks that are typed replace those of the checkpoint: two of a kind would do their work twice. Arguments of how
    often to save exclude each other: where one is typed, none is taken.

    Args:
        entry: what the checkpoint says of its run; nothing where it was written from Python.
        args: of the command.
    """
    trainer, checkpoint = dict(entry.get("trainer") or {}), dict(entry.get("checkpoint") or {})
    if any(arg.startswith("--trainer.callbacks") for arg in args):
        trainer.pop("callbacks", None)
    if any(arg.startswith("--checkpoint.") for arg in args):
        checkpoint = {}
    return {key: value for key, value in (("trainer", trainer), ("checkpoint", checkpoint)) if value}


def say_how_to_go_on(trainer: pl.Trainer, exception: BaseException) -> None:
    """Print the command that goes on, where a run was stopped and not broken, and has a checkpoint."""
    kept = trainer.checkpoint_callback
    stopped = isinstance(exception, (KeyboardInterrupt, SIGTERMException))
    if stopped and trainer.is_global_zero and isinstance(kept, Checkpoint) and kept.last_model_path:
        print(f"Go on: al-lightning fit --ckpt_path '{os.path.relpath(kept.last_model_path)}'")
