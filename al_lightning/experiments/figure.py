"""The figure of an experiment: learning curves."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_lightning.experiments.results import Result
from al_lightning.experiments.spec import Experiment
from al_lightning.experiments.table import heading


def draw(experiment: Experiment, results: Sequence[Result], path: Path) -> None:
    """Validation by epoch: mean over seeds, with the range between them."""
    metric = results[0].metric
    monitor, factor = f"val_{metric}", 100 if metric == "acc" else 1
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for color, run in zip(plt.rcParams["axes.prop_cycle"].by_key()["color"], experiment.runs):
        group = [r for r in results if r.name == run.name]
        length = min(len(r.curve) for r in group)
        epochs = [int(row["epoch"]) + 1 for row in group[0].curve[:length]]
        paths = sorted({m for r in group for m in r.curve[0] if m.startswith(f"{monitor}_path")})
        for name in [*paths[:-1], monitor]:
            values = [[factor * r.curve[i][name] for r in group] for i in range(length)]
            own = name == monitor
            label = run.name if own else f"{run.name}, path {name.removeprefix(f'{monitor}_path')}"
            style: dict[str, Any] = (
                {"lw": 2, "marker": "o", "ms": 3}
                if own
                else {"lw": 0.9, "ls": ("--", ":", "-.")[paths.index(name) % 3]}
            )
            axes.plot(epochs, [statistics.mean(v) for v in values], color=color, label=label, **style)
            if own and len(group) > 1:
                axes.fill_between(epochs, [min(v) for v in values], [max(v) for v in values], color=color, alpha=0.15)
    low, high = axes.get_ylim()
    axes.set(xlabel="epoch", ylabel=f"validation {heading(metric)}", title=experiment.title)
    axes.set_ylim(max(low, 0), min(high, 101) if metric == "acc" else high)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")  # beside the lines, not over them
    figure.savefig(path, dpi=130)
    plt.close(figure)
