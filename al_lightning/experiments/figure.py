"""The figure of an experiment: learning curves."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_lightning.experiments.results import Result
from al_lightning.experiments.spec import RECIPES, Experiment
from al_lightning.experiments.table import heading

#: How the paths below a run's own read-out are drawn, one after the other.
STYLES = ("--", ":", "-.")
#: Characters in a line of the title of a figure with one panel: more would run into the legend.
TITLE_WIDTH = 60


def draw(experiment: Experiment, results: Sequence[Result], path: Path) -> None:
    """Validation by epoch, or test where the experiment measures it: mean over seeds, with the range between them.

    Where it measures the training split by epoch too, that is a second panel.
    """
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot as plt

    splits = [("test", "test")] if experiment.test_curve else [("val", "validation")]
    splits += [("train", "training")] if experiment.test_curve and experiment.train_accuracy else []
    figure, panels = plt.subplots(1, len(splits), figsize=(9 if len(splits) == 1 else 14, 4.5), layout="constrained",
                                  squeeze=False)  # fmt: skip
    for axes, (split, name) in zip(panels[0], splits):
        _draw_split(axes, experiment, results, split, name)
    title = textwrap.fill(experiment.title, TITLE_WIDTH if len(splits) == 1 else 2 * TITLE_WIDTH)
    figure.suptitle(title, x=0.01, ha="left")  # the legend stands on the right
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize="small", loc="outside right upper")  # beside the lines, not over them
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_split(axes: Any, experiment: Experiment, results: Sequence[Result], split: str, name: str) -> None:
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    metric = results[0].metric
    own, factor = f"{split}_{metric}", 100 if metric == "acc" else 1
    groups = {
        f"{run.name}{', paper recipe' if recipe == 'paper' else ''}": [
            r for r in results if (r.name, r.recipe) == (run.name, recipe)
        ]
        for run in experiment.runs
        for recipe in RECIPES
    }
    drawn = sum(1 for group in groups.values() if group)
    colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    if drawn > len(colors):
        colors = [plt.get_cmap("tab20")(number) for number in range(20)]
    for number, (label, group) in enumerate((label, group) for label, group in groups.items() if group):
        curves = [r.test_curve if experiment.test_curve else r.curve for r in group]
        length = min(map(len, curves))
        if length == 0:
            continue
        epochs = [int(row["epoch"]) + 1 for row in curves[0][:length]]
        chosen = group[0].readout.rstrip("0123456789")  # the way in which the configuration reads paths out
        paths = sorted(m for m in curves[0][0] if m.startswith(f"{own}_{chosen}")) if chosen != "head" else []
        for metric_name in [*paths[:-1], own]:
            values = [[factor * curve[i][metric_name] for curve in curves] for i in range(length)]
            full = metric_name == own
            style: dict[str, Any] = (
                {"lw": 2, "marker": "o", "ms": 3}
                if full
                else {"lw": 0.9, "ls": STYLES[paths.index(metric_name) % len(STYLES)]}
            )
            said = label if full else f"{label}, path {metric_name.removeprefix(f'{own}_{chosen}')}"
            color = colors[number % len(colors)]
            axes.plot(epochs, [statistics.mean(v) for v in values], color=color, label=said, **style)
            if full and len(group) > 1:
                axes.fill_between(epochs, [min(v) for v in values], [max(v) for v in values], color=color, alpha=0.15)
    low, high = axes.get_ylim()
    axes.set(xlabel="epoch", ylabel=f"{name} {heading(metric)}")
    if metric == "acc":  # others, such as R2, may be below 0
        axes.set_ylim(max(low, 0), min(high, 101))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
