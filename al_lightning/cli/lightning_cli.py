"""LightningCLI with checkpoints that know their model and data, and what the data tell the model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import lightning.pytorch as pl
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from al_lightning.callbacks import Checkpoint, PredictionWriter
from al_lightning.checkpoints.recipe import Recipe, Recorded, build
from al_lightning.cli.checkpoint_arguments import agrees, refuse_contradictions, settable
from al_lightning.cli.going_on import run_arguments, say_how_to_go_on
from al_lightning.cli.messages import explain
from al_lightning.cli.signatures import argument_names, default_of
from al_lightning.cli.yaml_strings import keep_strings
from al_lightning.targets.base import Target

keep_strings()

#: What data know and models need: attributes of the data, linked into arguments of the model where both have them.
LINKS = ("num_classes", "class_names", "target", "vocabulary", "max_length", "in_channels", "image_size", "in_features")
#: Those that say what is learned, where it is classes.
OF_CLASSES = ("num_classes", "class_names")


class SaveConfig(SaveConfigCallback):
    """Saves the configuration of a ``fit`` beside its logs, under a new name if there is one already.

    What of it decides what is trained stands in the run's checkpoints too.
    """

    _arguments: dict[str, dict[str, Any]] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let the checkpoint say with which arguments its run goes on."""
        if self._arguments is None:
            self._arguments = run_arguments(self.parser, self.config)
        checkpoint["al_lightning"] = dict(self._arguments)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Say how a run that was stopped goes on."""
        say_how_to_go_on(trainer, exception)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Pick a free name, then save."""
        if stage != "fit" or self.already_saved or trainer.log_dir is None:
            return
        folder = Path(trainer.log_dir)
        names = ["config.yaml", *(f"config-{n}.yaml" for n in range(1, 10_000))]
        free = next(name for name in names if not (folder / name).exists())
        self.config_filename = trainer.strategy.broadcast(free)
        super().setup(trainer, pl_module, stage)
        if trainer.is_global_zero:
            self._add_linked(folder / self.config_filename)

    def _add_linked(self, file: Path) -> None:
        """Add what the user said of arguments that data may say too: jsonargparse leaves those out."""
        model = self.config.model
        said = {name: model.init_args.get(name) for name in LINKS}
        typed = {n: v for n, v in said.items() if v is not None and v != default_of(model.class_path, n)}
        if typed:
            saved = yaml.safe_load(file.read_text(encoding="utf-8"))
            plain = {n: v.as_dict() if isinstance(v, Namespace) else v for n, v in typed.items()}
            saved["model"].setdefault("init_args", {}).update(plain)
            file.write_text(yaml.safe_dump(saved, sort_keys=False), encoding="utf-8")


class Parser(LightningArgumentParser):
    """Answers a mistake with a sentence; the full list of arguments is one ``--help`` away."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what the mistake was and end the process with status 2."""
        if not self.exit_on_error:  # a parser inside the parser, trying one of several types
            super().error(message, ex)
        print(f"al-lightning: {explain(message)}\n(`al-lightning fit --help` lists all arguments.)", file=sys.stderr)
        raise SystemExit(2) from ex


def _told(cli: LightningCLI, name: str) -> Callable[[pl.LightningDataModule], Any]:
    """What the data say of a model's argument; what the user says where the data do not know it.

    The whole data module is linked, not its attribute: where that is missing, jsonargparse writes the module into its
    log, and Lightning's text of a data module loads all its data.
    """

    def told(data: pl.LightningDataModule) -> Any:
        model = cli.config[cli.subcommand].model
        recipe = CheckpointCLI.recipes.get("model")
        asked, kept_arguments = model.init_args, {} if recipe is None else recipe.get("init_args", {})
        if name == "target":
            return _target(data, asked.get(name), recipe)
        typed, default = asked.get(name), default_of(model.class_path, name)
        kept = kept_arguments.get(name)
        if typed in (None, default) and kept is not None:
            typed = kept
        if name in OF_CLASSES and (asked.get("target") or kept_arguments.get("target")) is not None:
            return typed
        if name == "num_classes" and typed is None:
            _find_classes(data, model.class_path)
        known = _says(data, name)
        if known is None:
            return typed
        if typed not in (None, known, default, kept):
            raise ValueError(
                f"Expected --model.{name} to be {known!r:.200}, as {type(data).__name__} says, but got {typed!r:.200}. "
                "Leave it out."
            )
        return known

    return told


