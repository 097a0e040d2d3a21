"""Trains the trials of a search and judges them by validation data alone.

    python benchmarks/search.py benchmarks/search/cnn.yaml --output benchmarks/results/search-cnn.json --processes 2

A search is an experiment's yaml file: trials in place of runs, each a configuration and further arguments of ``fit``.
Test data are never read. Every trial runs for as long as its arguments say, and its metrics are those of its last
validation: no epoch is chosen. Finished trials are kept, each with the machine that it ran on: start again to go on.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from rich.console import Console
from rich.table import Table

from al_lightning.cli import trainer_commands
from al_lightning.experiments.environment import environment
from al_lightning.experiments.results import read_curve
from al_lightning.experiments.side_by_side import Job, cores, train_side_by_side
from al_lightning.experiments.spec import Experiment, Run, load_experiment


def arguments_of(run: Run, seed: int) -> list[str]:
    """Arguments of the ``fit`` that a trial is, with one seed."""
    return ["--config", f"configs/{run.config}", "--seed_everything", str(seed), f"--data.seed={seed}", *run.arguments]


def train(command: list[str]) -> tuple[dict[str, Any], LightningModule]:
    """Run one ``fit``.

    Args:
        command: its arguments.

    Returns:
        ``val``, the metrics of the last validation; ``train``, mean losses of the last epoch; seconds; and how many
        parameters it trained. Beside them the trained module.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        quiet = ["--trainer.default_root_dir", folder, "--trainer.enable_progress_bar", "false",
                 "--trainer.enable_model_summary", "false"]  # fmt: skip
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            cli = trainer_commands.run("fit", [*command, *quiet])
        seconds = time.perf_counter() - started
        curve = read_curve(Path(str(cli.trainer.log_dir)) / "metrics.csv", cli.model.monitor)
        last = {name: float(value) for name, value in cli.trainer.callback_metrics.items()}
    measured = {
        "train": {n: v for n, v in last.items() if n.startswith("train_") and not n.endswith("_step")},
        "val": {name: value for name, value in curve[-1].items() if name != "epoch"},
        "seconds": round(seconds, 1),
        "training_parameters": cli.model.training_parameters(),
    }
    return measured, cli.model


def trial(job: Job) -> dict[str, Any]:
    """Train one trial: what :func:`train` measures, and where; for processes of their own too."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    measured, _ = train(job.command)
    return {**measured, "environment": {**environment(), "threads": torch.get_num_threads()}}


def train_all(jobs: Sequence[Job], processes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Train trials, so many at once, or one after the other in this process if 0.

    Yields:
        Number of the trial and what it gave, as they come.
    """
    if processes:
        yield from train_side_by_side(trial, jobs, max(1, cores() // processes), processes)
        return
    for number, job in enumerate(jobs):
        yield number, trial(job)


def words(job: Job) -> str:
    """The command that a trial is, as it is kept."""
    return " ".join(["al-lightning fit", *job.command])


def write(search: Experiment, trials: list[dict[str, Any]], command: str, output: Path) -> None:
    """Write the result file.

    Args:
        search: what was asked for.
        trials: what was measured so far.
        command: that makes it, but for ``--output``.
        output: the file.
    """
    document = {
        "title": search.title,
        "command": f"{command} --output {output}",
        "note": search.note,
        "trials": trials,
    }
    output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def table(search: Experiment, trials: list[dict[str, Any]]) -> Table:
    """A line for each trial, the best read-out of each in front; means over seeds."""
    rendered = Table(title=search.title)
    for name in ("trial", "seeds", "full path", "best", "of", "all", "seconds"):
        rendered.add_column(name, justify="left" if name in ("trial", "of", "all") else "right")
    for run in search.runs:
        group = [trial for trial in trials if trial["name"] == run.name]
        if not group:
            continue
        names = [n for n in group[0]["val"] if n.startswith("val_acc_")] or ["val_acc"]
        means = {n: 100 * statistics.mean(trial["val"][n] for trial in group) for n in ["val_acc", *names]}
        best = max(names, key=lambda n: means[n])
        rendered.add_row(
            run.name,
            str(len(group)),
            f"{means['val_acc']:.2f}",
            f"{means[best]:.2f}",
            best.removeprefix("val_acc_"),
            " ".join(f"{n.removeprefix('val_acc_')}:{means[n]:.2f}" for n in names if n != "val_acc"),
            f"{statistics.mean(trial['seconds'] for trial in group):.0f}",
        )
    return rendered


def main() -> None:
    """Train what is missing, write after each trial, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", help="a yaml file of trials")
    parser.add_argument("--output", type=Path, required=True, help="the result file")
    parser.add_argument("--processes", type=int, default=0, help="how many trials at once; one, in this process, if 0")
    parser.add_argument("--arguments", nargs=argparse.REMAINDER, default=[], help="last: more arguments of every fit")
    given = parser.parse_args()
    if given.processes < 0:
        parser.error(f"Expected --processes to be at least 0, but got {given.processes}.")
    search, console = load_experiment(given.search), Console(width=200)
    before = json.loads(given.output.read_text())["trials"] if given.output.is_file() else []
    kept = {trial["command"]: trial for trial in before}
    jobs = [
        Job(run.name, seed, "tuned", [*arguments_of(run, seed), *given.arguments], given.output)
        for seed in search.seeds
        for run in search.runs
    ]
    missing = list({words(job): job for job in jobs if words(job) not in kept}.values())

    def save() -> list[dict[str, Any]]:
        trials = [{**kept[words(job)], "name": job.name} for job in jobs if words(job) in kept]
        write(search, trials, f"python benchmarks/search.py {given.search}", given.output)
        return trials

    save()
    for number, measured in train_all(missing, given.processes):
        job = missing[number]
        kept[words(job)] = {"name": job.name, "seed": job.seed, "command": words(job), **measured}
        console.print(json.dumps(measured["val"]), job.name, measured["seconds"])
        save()
    console.print(table(search, save()))


if __name__ == "__main__":
    main()
