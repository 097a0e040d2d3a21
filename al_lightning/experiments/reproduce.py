"""Experiments: a yaml file says which configurations make a table; this trains them and prints it.

``al-lightning reproduce NAME`` reads ``configs/experiments/NAME.yaml``, runs ``fit`` and ``test`` for each run and
seed through the command line's own classes, and writes ``results.json``, ``results.csv`` and
``learning_curves.png``. Finished runs are kept: an interrupted experiment goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser
from rich.console import Console

from al_lightning._version import __version__
from al_lightning.configs import configs_folder, find_config
from al_lightning.experiments import report


@dataclass
class Run:
    """One row group of the table.

    Args:
        name: what the table calls it.
        config: path of its configuration below ``configs/``.
        arguments: further command-line arguments of its ``fit``.
    """

    name: str
    config: str
    arguments: list[str] = field(default_factory=list)


@dataclass
class Experiment:
    """What is trained and how often.

    Args:
        title: heading of the table.
        runs: what is compared.
        seeds: each run is trained once a seed.
        note: printed below the table, such as the paper's own numbers.
    """

    title: str
    runs: list[Run]
    seeds: list[int]
    note: str = ""


@dataclass
class Result:
    """One training: its name and seed, what it reached, and what it took.

    ``test`` holds ``test_acc`` and ``test_acc_path{k}`` of the checkpoint with the best ``val_acc``;
    ``curve`` holds one dictionary of validation metrics an epoch; ``seconds`` is the wall time of ``fit``.
    """

    name: str
    seed: int
    command: str
    test: dict[str, float]
    best_epoch: int
    epochs: int
    training_parameters: int
    inference_parameters: int
    seconds: float
    curve: list[dict[str, float]]


def load_experiment(name: str) -> Experiment:
    """Read an experiment.

    Args:
        name: a shipped experiment's name, or the path of a yaml file.

    Returns:
        The experiment.

    Raises:
        ValueError: if there is none of that name, or the file has other keys than :class:`Experiment`.
    """
    shipped = configs_folder() / "experiments"
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped / f"{name}.yaml"
    if not path.is_file():
        raise ValueError(
            f"Expected an experiment, but there is no {name!r}. Shipped are: {', '.join(shipped_experiments())}; "
            "or give the path of a yaml file."
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Experiment, "experiment")
    try:
        parsed = parser.parse_object({"experiment": yaml.safe_load(path.read_text(encoding="utf-8"))})
    except Exception as error:
        raise ValueError(f"Expected {path} to hold title, runs (name, config, arguments) and seeds: {error}") from error
    experiment: Experiment = parser.instantiate(parsed).experiment
    return experiment


def shipped_experiments() -> list[str]:
    """Names of the experiments that come with the package."""
    return sorted(p.stem for p in (configs_folder() / "experiments").glob("*.yaml"))


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
    return reproduce(experiment, output, given.seeds or experiment.seeds, given.arguments)


def reproduce(
    experiment: Experiment, output: Path, seeds: Sequence[int], arguments: Sequence[str] = ()
) -> list[Result]:
    """Train what is missing, then write and print everything.

    Args:
        experiment: what to train.
        output: folder for the results; finished runs found there are kept.
        seeds: one training a run and seed.
        arguments: further command-line arguments of every ``fit``.

    Returns:
        All results, run by run, seed by seed.
    """
    console = Console()
    output.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for run in experiment.runs:
        for seed in seeds:
            command = ["fit", "--config", f"configs/{run.config}", "--seed_everything", str(seed),
                       f"--data.seed={seed}", *run.arguments, *arguments]  # fmt: skip
            kept = output / "runs" / f"{_slug(run.name)}-seed{seed}-{_key(command)}.json"
            if kept.is_file():
                results.append(Result(**json.loads(kept.read_text())))
                console.print(f"{run.name}, seed {seed}: kept from {kept}")
                continue
            with console.status(f"{run.name}, seed {seed} ..."), _quiet_lightning():
                result = _train(run.name, seed, command, output / "runs")
            kept.write_text(json.dumps(asdict(result), indent=1))
            results.append(result)
            console.print(f"{run.name}, seed {seed}: test {100 * result.test['test_acc']:.2f} % "
                          f"in {result.seconds:.1f} s")  # fmt: skip
    report.write(experiment, results, output)
    console.print(report.table(experiment, results))
    if experiment.note:
        console.print(experiment.note.strip())
    console.print(f"Written: {output}/results.json, results.csv, learning_curves.png")
    return results


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Leave Lightning's news out; its loggers are as before afterwards, for a notebook goes on."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name).strip("-").lower()


def _key(command: Sequence[str]) -> str:
    """Names what was run, the configuration's text included: an edited one is trained again."""
    text = json.dumps([__version__, *command]) + Path(find_config(command[2])).read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _train(name: str, seed: int, command: list[str], folder: Path) -> Result:
    from al_lightning.cli.main import main as run  # the command line imports this module

    quiet = ["--trainer.default_root_dir", str(folder), "--trainer.enable_progress_bar", "false",
             "--trainer.enable_model_summary", "false"]  # fmt: skip
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # `fit` says what to do next
        started = time.perf_counter()
        cli = run([*command, *quiet])
        seconds = time.perf_counter() - started
        assert cli is not None
        checkpoint = cli.trainer.checkpoint_callback
        best = getattr(checkpoint, "best_model_path", "")
        (test,) = cli.trainer.test(cli.model, cli.datamodule, ckpt_path=best, verbose=False)
    curve = _curve(Path(str(cli.trainer.log_dir)) / "metrics.csv")
    reached = max(curve, key=lambda row: row["val_acc"])
    return Result(
        name=name,
        seed=seed,
        command=" ".join(["al-lightning", *command]),
        test={k: v for k, v in test.items() if k.startswith("test_acc")},
        best_epoch=int(reached["epoch"]) + 1,
        epochs=cli.trainer.current_epoch,
        training_parameters=cli.model.training_parameters(),
        inference_parameters=cli.model.inference_parameters(),
        seconds=seconds,
        curve=curve,
    )


def _curve(path: Path) -> list[dict[str, float]]:
    """Validation metrics an epoch out of the csv logger's file."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val_acc")]
    return [{k: float(v) for k, v in row.items() if v and (k.startswith("val_") or k == "epoch")} for row in rows]
