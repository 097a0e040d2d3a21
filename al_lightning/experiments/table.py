"""The table of an experiment: mean and standard deviation over seeds, beside the paper's own numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich import box
from rich.table import Table

from al_lightning.experiments.results import Result
from al_lightning.experiments.spec import FULL, Experiment


def heading(metric: str) -> str:
    """What a column or an axis calls a metric."""
    return "accuracy, %" if metric == "acc" else metric


def mean_sd(values: Sequence[float], digits: int = 2, factor: float = 1) -> str:
    """Mean and, of several values, standard deviation.

    Example:
        >>> mean_sd([0.9, 0.92], factor=100), mean_sd([0.9], factor=100)
        ('91.00 ± 1.41', '90.00')
    """
    scaled = [factor * value for value in values]
    sd = f" ± {statistics.stdev(scaled):.{digits}f}" if len(scaled) > 1 else ""
    return f"{statistics.mean(scaled):.{digits}f}{sd}"


def table(experiment: Experiment, results: Sequence[Result]) -> Table:
    """A line for each inference path of each run; accuracies in %, other metrics as they are."""
    seeds = len({r.seed for r in results})
    metric = results[0].metric
    factor = 100 if metric == "acc" else 1
    title = f"{experiment.title}\nmean ± standard deviation over {seeds} seeds"
    rendered = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False)  # within 80 columns
    paper = any(run.paper for run in experiment.runs)
    columns = ["run", "path", "test acc. %" if metric == "acc" else f"test {metric}", *(["paper"] if paper else []),
               "best\nepoch", "params\nM", "infer.\nM", "sec."]  # fmt: skip
    for column in columns:
        rendered.add_column(column, justify="left" if column in ("run", "path") else "right", no_wrap=True)
    for run in experiment.runs:
        group = [r for r in results if r.name == run.name]
        paths = [m for m in group[0].test if m.startswith(f"test_{metric}_path")] or [f"test_{metric}"]
        for position, name in enumerate(paths):
            last = position == len(paths) - 1
            number = name.removeprefix(f"test_{metric}_path")
            label = "-" if len(paths) == 1 else f"{number} (full)" if last else number
            theirs = run.paper.get(FULL if last else number, run.paper.get(number, []))
            about = [
                mean_sd([r.best_epoch for r in group], 1),
                f"{group[0].training_parameters / 1e6:.3f}",
                f"{group[0].inference_parameters / 1e6:.3f}",
                f"{statistics.mean(r.seconds for r in group):.1f}",
            ]
            cells = [
                run.name if position == 0 else "",
                label,
                mean_sd([r.test[name] for r in group], factor=factor),
                *([" ± ".join(f"{value:.2f}" for value in theirs)] if paper else []),
                *(about if last else [""] * 4),
            ]
            rendered.add_row(*cells, end_section=last)
    return rendered
