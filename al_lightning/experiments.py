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
import os
import platform
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from al_lightning._version import __version__
from al_lightning.configs import configs_folder, find_config


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
    _write(experiment, results, output)
    console.print(_table(experiment, results))
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
    from al_lightning.cli import main as run  # the command line imports this module

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


# ---------------------------------------------------------------------- what is written


def _mean_sd(values: Sequence[float], digits: int = 2, factor: float = 100) -> str:
    scaled = [factor * value for value in values]
    sd = f" ± {statistics.stdev(scaled):.{digits}f}" if len(scaled) > 1 else ""
    return f"{statistics.mean(scaled):.{digits}f}{sd}"


def _path_label(metric: str, paths: int) -> str:
    if metric == "test_acc":
        return "-"
    k = int(metric.removeprefix("test_acc_path"))
    return f"{k} (full)" if k == paths else str(k)


def _table(experiment: Experiment, results: list[Result]) -> Table:
    seeds = len({r.seed for r in results})
    table = Table(title=f"{experiment.title}\nmean ± standard deviation over {seeds} seeds", padding=(0, 0, 0, 1))
    for column in ("run", "path", "test acc. %", "best epoch", "params M", "infer. M", "sec."):
        table.add_column(column, justify="left" if column in ("run", "path") else "right", no_wrap=True)
    for run in experiment.runs:
        group = [r for r in results if r.name == run.name]
        paths = [m for m in group[0].test if m.startswith("test_acc_path")] or ["test_acc"]
        for position, metric in enumerate(paths):
            last = position == len(paths) - 1
            accuracy = _mean_sd([r.test[metric] for r in group])
            about = [
                _mean_sd([r.best_epoch for r in group], 1, 1),
                f"{group[0].training_parameters / 1e6:.3f}",
                f"{group[0].inference_parameters / 1e6:.3f}",
                f"{statistics.mean(r.seconds for r in group):.1f}",
            ]
            cells = about if last else [""] * 4
            table.add_row(
                run.name if position == 0 else "", _path_label(metric, len(paths)), accuracy, *cells, end_section=last
            )
    return table


def environment() -> dict[str, Any]:
    """Versions, hardware and date that go with every number."""
    import lightning
    import torch

    return {
        "al_lightning": __version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.is_file() else []  # fmt: skip
    return names[0] if names else platform.processor()


def _write(experiment: Experiment, results: list[Result], output: Path) -> None:
    document = {
        "title": experiment.title,
        "note": experiment.note,
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
    _plot(experiment, results, output / "learning_curves.png")


def _plot(experiment: Experiment, results: list[Result], path: Path) -> None:
    """Validation accuracy by epoch: mean over seeds, with the range between them."""
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for color, run in zip(plt.rcParams["axes.prop_cycle"].by_key()["color"], experiment.runs):
        group = [r for r in results if r.name == run.name]
        length = min(len(r.curve) for r in group)
        epochs = [int(row["epoch"]) + 1 for row in group[0].curve[:length]]
        paths = sorted({m for r in group for m in r.curve[0] if m.startswith("val_acc_path")})
        for metric in [*paths[:-1], "val_acc"]:
            values = [[100 * r.curve[i][metric] for r in group] for i in range(length)]
            own = metric == "val_acc"
            label = run.name if own else f"{run.name}, path {metric.removeprefix('val_acc_path')}"
            style: dict[str, Any] = (
                {"lw": 2, "marker": "o", "ms": 3}
                if own
                else {"lw": 0.9, "ls": ("--", ":", "-.")[paths.index(metric) % 3]}
            )
            axes.plot(epochs, [statistics.mean(v) for v in values], color=color, label=label, **style)
            if own and len(group) > 1:
                axes.fill_between(epochs, [min(v) for v in values], [max(v) for v in values], color=color, alpha=0.15)
    low, high = axes.get_ylim()
    axes.set(xlabel="epoch", ylabel="validation accuracy, %", title=experiment.title)
    axes.set_ylim(max(low, 0), min(high, 101))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")  # beside the lines, not over them
    figure.savefig(path, dpi=130)
    plt.close(figure)
