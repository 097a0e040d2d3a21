"""What an experiment shows of its results: a table, learning curves, and files that say where numbers come from."""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from al_lightning._version import __version__

if TYPE_CHECKING:
    from al_lightning.experiments.reproduce import Experiment, Result


def _mean_sd(values: Sequence[float], digits: int = 2, factor: float = 100) -> str:
    scaled = [factor * value for value in values]
    sd = f" ± {statistics.stdev(scaled):.{digits}f}" if len(scaled) > 1 else ""
    return f"{statistics.mean(scaled):.{digits}f}{sd}"


def _path_label(metric: str, paths: int) -> str:
    if metric == "test_acc":
        return "-"
    k = int(metric.removeprefix("test_acc_path"))
    return f"{k} (full)" if k == paths else str(k)


def table(experiment: Experiment, results: list[Result]) -> Table:
    """Mean and standard deviation over seeds: a line for each inference path of each run."""
    seeds = len({r.seed for r in results})
    rendered = Table(title=f"{experiment.title}\nmean ± standard deviation over {seeds} seeds", padding=(0, 0, 0, 1))
    for column in ("run", "path", "test acc. %", "best epoch", "params M", "infer. M", "sec."):
        rendered.add_column(column, justify="left" if column in ("run", "path") else "right", no_wrap=True)
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
            rendered.add_row(
                run.name if position == 0 else "", _path_label(metric, len(paths)), accuracy, *cells, end_section=last
            )
    return rendered


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


def write(experiment: Experiment, results: list[Result], output: Path) -> None:
    """Write ``results.json``, ``results.csv`` and ``learning_curves.png`` into the folder ``output``."""
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
