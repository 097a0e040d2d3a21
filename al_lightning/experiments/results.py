"""What one run reached, and the files in which results are kept."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from al_lightning.experiments.spec import Experiment, Recipe


@dataclass
class Result:
    """One training: its name and seed, what it reached, and what it took.

    ``metric`` is what the run's target is judged by (``acc`` for classes); ``test`` holds ``test_{metric}`` of the
    checkpoint with the best ``val_{metric}``, and ``test_{metric}_{readout}`` of every read-out, of which ``readout``
    is the one that the configuration chose; ``curve`` holds one dictionary of validation metrics per epoch,
    ``test_curve`` the same of test metrics; ``train`` holds metrics on the whole training split; ``seconds`` is the
    wall time of ``fit``; ``train_samples`` the size of the subset that it was trained on, None for the whole set;
    ``config_hash`` names what the configuration said; ``environment`` holds versions, hardware and date of the run
    itself, for runs of one experiment may come from several machines.
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
    recipe: Recipe = "tuned"
    readout: str = ""
    train_samples: int | None = None
    train: dict[str, float] = field(default_factory=dict)
    test_curve: list[dict[str, float]] = field(default_factory=list)
    config_hash: str = ""
    machine: str = ""
    date: str = ""
    environment: dict[str, Any] = field(default_factory=dict)

    def best_row(self) -> dict[str, float]:
        """Validation metrics of the best epoch."""
        return next(row for row in self.curve if int(row["epoch"]) + 1 == self.best_epoch)


def keep(result: Result, path: Path) -> None:
    """Write one result, so that the file is whole or not there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_text(json.dumps(asdict(result), indent=1))
    os.replace(partial, path)


def read_kept(path: Path) -> Result | None:
    """A result that was kept; None if there is none.

    Raises:
        ValueError: if the file holds none, or one of another version of this package.
    """
    if not path.is_file():
        return None
    try:
        return Result(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"Expected {path} to hold a finished run, as this version writes it, but: {error}. Move the file away to "
            "train the run again, or give another `--output`."
        ) from error


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
        **({"data": experiment.data} if experiment.data else {}),
        "paper": {run.name: run.paper for run in experiment.runs if run.paper},
        "results": [asdict(result) for result in results],
    }
    (output / "results.json").write_text(json.dumps(document, indent=1))
    columns = ("name", "recipe", "train_samples", "seed", "best_epoch", "epochs", "training_parameters",
               "inference_parameters", "seconds", "machine", "date")  # fmt: skip
    with open(output / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["run", *columns[1:4], "metric", "value", *columns[4:]])
        for r in results:
            about = [asdict(r)[column] for column in columns]
            train = {f"train_{name}": value for name, value in r.train.items()}
            for metric, value in {**r.test, **train}.items():
                writer.writerow([*about[:4], metric, value, *about[4:]])
