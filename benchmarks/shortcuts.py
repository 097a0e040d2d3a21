"""What the shortest path costs beside its share of the multiplications, at batch 1 and 256.

    python benchmarks/shortcuts.py
    python benchmarks/shortcuts.py --output benchmarks/results/shortcuts-cpu.json

The time of ``forward(x, path_length=1)`` over what it should be: its share of the full path's multiplications times the
full path's time, and the time of an empty call, a module whose layers compute next to nothing. Paths take turns within
a round: read the ratios. Text has the length of SST-2 (25 tokens) or IMDB (256).

Multiplications are not all that a path does: batch norms and activations of the first layer work on the largest maps,
and looking up and adding vectors up multiplies nothing. So the same time stands beside that of the layer's own modules,
f_1, b_1 and h_1, called one after the other without anything of this package around them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from step import save
from torch import nn

import al_lightning as al
from al_lightning.experiments.environment import environment
from al_lightning.nn.multiplications import multiplications

#: Words of the vocabulary.
WORDS = 30_000


@dataclass
class Row:
    """Milliseconds of three forwards, and how they compare."""

    network: str
    batch_size: int
    tokens: int | None
    full_ms: float
    first_ms: float
    empty_ms: float
    share: float
    of_expected: float
    modules_ms: float
    of_modules: float
    faster: float


def make(network: str) -> al.ALModule:
    """A network with its defaults; its speed does not depend on its weights."""
    if network == "LSTM":
        return al.LSTMAL(2, vocab_size=WORDS).eval()
    module: al.ALModule = getattr(al, f"{network}AL")(10)
    return module.eval()


def empty() -> al.ALModule:
    """Layers that compute next to nothing, for one number a sample."""
    layer = al.ALLayer(f=nn.Identity(), b=nn.Linear(1, 1), g=nn.Linear(2, 1), h=nn.Linear(1, 2))
    return al.ALModule([layer], 2).eval()


def inputs(batch_size: int, tokens: int | None) -> Any:
    """Random images, or texts of one length."""
    if tokens is None:
        return torch.randn(batch_size, 3, 32, 32)
    return torch.randint(2, WORDS, (batch_size, tokens))


def measure(network: str, batch_size: int, tokens: int | None, seconds: float) -> Row:
    """Let the four take turns for some time, and compare their medians."""
    module, nothing, x = make(network), empty(), inputs(batch_size, tokens)
    first = module.layers.active()[0]
    bare = nn.Sequential(first.f, first.b, first.h)
    calls: dict[str, Callable[[], Any]] = {
        "full": lambda: module(x),
        "first": lambda: module(x, path_length=1),
        "empty": lambda: nothing(torch.zeros(batch_size, 1)),
        "modules": lambda: bare(x),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(times["full"]) < 6:
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                times[name].append(1000 * (time.perf_counter() - start))
    full, shortest, nothing_ms, modules = (statistics.median(own[1:]) for own in times.values())
    read = module.read_input(x)
    share = multiplications(module.path(1), read) / multiplications(module.path(), read)
    expected = share * full + nothing_ms
    return Row(
        network, batch_size, tokens, full, shortest, nothing_ms, share, shortest / expected, modules,
        shortest / modules, full / shortest,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="What the shortest path costs beside its share of the work.")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each network and batch size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cases = [("CNN", None), ("VGG", None), ("LSTM", 25), ("LSTM", 256)]
    rows = [measure(network, size, tokens, given.seconds) for network, tokens in cases for size in (1, 256)]
    table = Table(title="forward(x, path_length=1): time over its share of the multiplications and an empty call")
    table.add_column("network")
    for column in (
        "batch",
        "tokens",
        "full, ms",
        "path 1, ms",
        "empty, ms",
        "share",
        "of expected",
        "of modules",
        "times faster",
    ):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.network, str(row.batch_size), str(row.tokens or ""), f"{row.full_ms:.2f}", f"{row.first_ms:.2f}",
            f"{row.empty_ms:.2f}", f"{row.share:.4f}", f"{row.of_expected:.2f}", f"{row.of_modules:.2f}",
            f"{row.faster:.1f}",
        )  # fmt: skip
    Console(width=120).print(table)
    save(given.output, {**environment(), "threads": given.threads}, rows)


if __name__ == "__main__":
    main()
