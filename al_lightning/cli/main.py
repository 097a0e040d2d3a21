"""The command line: ``al-lightning fit | validate | test | predict | reproduce``."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

import al_lightning.data
import al_lightning.modules  # noqa: F401  (importing the classes lets configurations use their bare names)
from al_lightning._version import __version__
from al_lightning.callbacks import Checkpoint, PredictionWriter
from al_lightning.checkpoints.contents import read_checkpoint
from al_lightning.checkpoints.recipe import Recipe, Recorded
from al_lightning.cli.messages import explain, sentence
from al_lightning.configs import find_config
from al_lightning.data import BaseDataModule
from al_lightning.experiments import reproduce as experiments
from al_lightning.modules.base import Classifier

#: What a data module knows and a model needs: attributes linked into the model's arguments.
LINKS = ("num_classes", "class_names", "vocabulary")
TRAINER_COMMANDS = ("fit", "validate", "test", "predict")

# What others say at every start about what is meant here.
_BESIDE_THE_POINT = (
    ".*does not have many workers.*",  # the data are in memory: worker processes would only copy them
    ".*is smaller than the logging interval",  # train_loss is logged an epoch
    "Experiment logs directory .* exists and is not empty",  # both loggers share the folder of the run
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # Lightning 2.6 beside a newer torch
    "(?s).*JsonargparseDeprecationWarning.*",  # Lightning 2.6 beside a newer jsonargparse
    "(?s).*was deprecated in v4.49.0.*",  # the same
)
# Commands that only read a checkpoint have no folder of their own to compare with its.
_WHEN_READING = ("The dirpath has changed from .*",)

EPILOG = """other commands:
  reproduce EXPERIMENT  train all runs of an experiment and print its table; `reproduce --help` lists them
"""


class SaveConfig(SaveConfigCallback):
    """Saves the configuration of a ``fit`` beside its logs, under a new name if there is one already."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Pick a free name, then save."""
        if stage != "fit" or self.already_saved or trainer.log_dir is None:
            return
        folder = Path(trainer.log_dir)
        names = ["config.yaml", *(f"config-{n}.yaml" for n in range(1, 10_000))]
        free = next(name for name in names if not (folder / name).exists())
        self.config_filename = trainer.strategy.broadcast(free)
        super().setup(trainer, pl_module, stage)


class Parser(LightningArgumentParser):
    """Answers a mistake with a sentence; the full list of arguments is one ``--help`` away."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what the mistake was and end the process with status 2."""
        if not self.exit_on_error:  # a parser inside the parser, trying one of several types
            super().error(message, ex)
        print(f"al-lightning: {explain(message)}\n(`al-lightning fit --help` lists all arguments.)", file=sys.stderr)
        raise SystemExit(2) from ex


class CLI(LightningCLI):
    """LightningCLI with checkpoints that know their model and data, and two loggers in one folder."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Checkpoint and prediction arguments; what the data tells the model."""
        parser.add_lightning_class_args(Checkpoint, "checkpoint")
        parser.add_lightning_class_args(PredictionWriter, "predictions")
        for name in LINKS:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def after_instantiate_classes(self) -> None:
        """Tell model and data how they were configured, so that checkpoints can say it."""
        config = json.loads(self.parser.dump(self.config, format="json"))[self.subcommand]
        for key, built in (("model", self.model), ("data", self.datamodule)):
            if isinstance(built, Recorded) and key in config:
                built.set_recipe(config[key])

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """TensorBoard and csv side by side for ``fit``; no log folder for the commands that only read."""
        given = self._get(self.config_init, "trainer", default={})
        if given.get("logger") is None:
            if self.subcommand == "fit":
                folder = given.get("default_root_dir") or os.getcwd()
                board = TensorBoardLogger(folder, default_hp_metric=False)
                kwargs["logger"] = [board, CSVLogger(folder, version=board.version)]
            else:
                kwargs["logger"] = False
        return super().instantiate_trainer(**kwargs)

    def after_fit(self) -> None:
        """Say where the best weights are and what to do with them."""
        checkpoint = self.trainer.checkpoint_callback
        if self.trainer.is_global_zero and isinstance(checkpoint, Checkpoint) and checkpoint.best_model_path:
            path = os.path.relpath(checkpoint.best_model_path)
            score = checkpoint.best_model_score
            if checkpoint.monitor is not None and score is not None:
                print(f"Best {checkpoint.monitor}: {float(score):.4f}")
            print(f"Next: al-lightning test --ckpt_path '{path}'")


def _flag(args: Sequence[str], *names: str) -> str | None:
    """The value of ``--name VALUE`` or ``--name=VALUE``, if it is there."""
    for position, arg in enumerate(args):
        for name in names:
            if arg == name and position + 1 < len(args):
                return args[position + 1]
            if arg.startswith(f"{name}="):
                return arg.split("=", 1)[1]
    return None


def _find_configs(args: Sequence[str]) -> list[str]:
    """Let ``--config configs/...`` work in any folder, with the configurations that are installed."""
    found = list(args)
    for position, arg in enumerate(found):
        if position and found[position - 1] in ("-c", "--config"):
            found[position] = find_config(arg)
        elif arg.startswith("--config="):
            found[position] = f"--config={find_config(arg.split('=', 1)[1])}"
    return found


