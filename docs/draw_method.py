"""Draws the picture of the method: ``python docs/draw_method.py`` writes ``docs/pictures/method.svg``."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PICTURE = Path(__file__).parent / "pictures" / "method.svg"
AL, BP, INK, REST = "#08519c", "#d95f02", "#222222", "#c4c4c4"
LAYERS = (1, 2, 3)
STEP, WIDTH, HEIGHT = 1.55, 0.9, 0.62  # from layer to layer; of a box


def box(ax: Axes, x: float, y: float, text: str, color: str = INK) -> None:
    """A function, by its centre."""
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    shape = "round,pad=0,rounding_size=0.12"
    ax.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle=shape, ec=color, fc="white", lw=1.4))
    ax.text(x, y, text, ha="center", va="center", color=color, fontsize=12)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str = INK, **style: object) -> None:
    """From one point to another."""
    settings = {"arrowstyle": "-|>", "mutation_scale": 12, "lw": 1.4, "shrinkA": 0, "shrinkB": 0, **style}
    ax.add_patch(FancyArrowPatch(start, end, color=color, **settings))


def label(ax: Axes, x: float, y: float, text: str, color: str = INK, size: float = 11, **style: object) -> None:
    """A word at a point."""
    ax.text(x, y, text, **{"ha": "center", "va": "center", "color": color, "fontsize": size, **style})


def height(layer: int) -> float:
    """Where a layer stands, 0 being the input."""
    return layer * STEP


def backpropagation(ax: Axes) -> None:
    """One loss, and one gradient through the whole network."""
    x = 1.2
    label(ax, x, 0, "$x$", size=13)
    for layer in LAYERS:
        arrow(ax, (x, height(layer) - STEP + (0.25 if layer == 1 else HEIGHT / 2)), (x, height(layer) - HEIGHT / 2))
        box(ax, x, height(layer), f"$f_{layer}$")
    top = height(len(LAYERS)) + STEP
    arrow(ax, (x, top - STEP + HEIGHT / 2), (x, top - HEIGHT / 2))
    box(ax, x, top, "head")
    arrow(ax, (x + WIDTH / 2, top), (x + 1.25, top))
    label(ax, x + 1.62, top, "loss", BP)
    back = x + 1.62
    arrow(ax, (back, top - 0.3), (back, height(1)), BP, lw=2.4, mutation_scale=18)
    label(ax, back + 0.28, (top + height(1)) / 2, "one gradient through all layers", BP, 10.5, rotation=90)
    ax.set_title("Backpropagation", fontsize=13, pad=12)


def associated_learning(ax: Axes) -> None:
    """Two towers; each layer has its own losses, and no gradient crosses from layer to layer."""
    left, right = 1.2, 4.6
    label(ax, left, 0, "$x$", size=13)
    label(ax, right, 0, "$y$", size=13)
    for layer in LAYERS:
        y, below = height(layer), height(layer) - STEP
        band = FancyBboxPatch(
            (left - 0.72, y - 0.47), right - left + 1.44, 1.0, boxstyle="round,pad=0,rounding_size=0.2",
            ec="none", fc="#e8f0f8", zorder=0,
        )  # fmt: skip
        ax.add_patch(band)
        start = below + (0.25 if layer == 1 else HEIGHT / 2)
        arrow(ax, (left, start), (left, y - HEIGHT / 2))
        arrow(ax, (right - 0.2, start), (right - 0.2, y - HEIGHT / 2))
        arrow(ax, (right + 0.25, y - HEIGHT / 2), (right + 0.25, start), AL, ls=(0, (4, 2)))
        label(ax, right + 0.52, (start + y - HEIGHT / 2) / 2, f"$h_{layer}$", AL, 11)
        kept = f"$R_{layer}:\\ h_{layer}(t_{layer}) \\approx t_{layer - 1}$"
        label(ax, right + 0.86, (start + y - HEIGHT / 2) / 2, kept, AL, 9.5, ha="left")
        box(ax, left, y, f"$f_{layer}$")
        box(ax, right, y, f"$g_{layer}$")
        arrow(ax, (left + WIDTH / 2, y), (right - WIDTH / 2, y), AL, arrowstyle="<|-|>")
        label(ax, (left + right) / 2, y + 0.22, f"$b_{layer}$", AL, 11)
        label(ax, (left + right) / 2, y - 0.24, f"$A_{layer} = \\|b_{layer}(s_{layer}) - t_{layer}\\|^2$", AL, 9.5)
        if layer > 1:  # where activations are detached
            for x in (left, right - 0.2):
                ax.plot([x - 0.17, x + 0.17], [y - STEP / 2 + 0.04] * 2, color=BP, lw=2.2, solid_capstyle="butt")
                ax.plot([x - 0.17, x + 0.17], [y - STEP / 2 - 0.06] * 2, color=BP, lw=2.2, solid_capstyle="butt")
    label(ax, (left + right) / 2, height(3) + 0.95, "each layer steps its own optimizer on $A_i + R_i$", AL, 10.5)
    label(ax, (left + right) / 2, 0, "= : no gradient crosses", BP, 10.5)
    ax.set_title("Associated Learning, training", fontsize=13, pad=12)


def inference(ax: Axes) -> None:
    """The path of length 2: the first layers, one bridge, and down again."""
    left, right, used = 1.2, 4.2, 2
    label(ax, left, 0, "$x$", size=13)
    label(ax, right, 0, "scores", AL, 12)
    for layer in LAYERS:
        on = layer <= used
        y, below = height(layer), height(layer) - STEP
        start = below + (0.25 if layer == 1 else HEIGHT / 2)
        arrow(ax, (left, start), (left, y - HEIGHT / 2), INK if on else REST)
        box(ax, left, y, f"$f_{layer}$", INK if on else REST)
        arrow(ax, (right, y - HEIGHT / 2), (right, start), AL if on else REST)
        box(ax, right, y, f"$h_{layer}$", AL if on else REST)
        color = AL if layer == used else REST
        arrow(ax, (left + WIDTH / 2, y), (right - WIDTH / 2, y), color, lw=2.2 if layer == used else 1.2)
        label(ax, (left + right) / 2, y + 0.24, f"$b_{layer}$", color, 11)
    label(ax, (left + right) / 2, height(3) + 0.95, "a path through every bridge: this is path 2", AL, 10.5)
    ax.set_title("Associated Learning, inference", fontsize=13, pad=12)


def draw(path: Path = PICTURE) -> None:
    """Draw the picture.

    Args:
        path: the svg file.
    """
    settings = {"svg.hashsalt": "al_lightning", "font.family": "DejaVu Sans", "mathtext.fontset": "dejavusans"}
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(1, 3, figsize=(13, 5.2), layout="constrained", width_ratios=[3.4, 7.6, 5.4])
        for ax, content, width in zip(axes, (backpropagation, associated_learning, inference), (3.4, 7.6, 5.4)):
            ax.set(xlim=(0, width), ylim=(-0.4, 6.7), aspect="equal")
            ax.axis("off")
            content(ax)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor="white", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    draw()
