"""The table of an experiment: mean and standard deviation over seeds, beside the paper's own numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table

from al_lightning.experiments.results import Result
from al_lightning.experiments.spec import FULL, RECIPES, TRAIN, Experiment, Run

#: Headings of the ways to read a path out, by what they are called in metrics.
WAYS = {"path": "decoder", "codes": "codes", "mean": "mean"}


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


class Row(NamedTuple):
    """One line of a table, as text.

    Attributes:
        cells: what it says of a path, from the column's heading to its text; every row has the same headings.
        about: what it says of the run, the same way; empty texts but for a run's last line.
    """

    cells: dict[str, str]
    about: dict[str, str]

    @property
    def ends(self) -> bool:
        """Whether it is the last of its run."""
        return any(self.about.values())


def rows(experiment: Experiment, results: Sequence[Result]) -> list[Row]:
    """A line for each inference path of each run; accuracies in %, other metrics as they are.

    A path has a column for each of its read-outs; a star marks the one that the configuration chose. What the paper's
    own recipe reached is read out as in the paper, by the decoder.
    """
    lines: list[Row] = []
    ways = [way for way in WAYS if any(_numbers(r, way) for r in results if r.recipe == "tuned")]
    for run in experiment.runs:
        group = [r for r in results if r.name == run.name]
        tuned, theirs = ([r for r in group if r.recipe == recipe] for recipe in RECIPES)
        if not group:
            continue
        paths = _numbers(group[0], "path") or [""]
        for position, number in enumerate(paths):
            last = position == len(paths) - 1
            paper = run.paper.get(FULL if last else number, run.paper.get(number, []))
            cells = {"run": _name(run.name, group) if position == 0 else "",
                     "path": "-" if len(paths) == 1 else f"{number} (full)" if last else number}  # fmt: skip
            if any(run.paper for run in experiment.runs):
                cells["paper"] = " ± ".join(f"{value:.2f}" for value in paper)
            if any("paper" in run.recipes for run in experiment.runs):
                cells["paper's\nrecipe"] = _reached(theirs, "path", number)
            for way in ways or ["path"]:
                cells[WAYS[way] if ways else _heading(results)] = _reached(tuned, way, number)
            group = tuned or theirs
            if experiment.layer_losses:
                layer = f"val_layer{number}_associated"
                losses = [r.best_row()[layer] for r in group if layer in r.best_row()]
                cells["associated\nloss"] = f"{statistics.mean(losses):.2e}" if losses else ""
            lines.append(Row(cells, _about(experiment, run, group, last)))
    return lines


def _about(experiment: Experiment, run: Run, group: Sequence[Result], last: bool) -> dict[str, str]:
    """Columns that say something of a run as a whole, on its last line."""
    cells: dict[str, str] = {}
    if any(TRAIN in one.paper for one in experiment.runs):
        cells["paper,\ntrain"] = " ± ".join(f"{value:.2f}" for value in run.paper.get(TRAIN, []))
    if experiment.train_accuracy:
        measured = [r.train[r.metric] for r in group if r.train]  # a run that was kept may be from before
        cells["train"] = mean_sd(measured, _digits(group), _factor(group)) if measured else ""
    if any(one.paper_epochs for one in experiment.runs):
        cells["paper,\nbest epoch"] = " ± ".join(f"{value:.1f}" for value in run.paper_epochs)
    cells["best epoch"] = mean_sd([r.best_epoch for r in group], 1)
    cells["params\nM"] = f"{group[0].training_parameters / 1e6:.3f}"
    cells["infer.\nM"] = f"{group[0].inference_parameters / 1e6:.3f}"
    cells["sec."] = f"{statistics.mean(r.seconds for r in group):.1f}"
    return cells if last else dict.fromkeys(cells, "")


def _numbers(result: Result, way: str) -> list[str]:
    """Numbers of the paths that a result has read out in a way."""
    start = f"test_{result.metric}_{way}"
    return sorted((name.removeprefix(start) for name in result.test if name.startswith(start)), key=int)


def _reached(group: Sequence[Result], way: str, number: str) -> str:
    name = f"{way}{number}"
    metric = f"test_{group[0].metric}{f'_{name}' if number else ''}" if group else ""
    if not group or (number and metric not in group[0].test) or (not number and way != "path"):
        return ""
    star = "*" if number and (group[0].recipe, group[0].readout) == ("tuned", name) else ""
    return mean_sd([r.test[metric] for r in group], _digits(group), _factor(group)) + star


def _name(name: str, group: Sequence[Result]) -> str:
    """Name of a run; of one that saw a part of the data, with the number of samples."""
    sizes = {r.train_samples for r in group if r.train_samples is not None}
    return name if not sizes else f"{name}\n{', '.join(f'{size:,}' for size in sorted(sizes))} samples"


def _factor(group: Sequence[Result]) -> int:
    return 100 if group and group[0].metric == "acc" else 1


def _digits(group: Sequence[Result]) -> int:
    """Digits behind the point: an R2 is a part of one, an accuracy is in %."""
    return 2 if group and group[0].metric == "acc" else 4


def _heading(results: Sequence[Result]) -> str:
    return "test acc. %" if results[0].metric == "acc" else f"test {results[0].metric}"


def title(experiment: Experiment, results: Sequence[Result]) -> str:
    """What stands over the table."""
    seeds = len({r.seed for r in results})
    what = _heading(results).replace("acc.", "accuracy,")
    return f"{experiment.title}\n{what}: mean ± standard deviation over {seeds} seeds"


def tables(experiment: Experiment, results: Sequence[Result], lines: Sequence[Row]) -> list[Table]:
    """The lines as two tables for a terminal: what paths reach, and what runs take."""
    reached = _empty(title(experiment, results), lines[0].cells)
    taken = _empty("", ["run", *lines[0].about])
    name = ""
    for line in lines:
        name = line.cells["run"] or name
        reached.add_row(*line.cells.values(), end_section=line.ends)
        if line.ends:
            taken.add_row(name.split("\n")[0], *line.about.values())
    return [reached, taken]


def _empty(heading: str, columns: Iterable[str]) -> Table:
    rendered = Table(title=heading, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in columns:
        fixed = column in ("run", "path")
        rendered.add_column(column, justify="left" if fixed else "right", overflow="fold")
    return rendered


def markdown(experiment: Experiment, results: Sequence[Result], lines: Sequence[Row]) -> str:
    """The lines as a table in Markdown, with everything that is said below it."""

    def row(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.replace(chr(10), ', ') for cell in cells)} |"

    columns = [*lines[0].cells, *lines[0].about]
    heading = title(experiment, results).split("\n")
    said = [row(column.replace("\n", " ") for column in columns), row("---" for _ in columns)]
    said += [row([*line.cells.values(), *line.about.values()]) for line in lines]
    below = [line for remark in remarks(experiment, results) for line in ("", remark)]
    return "\n".join([f"# {heading[0]}", "", heading[1], "", *said, *below]) + "\n"


def remarks(experiment: Experiment, results: Sequence[Result]) -> list[str]:
    """What is said below the table: read-outs, hardware, parts of data sets, and the experiment's own note."""
    said: list[str] = []
    if any(_numbers(r, "codes") for r in results):
        said.append("decoder, codes, mean: how a path is read out; * chosen by the configuration.")
    said += [f"Hardware: {machine}" for machine in dict.fromkeys(r.machine for r in results if r.machine)]
    said += [f"Data: {experiment.data}."] if experiment.data else []
    return [*said, *([experiment.note.strip()] if experiment.note else [])]