def _target(data: pl.LightningDataModule, typed: Namespace | None, recipe: Recipe | None) -> Target | None:
    """What is learned: as the checkpoint says, else as the user says, else as the data say; None for classes.

    A checkpoint's data are not asked: what they would have to look into may be gone.

    Raises:
        ValueError: if the user says otherwise than the checkpoint.
    """
    asked = None if typed is None else typed.as_dict()
    if recipe is not None:
        kept = recipe.get("init_args", {}).get("target")
        if asked is not None and not agrees(kept, asked):
            raise ValueError(
                f"Expected --model.target to be {kept!r:.200}, as {CheckpointCLI.checkpoint_path} was trained with, "
                f"but got {asked!r:.200}. Leave it out: model and data come from the checkpoint."
            )
        asked = kept
    if asked is not None:
        target: Target = build(Target, asked)
        return target
    return None if recipe is not None else _says(data, "target")


def _says(data: pl.LightningDataModule, name: str) -> Any:
    """An attribute of the data; None while a property of a user's own cannot be computed, as before ``setup``."""
    try:
        return getattr(data, name, None)
    except TypeError:  # such as `len(None)`
        return None


def _find_classes(data: pl.LightningDataModule, model: str) -> None:
    """Let data that count their classes in ``setup`` do so before the model is built; not those with a target.

    Raises:
        ValueError: if a model wants the number of classes, and nobody says it.
    """
    if "num_classes" not in argument_names(model) or _says_what_is_learned(data):
        return
    reason = "has no `num_classes`"
    try:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # other processes of a node start when this one has the data
            data.prepare_data()
        data.setup("fit")
    except Exception as error:  # a user's code, which may want a Trainer that there is not yet
        reason = f"has no `num_classes` before its `setup`, which cannot run without a Trainer ({error!r})"
    if not _says_what_is_learned(data):
        raise ValueError(
            f"Expected the data or the command to say how many classes there are, but {type(data).__name__} {reason}. "
            "Set the attribute in its constructor or in `setup`, or pass `--model.num_classes 3`."
        )


def _says_what_is_learned(data: pl.LightningDataModule) -> bool:
    return _says(data, "num_classes") is not None or _says(data, "target") is not None


class CLI(LightningCLI):
    """One command of the Trainer's, its arguments parsed, its classes built, and run."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Checkpoint and prediction arguments; what the data tell the model."""
        parser.add_lightning_class_args(Checkpoint, "checkpoint")
        parser.add_lightning_class_args(PredictionWriter, "predictions")
        for name in LINKS:
            told = _told(self, name)
            parser.link_arguments("data", f"model.init_args.{name}", compute_fn=told, apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Give every linked argument that the model takes a value to replace: jsonargparse links to no other."""
        model = self.config[self.subcommand].model
        for name in set(LINKS) & set(argument_names(model.class_path)):
            if name not in model.init_args:
                model.init_args[name] = None

    def after_instantiate_classes(self) -> None:
        """Tell model and data how they were configured, so that checkpoints can say it."""
        for key, built in (("model", self.model), ("data", self.datamodule)):
            for recipe in self._configured(key):
                if isinstance(built, Recorded):
                    built.set_recipe(recipe)

    def _parse_ckpt_path(self) -> None:
        """Do not take arguments from a user's hyperparameters in a checkpoint, as Lightning does: recipes say them."""

    def _configured(self, key: str) -> Iterator[Recipe]:
        config = json.loads(self.parser.dump(self.config, format="json"))[self.subcommand]
        if key in config:
            yield config[key]

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


class CheckpointCLI(CLI):
    """The same for a command with ``--ckpt_path``: nothing may contradict the checkpoint."""

    recipes: ClassVar[dict[str, Recipe]] = {}
    checkpoint_path: ClassVar[str] = ""

    def instantiate_classes(self) -> None:
        """Refuse contradicting arguments before anything is built."""
        for key, kept in self.recipes.items():
            for asked in self._configured(key):
                refuse_contradictions(self.checkpoint_path, key, settable(key, kept, LINKS), asked)
        super().instantiate_classes()
