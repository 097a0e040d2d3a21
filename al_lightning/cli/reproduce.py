"""``reproduce``: trains the runs of an experiment through the commands that a user would type."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from al_lightning.cli import trainer_commands
from al_lightning.experiments.reproduce import reproduce
from al_lightning.experiments.results import Result, read_curve
from al_lightning.experiments.spec import load_experiment, shipped_experiments


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
    parser.add_argument("--seeds", type=list[int] | None, default=None, help="in place of the experiment's")
    parser.add_argument("--arguments", type=list[str], default=[], help="further arguments of every fit")
    given = parser.parse_args(list(args))
    experiment = load_experiment(given.experiment)
    output = Path(given.output or f"results/{Path(given.experiment).stem}")
    return reproduce(experiment, output, given.seeds or experiment.seeds, train_run, given.arguments)


def train_run(name: str, seed: int, command: list[str], folder: Path) -> Result:
    """Train one run by ``fit``, and ``test`` its best checkpoint.

    Args:
        name: of the run.
        seed: of the run; stands in the command too.
        command: ``fit`` and its arguments.
        folder: where logs and checkpoints go.

    Returns:
        What the run reached and what it took.

    Raises:
        ValueError: if the command's arguments are refused; other errors of ``fit`` and ``test`` as they come.
    """
    quiet = ["--trainer.default_root_dir", str(folder), "--trainer.enable_progress_bar", "false",
             "--trainer.enable_model_summary", "false"]  # fmt: skip
    with warnings.catch_warnings(), _quiet_lightning(), contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        try:
            cli = trainer_commands.run(command[0], [*command[1:], *quiet])
        except SystemExit as error:  # the parser has printed its sentence
            raise ValueError(f"Expected arguments that {command[0]} accepts; what is wrong stands above.") from error
        seconds = time.perf_counter() - started
        best = getattr(cli.trainer.checkpoint_callback, "best_model_path", "")
        (test,) = cli.trainer.test(cli.model, cli.datamodule, ckpt_path=best, verbose=False)
    monitor, metric = cli.model.monitor, cli.model.monitor.removeprefix("val_")
    curve = read_curve(Path(str(cli.trainer.log_dir)) / "metrics.csv", monitor)
    better = max if cli.model.mode == "max" else min
    reached = better(curve, key=lambda row: row[monitor])
    return Result(
        name=name,
        seed=seed,
        command=" ".join(["al-lightning", *command]),
        test={k: v for k, v in test.items() if k.startswith(f"test_{metric}")},
        best_epoch=int(reached["epoch"]) + 1,
        epochs=cli.trainer.current_epoch,
        training_parameters=cli.model.training_parameters(),
        inference_parameters=cli.model.inference_parameters(),
        seconds=seconds,
        curve=curve,
        metric=metric,
    )


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
