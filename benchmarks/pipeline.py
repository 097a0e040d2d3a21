"""The pipeline of AL layers beside every other way to use several processes: samples a second and memory.

    python benchmarks/pipeline.py                                    # CNN, VGG and ResNet-32 on random images
    python benchmarks/pipeline.py --networks LSTM --root data        # on SST-2
    python benchmarks/pipeline.py --networks CNN --output pipeline.json --picture pipeline.png

For a number of processes K: AL on one process, on one process with the threads of K, as a pipeline of K stages, as
data-parallel pipelines of two stages where K is above 2, and by ``ddp``; BP on one process, on one with the threads of
K, by ``ddp``, and by ``torch.distributed.pipelining`` with the schedule 1F1B. The global batch and the threads of a
process are the same for all. Each round starts one team after the other: read the ratios, which are medians over rounds
of ratios within a round. Where CUDA devices are there each process has one.

The clock runs from the end of a batch on the last process to the end of a later one, so it counts no start and no end.
A pipeline's limit is the time of all layers over that of the slowest stage, as the strategy measures them on the first
batch; its efficiency is the part of the limit that it reaches. Losses are gathered every 50 steps, as by default.

1F1B trains the BP sibling, cut between any two of its layers so that measured times balance, without Lightning. It
cuts a batch into micro-batches, which must have the same shape: not for text. A hybrid of it is not measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pipeline_team import Assignment, Clock, Way
from rich.console import Console
from rich.table import Table
from speed_tables import named
from step import CUTS, TEXT, save
from timeline import draw

from al_lightning.experiments.environment import environment

#: Batches before the counted ones: memory is found, layers are measured and split.
WARM_UP = 6


@dataclass(frozen=True)
class Case:
    """A network, its cuts, and a way to train it."""

    network: str
    cuts: int | str | None
    way: Way


@dataclass
class Row:
    """A case, measured. Ratios are medians over rounds; lists have a number for each process.

    Attributes:
        case: what was trained.
        samples_per_second: median over rounds.
        of_alone: ratio to AL on one process.
        rates: samples a second of each round.
        limit: of a pipeline's ratio to AL on one process.
        efficiency: the part of it that is reached.
        peak_bytes: above those before training.
        optimizer_bytes: of optimizer states.
        costs: milliseconds of each layer, median over rounds.
        stages: numbers of the layers of each stage, from 1, in the last round.
        sizes: bytes that each layer or block hands on.
        parameter_bytes: of the module in training.
        pace: how long each counted batch of the last round took, over their mean.
        timeline: of the last round, for each process its batches' start and end; seconds.
    """

    case: Case
    samples_per_second: float
    of_alone: float
    rates: list[float]
    limit: float | None
    efficiency: float | None
    peak_bytes: list[int | None]
    optimizer_bytes: list[int]
    costs: list[float]
    stages: list[list[int]]
    sizes: list[float]
    parameter_bytes: int
    pace: list[float]
    timeline: list[list[tuple[float, float]]]


def ways(network: str, processes: int, threads: int, microbatches: list[int]) -> list[Way]:
    """All ways to use so many processes; AL alone comes first."""
    every = [Way(kind, "", 1, n) for kind in ("AL", "BP") for n in (threads, threads * processes)]
    if processes == 1:
        return every
    every += [
        Way("AL", "pipeline", processes, threads, processes),
        Way("AL", "ddp", processes, threads),
        Way("BP", "ddp", processes, threads),
    ]
    if processes > 2 and processes % 2 == 0:
        every.append(Way("AL", "pipeline", processes, threads, 2))
    if network not in TEXT:
        every += [Way("BP", "1f1b", processes, threads, processes, parts) for parts in microbatches]
    return every


def cases(given: argparse.Namespace, network: str) -> list[Case]:
    """All cases of a network; BP has no cuts of its own."""
    cuts: tuple[Any, ...] = CUTS.get(network, (None,))
    found = dict.fromkeys(
        Case(network, cut, way)
        for processes in given.processes
        for way in ways(network, processes, given.threads, given.microbatches)
        for cut in (cuts if way.kind == "AL" else cuts[-1:])
    )
    return list(found)


def run(case: Case, given: argparse.Namespace) -> list[Clock]:
    """Start a team; what its processes measured.

    Raises:
        SystemExit: if a process failed, with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Assignment(
            case.network, case.cuts, case.way, given.batch_size, WARM_UP + given.steps, given.root, folder
        )  # fmt: skip
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(case.way.processes)]
        done = subprocess.run(
            [sys.executable, *launcher, str(Path(__file__).with_name("pipeline_team.py")), json.dumps(asdict(work))],
            env={**os.environ, "OMP_NUM_THREADS": str(case.way.threads)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"{case} failed:\n{done.stderr[-3000:]}")
        files = [Path(folder) / f"rank{rank}.json" for rank in range(case.way.processes)]
        return [Clock(**json.loads(file.read_text())) for file in files]


def rate(clocks: list[Clock], batch_size: int) -> float:
    """Samples a second after the warm-up, as they come out of the last process."""
    ends = clocks[-1].ends
    return batch_size * (len(ends) - WARM_UP) / (ends[-1] - ends[WARM_UP - 1])


def limit(costs: list[float], stages: list[list[int]]) -> float:
    """How many times as fast as one process a pipeline can be at most: all layers' time over the slowest stage's."""
    return sum(costs) / max(sum(costs[number - 1] for number in stage) for stage in stages)


def summarise(case: Case, rounds: list[list[Clock]], alone: list[list[Clock]], batch_size: int) -> Row:
    """What all rounds say of a case, beside AL on one process."""
    rates = [rate(clocks, batch_size) for clocks in rounds]
    ratio = statistics.median(own / rate(clocks, batch_size) for own, clocks in zip(rates, alone))
    last = rounds[-1]
    costs = [1000 * statistics.median(layer) for layer in zip(*(clocks[0].costs for clocks in rounds))]
    most: float | None = None
    if case.way.spread == "pipeline":
        most = statistics.median(limit(costs, clocks[0].stages) for clocks in rounds)
        most *= case.way.processes / case.way.stages
    sizes = zip(*([clock.peak_bytes or 0 for clock in clocks] for clocks in rounds))
    took = [end - start for start, end in zip(last[-1].starts, last[-1].ends)][WARM_UP:]
    pace = [seconds / statistics.mean(took) for seconds in took]
    counted = [list(zip(clock.starts, clock.ends))[WARM_UP : WARM_UP + 12] for clock in last]
    return Row(
        case, statistics.median(rates), ratio, rates, most, None if most is None else ratio / most,
        [max(of_a_process) or None for of_a_process in sizes], [clock.optimizer_bytes for clock in last], costs,
        last[0].stages, last[0].sizes, last[0].parameter_bytes, pace, counted if case.way.spread == "pipeline" else [],
    )  # fmt: skip


def show(rows: list[Row], batch_size: int) -> Table:
    """The comparison as a table."""
    table = Table(title=f"Training, global batch {batch_size}; ratios are to AL on one process (above 1: faster)")
    for column in ("network", "cuts", "trained by", "processes x threads"):
        table.add_column(column)
    for column in ("samples/s", "of AL alone", "limit", "efficiency", "MB peak", "MB optimizer"):
        table.add_column(column, justify="right")
    for row in rows:
        way = row.case.way
        table.add_row(
            row.case.network, str(row.case.cuts) if row.case.cuts is not None and way.kind == "AL" else "",
            named(asdict(way)), f"{way.processes} x {way.threads}", f"{row.samples_per_second:.1f}",
            f"{row.of_alone:.2f}",
            "" if row.limit is None else f"{row.limit:.2f}", "" if row.efficiency is None else f"{row.efficiency:.2f}",
            " / ".join("?" if size is None else f"{size / 1e6:.0f}" for size in row.peak_bytes),
            " / ".join(f"{size / 1e6:.1f}" for size in row.optimizer_bytes),
        )  # fmt: skip
    return table


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="The AL pipeline beside every other way to use several processes.")
    parser.add_argument("--networks", nargs="+", choices=[*CUTS, *TEXT], default=list(CUTS))
    parser.add_argument("--processes", nargs="+", type=int, default=[2])
    parser.add_argument("--batch_size", type=int, default=64, help="samples of a step over all processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--microbatches", nargs="+", type=int, default=[4, 8], help="that 1F1B cuts a batch into")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every team")
    parser.add_argument("--steps", type=int, default=50, help="counted steps a turn")
    parser.add_argument("--root", default="data", help="folder that holds sst2/, for text networks")
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    parser.add_argument("--picture", type=Path, help="png file for the timeline of the first pipeline")
    given = parser.parse_args()
    wrong = [n for n in (*given.processes, *given.microbatches) if n < 1 or given.batch_size % n]
    if wrong:
        size = given.batch_size
        parser.error(f"Expected numbers of processes and micro-batches that divide batch_size={size}, but got {wrong}.")
    return given


