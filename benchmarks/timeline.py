"""A picture of a pipeline at work: which process works on which batch when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: Colours of batches, in turn; neighbours differ.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


def draw(lanes: Sequence[Sequence[tuple[float, float]]], first: int, title: str, path: Path) -> None:
    """Draw a lane for each process and a bar for each batch.

    Args:
        lanes: for each process start and end of its batches; seconds.
        first: number of the first batch of each.
        title: above the picture.
        path: png file.
    """
    from matplotlib.figure import Figure

    origin = min(start for lane in lanes for start, _ in lane)
    end = min(lane[-1][1] for lane in lanes)  # until then every lane is whole
    figure = Figure(figsize=(11, 1.1 + 0.6 * len(lanes)), layout="constrained")
    axes = figure.subplots()
    for row, lane in enumerate(lanes):
        for number, (start, stop) in enumerate(lane, first):
            axes.barh(
                row, 1000 * (stop - start), left=1000 * (start - origin), height=0.7, edgecolor="white",
                color=COLOURS[number % len(COLOURS)],
            )  # fmt: skip
            if start < end:
                middle = 1000 * (start + stop - 2 * origin) / 2
                axes.text(middle, row, str(number), ha="center", va="center", color="white", fontsize=9)
    axes.set_xlim(0, 1000 * (end - origin))
    axes.set_yticks(range(len(lanes)), [f"stage {row + 1}" for row in range(len(lanes))])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds (numbers: batches)")
    axes.set_title(title)
    figure.savefig(path, dpi=120)
