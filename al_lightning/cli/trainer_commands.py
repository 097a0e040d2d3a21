"""``fit``, ``validate``, ``test`` and ``predict``: the commands that are a Trainer's own."""

from __future__ import annotations

import json
import logging
import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl

import al_lightning.data
import al_lightning.modules  # noqa: F401  (importing the classes lets configurations use their bare names)
from al_lightning._version import __version__
from al_lightning.checkpoints.recipe import Recipe
from al_lightning.cli.checkpoint_arguments import (
    CONFIG_FLAGS,
    asked_checkpoint,
    checkpoint_entry,
    checkpoint_recipes,
    flag,
    settable,
)
from al_lightning.cli.going_on import to_go_on
from al_lightning.cli.lightning_cli import CLI, LINKS, CheckpointCLI, Parser, SaveConfig
from al_lightning.configs import find_config
from al_lightning.modules.base import SupervisedModule

# Warnings of libraries that say nothing to whoever runs a command of this package.
_SILENCED = (
    ".*does not have many workers.*",  # the data are in memory: worker processes would only copy them
    ".*is smaller than the logging interval",  # epochs may be short; train_loss is logged per epoch too
    "Experiment logs directory .* exists and is not empty",  # both loggers share the folder of the run
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # Lightning 2.6 beside a newer torch
    "(?s).*JsonargparseDeprecationWarning.*",  # Lightning 2.6 beside a newer jsonargparse
    "(?s).*was deprecated in v4.49.0.*",  # the same
    "LightningCLI's args parameter",  # the process has arguments of its own, as under pytest
)
# torch's scheduler and Lightning's, which is told its metric, have the same name.
_PLATEAU = "lightning.pytorch.cli.ReduceLROnPlateau"
_SCHEDULER = re.compile(r"--model\.(init_args\.)?lr_scheduler(\.class_path)?")
# Commands that only read a checkpoint have no folder of their own to compare with its.
_SILENCED_WHEN_READING = ("The dirpath has changed from .*",)


def run(command: str, args: Sequence[str]) -> CLI:
    """Run a Trainer's command.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        args: what follows it on the command line.

    Returns:
        The finished CLI with its ``trainer``, ``model`` and ``datamodule``.

    Raises:
        ValueError: for arguments that cannot be; other errors of the command as they come.
    """
    for message in (*_SILENCED, *(() if command == "fit" else _SILENCED_WHEN_READING)):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_advertising)
    rest = _find_configs(args)
    path = asked_checkpoint(rest)
    if path is not None:
        rest += ["--ckpt_path", path]  # behind every configuration, whose null would take it back
    entry = checkpoint_entry(path, flag(rest, "--weights_only") not in ("false", "False"))
    recipes = checkpoint_recipes(rest, path, entry)
    with tempfile.TemporaryDirectory() as folder:
        if recipes:  # read first, so that the checkpoint fills in what nobody typed
            first = Path(folder) / "checkpoint.json"
            filled = {key: settable(key, recipe, LINKS) for key, recipe in recipes.items()}
            filled |= to_go_on(entry or {}, rest) if command == "fit" else {}
            first.write_text(json.dumps(filled))
            rest = ["--config", str(first), *rest]
        return _parse_and_run([command, *rest], recipes, path or "")


def show_help(args: Sequence[str]) -> None:
    """Let Lightning's parser answer what is no command, such as a ``--config`` before one."""
    _parse_and_run(list(args), {}, "")


def _parse_and_run(args: list[str], recipes: dict[str, Recipe], checkpoint_path: str) -> CLI:
    CheckpointCLI.recipes, CheckpointCLI.checkpoint_path = recipes, checkpoint_path
    return (CheckpointCLI if recipes else CLI)(
        SupervisedModule,
        pl.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=SaveConfig,
        trainer_defaults={"max_epochs": 20, "log_every_n_steps": 10},
        seed_everything_default=0,
        parser_class=Parser,
        parser_kwargs={"description": "Associated Learning.", "version": __version__},
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        args=args,
    )


def _find_configs(args: Sequence[str]) -> list[str]:
    """Let ``--config configs/...`` work in any folder, with the configurations that are installed.

    Also written as ``-c=configs/...`` or ``-cconfigs/...``; and give a bare ``ReduceLROnPlateau``, of which there are
    two, the one that knows its metric.
    """
    found: list[str] = []
    for arg in args:
        before = found[-1] if found else ""
        if before in CONFIG_FLAGS:
            found.append(find_config(arg))
        elif arg.startswith("--config="):
            found += ["--config", find_config(arg.removeprefix("--config="))]
        elif arg.startswith("-c") and arg != "-c":
            found += ["--config", find_config(arg.removeprefix("-c").removeprefix("="))]
        elif _SCHEDULER.fullmatch(before) and arg == _PLATEAU.rsplit(".", 1)[-1]:
            found.append(_PLATEAU)
        else:
            name, equals, value = arg.partition("=")
            bare = equals and _SCHEDULER.fullmatch(name) and value == _PLATEAU.rsplit(".", 1)[-1]
            found.append(f"{name}={_PLATEAU}" if bare else arg)
    return found


def _no_advertising(record: logging.LogRecord) -> bool:
    """Lightning recommends a product at every start."""
    return "Tip:" not in record.getMessage()