def main() -> None:
    given = arguments()
    console = Console(width=150)
    rows: list[Row] = []
    for network in given.networks:
        todo = cases(given, network)
        measured: dict[Case, list[list[Clock]]] = {case: [] for case in todo}
        for number, case in itertools.product(range(given.rounds), todo):
            with console.status(f"round {number + 1}: {network}, {case.cuts}, {named(asdict(case.way))} ..."):
                measured[case].append(run(case, given))
        for case in todo:
            cut = case.cuts if case.way.kind == "AL" else todo[0].cuts
            alone = measured[Case(network, cut, Way("AL", "", 1, given.threads))]
            rows.append(summarise(case, measured[case], alone, given.batch_size))
        console.print(show([row for row in rows if row.case.network == network], given.batch_size))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    about = {**environment(), "threads": given.threads, "batch_size": given.batch_size, "backend": backend}
    console.print(", ".join(f"{key} {value}" for key, value in about.items() if value is not None))
    save(given.output, about, rows)
    staged = [row for row in rows if row.timeline]
    if given.picture and staged:
        case = staged[0].case
        title = f"{case.network}, {case.cuts} cuts: " if case.cuts else f"{case.network}: "
        draw(staged[0].timeline, WARM_UP, f"{title}which stage works on which batch", given.picture)


if __name__ == "__main__":
    main()
