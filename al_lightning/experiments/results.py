"""What one run reached, and the files in which results are kept."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from al_lightning.experiments.environment import environment
from al_lightning.experiments.spec import Experiment


@dataclass
class Result:
    """One training: its name and seed, what it reached, and what it took.

    ``metric`` is what the run's target is judged by (``acc`` for classes); ``test`` holds ``test_{metric}`` and
    ``test_{metric}_path{k}`` of the checkpoint with the best ``val_{metric}``; ``curve`` holds one dictionary of
    validation metrics per epoch; ``seconds`` is the wall time of ``fit``.
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
    metric: str = "acc"


def keep(result: Result, path: Path) -> None:
    """Write one result, so that the file is whole or not there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_text(json.dumps(asdict(result), indent=1))
    os.replace(partial, path)


def read_kept(path: Path) -> Result | None:
    """A result that was kept; None if there is none."""
    return Result(**json.loads(path.read_text())) if path.is_file() else None


def read_curve(path: Path, monitor: str) -> list[dict[str, float]]:
    """Validation metrics per epoch out of the csv logger's file, from the rows that have the monitored one."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get(monitor)]
    return [{k: float(v) for k, v in row.items() if v and (k.startswith("val_") or k == "epoch")} for row in rows]


def write(experiment: Experiment, results: Sequence[Result], output: Path) -> None:
    """Write ``results.json`` and ``results.csv`` into the folder ``output``."""
    document = {
        "title": experiment.title,
        "note": experiment.note,
        "paper": {run.name: run.paper for run in experiment.runs if run.paper},
        "environment": environment(),
        "results": [asdict(result) for result in results],
    }
    (output / "results.json").write_text(json.dumps(document, indent=1))
    with open(output / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "seed", "metric", "value", "best_epoch", "epochs", "training_parameters",
                         "inference_parameters", "seconds"])  # fmt: skip
        for r in results:
            for metric, value in r.test.items():
                writer.writerow([r.name, r.seed, metric, value, r.best_epoch, r.epochs, r.training_parameters,
                                 r.inference_parameters, round(r.seconds, 2)])  # fmt: skip
