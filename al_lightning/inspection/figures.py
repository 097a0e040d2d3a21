"""Pictures of an inspection: what each layer does, and what early exits give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from al_lightning.inspection.layers import LayerRow


class Point(NamedTuple):
    """A way to answer held-out samples.

    Attributes:
        name: such as ``path 2`` or ``exits``.
        accuracy: share of right answers.
        throughput: samples a second.
        exits: whether samples leave early.
        chosen: whether these thresholds were taken.
        beside: whether another network answers.
    """

    name: str
    accuracy: float
    throughput: float
    exits: bool
    chosen: bool = False
    beside: bool = False


def draw_layers(rows: Sequence[LayerRow], title: str, path: Path) -> None:
    """Losses, accuracy of the paths, their costs, and the spread of the classes' codes, layer by layer.

    Args:
        rows: of all layers.
        title: above the picture.
        path: png file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(title)
    (losses, metrics), (costs, codes) = figure.subplots(2, 2)
    numbers = [row.number for row in rows]
    for name in ("associated", "reconstruction"):
        values = [(row.number, value) for row in rows if (value := vars(row)[name]) is not None]
        if values:
            losses.semilogy(*zip(*values), marker="o", label=name)
    losses.set(title="Loss on held-out data", xlabel="layer")
    ways = dict.fromkeys(name.rstrip("0123456789") for row in rows for name in row.metrics)
    for way in ways:
        label = {"path": "decoder"}.get(way, way)
        metrics.plot(numbers, [row.metrics[f"{way}{row.number}"] for row in rows], marker="o", label=label)
    metrics.set(title="Metric of each path on held-out data, by read-out", xlabel="path")
    last = rows[-1]
    costs.plot(
        numbers, [row.multiplications / last.multiplications for row in rows], marker="o", label="multiplications"
    )
    costs.plot(numbers, [row.milliseconds / last.milliseconds for row in rows], marker="o", label="time")
    costs.set(title="Cost of each path, over that of the last", xlabel="path", ylim=(0, None))
    spread = [(row.number, row.codes) for row in rows if row.codes is not None]
    if spread:
        for name in ("spread", "cosine", "simplex"):
            codes.plot([n for n, _ in spread], [getattr(one, name) for _, one in spread], marker="o", label=name)
    codes.set(title="Codes of the classes", xlabel="layer")
    for axes in (losses, metrics, costs, codes):
        axes.set_xticks(numbers)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(path, dpi=120)


def draw_exits(points: Sequence[Point], title: str, path: Path) -> None:
    """Accuracy against samples a second: of fixed paths, of early exits from careful to bold, and of other networks.

    Args:
        points: all ways to answer.
        title: above the picture.
        path: png file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes: Any = figure.subplots()
    groups: dict[str, tuple[list[Point], dict[str, Any]]] = {
        "fixed paths": ([p for p in points if not p.exits and not p.beside], {"marker": "s", "linestyle": ""}),
        "early exits": ([p for p in points if p.exits and not p.chosen], {"marker": "o", "linestyle": "-"}),
        "other networks": ([p for p in points if p.beside], {"marker": "D", "linestyle": ""}),
        "chosen thresholds": ([p for p in points if p.chosen], {"marker": "*", "markersize": 16, "linestyle": ""}),
    }
    for label, (own, style) in groups.items():
        if not own:
            continue
        drawn = sorted((p.throughput, 100 * p.accuracy) for p in own)
        axes.plot([rate for rate, _ in drawn], [accuracy for _, accuracy in drawn], label=label, **style)
    for point in (p for p in points if not p.exits):
        where = (point.throughput, 100 * point.accuracy)
        axes.annotate(point.name, where, (0, 8), textcoords="offset points", ha="center")
    axes.margins(0.08)
    axes.set(title=title, xscale="log", xlabel="samples a second", ylabel="accuracy on held-out data, %")
    axes.legend()
    figure.savefig(path, dpi=120)
