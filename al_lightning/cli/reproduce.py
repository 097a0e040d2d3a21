"""``reproduce``: trains the runs of an experiment through the commands that a user would type."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from jsonargparse import ArgumentParser

from al_lightning.cli import trainer_commands
from al_lightning.data.base import BaseDataModule
from al_lightning.experiments.environment import environment, hardware
from al_lightning.experiments.measure import TestCurve, measure
from al_lightning.experiments.reproduce import config_hash, reproduce
from al_lightning.experiments.results import Result, read_curve
from al_lightning.experiments.side_by_side import Job
from al_lightning.experiments.spec import RECIPES, load_experiment, shipped_experiments


def main(args: Sequence[str]) -> list[Result]:
    """``al-lightning reproduce``.

    Args:
        args: what follows ``reproduce``.

    Returns:
        All results, in the order of the table.
    """
    parser = ArgumentParser(
        prog="al-lightning reproduce",
        description=f"Train an experiment's runs and print its table. Shipped: {', '.join(shipped_experiments())}.",
    )
    parser.add_argument("experiment", type=str, help="name of a shipped experiment, or a yaml file")
    parser.add_argument("--output", type=str | None, default=None, help="folder; results/NAME if not given")
    parser.add_argument("--seeds", type=int | list[int] | None, default=None, help="how many, or which ones")
    parser.add_argument("--only", type=str | list[str] | None, default=None,
                        help="cells (fashion_mnist/cnn_al), data sets or networks, separated by commas")  # fmt: skip
    parser.add_argument("--recipe", type=Literal["tuned", "paper", "both"], default="tuned",
                        help="whose settings to train with: ours, the paper's, or one after the other")  # fmt: skip
    parser.add_argument("--train_samples", type=int | None, default=None, help="train on a subset of so many samples")
    parser.add_argument("--arguments", type=list[str], default=[], help="further arguments of every fit")
    parser.add_argument("--processes", type=int | None, default=None,
                        help="how many runs train at once; if not given, as many as the processor has room for where "
                        "the experiment says how many threads a run has, and one on an accelerator")  # fmt: skip
    given = parser.parse_args(list(args))
    wanted = given.only.split(",") if isinstance(given.only, str) else given.only or []
    experiment = load_experiment(given.experiment)
    output = Path(given.output or f"results/{Path(given.experiment).stem}")
    recipes = RECIPES if given.recipe == "both" else (given.recipe,)
    subset = [] if given.train_samples is None else [f"--data.train_samples={given.train_samples}"]
    seeds, arguments = _seeds(given.seeds, experiment.seeds), [*subset, *given.arguments]
    only = [one.strip() for one in wanted]
    return reproduce(experiment, output, seeds, train_run, arguments, recipes, only, given.processes)


def _seeds(asked: int | list[int] | None, usual: list[int]) -> list[int]:
    """Which seeds to train with: 0, 1 and so on if a number of them is asked for.

    Raises:
        ValueError: if there is none.
    """
    seeds = usual if asked is None else list(range(asked)) if isinstance(asked, int) else asked
    if not seeds or min(seeds) < 0:
        raise ValueError(f"Expected `--seeds` to be a number above 0, or a list of seeds from 0, but got {asked}.")
    return seeds


def train_run(job: Job) -> Result:
    """Train one run by ``fit``, and ``test`` its best checkpoint.

    Args:
        job: what to train, and what to measure beside it.

    Returns:
        What the run reached and what it took.

    Raises:
        ValueError: if the command's arguments are refused; other errors of ``fit`` and ``test`` as they come.
    """
    command = job.command
    quiet = ["--trainer.default_root_dir", str(job.logs), "--trainer.enable_progress_bar", "false",
             "--trainer.enable_model_summary", "false"]  # fmt: skip
    if job.test_curve:
        quiet += ["--trainer.callbacks+", f"{TestCurve.__module__}.{TestCurve.__name__}",
                  "--trainer.callbacks.train", str(job.train_accuracy).lower()]  # fmt: skip
    with warnings.catch_warnings(), _quiet_lightning(), contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        try:
            cli = trainer_commands.run(command[0], [*command[1:], *quiet])
        except SystemExit as error:  # the parser has printed its sentence
            raise ValueError(f"Expected arguments that {command[0]} accepts; what is wrong stands above.") from error
        seconds = time.perf_counter() - started
        trainer, model, data = cli.trainer, cli.model, cli.datamodule
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        (test,) = trainer.test(model, data, ckpt_path=best, verbose=False)
        loader = data.train_evaluation_dataloader() if job.train_accuracy else ()
        train = measure(trainer, model, data, loader) if job.train_accuracy else {}
    about = {**environment(), "threads": torch.get_num_threads()}
    monitor, metric = model.monitor, model.monitor.removeprefix("val_")
    curve = read_curve(Path(str(trainer.log_dir)) / "metrics.csv", monitor)
    better = max if model.mode == "max" else min
    reached = better(curve, key=lambda row: row[monitor])
    return Result(
        name=job.name,
        seed=job.seed,
        command=" ".join(["al-lightning", *command]),
        test={k: v for k, v in test.items() if k.startswith(f"test_{metric}")},
        best_epoch=int(reached["epoch"]) + 1,
        epochs=trainer.current_epoch,
        training_parameters=model.training_parameters(),
        inference_parameters=model.inference_parameters(),
        seconds=seconds,
        curve=curve,
        metric=metric,
        recipe=job.recipe,
        readout=model.readout_name(),
        train_samples=data.train_samples if isinstance(data, BaseDataModule) else None,
        train=train,
        test_curve=_test_curve(trainer),
        config_hash=config_hash(command[2]),
        machine=hardware(),
        date=about["date"],
        environment=about,
    )


def _test_curve(trainer: pl.Trainer) -> list[dict[str, float]]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set by the Trainer
    return next((callback.rows for callback in callbacks if isinstance(callback, TestCurve)), [])


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning reports; its loggers are as before afterwards, for a notebook goes on with them."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