def _checkpoint_recipes(args: Sequence[str]) -> dict[str, Recipe]:
    """What the checkpoint named by ``--ckpt_path`` says about its model and data."""
    path = _flag(args, "--ckpt_path")
    if path is None or path in ("best", "last", "hpc") or path.startswith("registry"):
        return {}
    entry = read_checkpoint(path).get("al_lightning", {})
    recipes = {key: entry[key] for key in ("model", "data") if entry.get(key) is not None}
    for key in ("model", "data"):
        if key not in recipes and _flag(args, f"--{key}", "--config", "-c") is None:
            raise ValueError(
                f"Expected {path} to say how its {key} was built, but that was made by hand from parts. "
                f"Pass `--{key} yourmodule.YourClass`."
            )
    return recipes


def _settable(key: str, recipe: Recipe) -> Recipe:
    """A recipe without the model's linked arguments, which a parser would refuse; the data keep theirs."""
    init_args = {k: v for k, v in recipe.get("init_args", {}).items() if key == "data" or k not in LINKS}
    return {"class_path": recipe["class_path"], "init_args": init_args}


def _refuse_contradictions(path: str, key: str, kept: Recipe, asked: Recipe) -> None:
    """Compare what was typed or configured with what the checkpoint holds.

    Raises:
        ValueError: naming the argument.
    """
    names = [recipe["class_path"].rsplit(".", 1)[-1] for recipe in (kept, asked)]
    if kept["class_path"] != asked["class_path"] and names[0] != names[1]:
        raise ValueError(
            f"Expected --{key} to be {names[0]}, which {path} holds, but got {names[1]}. "
            f"Leave --{key} out, or name another checkpoint."
        )
    run_time = Classifier.run_time_arguments | BaseDataModule.run_time_arguments
    for name, value in kept.get("init_args", {}).items():
        got = asked.get("init_args", {}).get(name)
        if name in run_time or _agrees(value, got):
            continue
        raise ValueError(
            f"Expected --{key}.{name} to be {_short(value)}, as {path} was trained with, but got {_short(got)}. "
            "Leave it out: model and data come from the checkpoint."
        )


def _short(value: object) -> str:
    """A value for a message; vocabularies are long."""
    written = repr(value)
    return written if len(written) <= 200 else f"{written[:200]} ..."


def _agrees(kept: object, asked: object) -> bool:
    """Whether nothing that a checkpoint says differs; a recipe inside may have had its defaults filled in."""
    if isinstance(kept, dict) and isinstance(asked, dict) and "class_path" in kept:
        same = str(kept["class_path"]).rsplit(".", 1)[-1] == str(asked.get("class_path")).rsplit(".", 1)[-1]
        theirs = asked.get("init_args") or {}
        return same and all(_agrees(v, theirs.get(k)) for k, v in (kept.get("init_args") or {}).items())
    return kept == asked


class _CheckpointCLI(CLI):
    """Checks, after parsing, that nothing contradicts the checkpoint."""

    recipes: ClassVar[dict[str, Recipe]] = {}
    checkpoint_path: ClassVar[str] = ""

    def before_instantiate_classes(self) -> None:
        """Refuse contradicting arguments before anything is built."""
        config = json.loads(self.parser.dump(self.config, format="json"))[self.subcommand]
        for key, kept in self.recipes.items():
            _refuse_contradictions(self.checkpoint_path, key, _settable(key, kept), config[key])


def main(args: Sequence[str] | None = None) -> CLI | None:
    """Run one command.

    Args:
        args: what follows ``al-lightning`` on the command line; ``sys.argv[1:]`` if None.

    Returns:
        The finished CLI with its ``trainer``, ``model`` and ``datamodule``; None for ``reproduce``.

    Raises:
        ValueError: for arguments that cannot be; other errors of the command as they come.
    """
    given = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a user's `mynet.py`; console scripts do not look here
    if given and given[0] == "reproduce":
        experiments.main(given[1:])
        return None
    reading = given[:1] != ["fit"]
    for message in (*_BESIDE_THE_POINT, *(_WHEN_READING if reading else ())):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_advertising)
    recipes: dict[str, Recipe] = {}
    with tempfile.TemporaryDirectory() as folder:
        if given and given[0] in TRAINER_COMMANDS:
            recipes = _checkpoint_recipes(given)
            rest = _find_configs(given[1:])
            if recipes:
                # Read first, so that the checkpoint fills in what nobody typed.
                first = Path(folder) / "checkpoint.json"
                first.write_text(json.dumps({key: _settable(key, recipe) for key, recipe in recipes.items()}))
                rest = ["--config", str(first), *rest]
            given = [given[0], *rest]
        _CheckpointCLI.recipes, _CheckpointCLI.checkpoint_path = recipes, _flag(given, "--ckpt_path") or ""
        return _run(given, _CheckpointCLI if recipes else CLI)


def _no_advertising(record: logging.LogRecord) -> bool:
    """Lightning recommends a product at every start."""
    return "Tip:" not in record.getMessage()


def _run(args: list[str], cli_class: type[CLI]) -> CLI:
    with warnings.catch_warnings():
        # LightningCLI warns when it is given `args` while the process has arguments of its own (as under pytest).
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
        return cli_class(
            Classifier,
            pl.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            trainer_defaults={"max_epochs": 20, "log_every_n_steps": 10},
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={"description": "Associated Learning.", "epilog": EPILOG, "version": __version__},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=args,
        )


def console() -> None:
    """Entry point of the console script: a user's mistake is answered by a sentence, not by a traceback."""
    try:
        main()
    except (ValueError, TypeError, OSError, FloatingPointError, MisconfigurationException) as error:
        if os.environ.get("AL_LIGHTNING_TRACEBACK"):
            raise
        print(f"al-lightning: {sentence(error)}\n(AL_LIGHTNING_TRACEBACK=1 shows where.)", file=sys.stderr)
        sys.exit(1)
