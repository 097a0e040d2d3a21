"""How fast a pipeline of AL layers would be on more devices, from layer times that were measured.

    python benchmarks/predict.py benchmarks/results/pipeline-cpu.json --gigabytes_per_second 1.25 --microseconds 50
    python benchmarks/predict.py benchmarks/results/pipeline-cpu.json --repeat 8 --devices 8 16 32 64

Each network of the file that ``pipeline.py`` wrote is predicted for K devices like those that measured it, one stage
each, joined by links of one bandwidth and latency; where K stages were measured, that stands beside it. With
``--repeat`` the network is deeper: each layer stands there several times, with its time and payload. Bounds of GPipe,
1F1B and data parallelism on the BP sibling stand beside: see ``simulation.py``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from simulation import Link, data_parallel_seconds, microbatch_seconds, pipeline_seconds
from step import TEXT, save

from al_lightning.experiments.environment import environment
from al_lightning.nn.balance import balance

#: Micro-batches for each stage: with four, GPipe's paper calls the bubble negligible (arXiv 1811.06965, section 2.3).
MICROBATCHES = 4


@dataclass(frozen=True)
class Network:
    """What was measured of a network; seconds with a whole batch, bytes of a whole batch.

    Attributes:
        name: of it, with its cuts.
        batch_size: samples of a step.
        layers: seconds of each AL layer.
        payloads: (s, t) behind each AL layer.
        overhead: of a step on one process that belongs to no layer.
        pace: how many times as long as usual each batch takes.
        step: of the BP sibling on one device.
        blocks: forward and backward of each block of the BP sibling; empty if it was not cut.
        activations: behind each block.
        parameters: bytes of the BP sibling's parameters.
        measured: samples a second, from the number of stages.
    """

    name: str
    batch_size: int
    layers: list[float]
    payloads: list[float]
    overhead: float
    pace: list[float]
    step: float
    blocks: list[float]
    activations: list[float]
    parameters: float
    measured: dict[int, float]

    def deeper(self, times: int) -> Network:
        """The same with each layer, and each block but the head, repeated; each repetition hands on as much."""

        def each(values: list[float]) -> list[float]:
            return [value for value in values for _ in range(times)]

        return replace(
            self, name=f"{self.name}, {times} x", layers=each(self.layers), payloads=each(self.payloads),
            step=self.step * times, blocks=[*each(self.blocks[:-1]), *self.blocks[-1:]],
            activations=each(self.activations), parameters=self.parameters * times, measured={},
        )  # fmt: skip


@dataclass
class Row:
    """A prediction: samples a second, and megabytes that the busiest link carries in a step."""

    network: str
    devices: int
    pipeline: float
    measured: float | None
    microbatches: float | None
    data_parallel: float
    alone: float
    link_megabytes: float


def predict(network: Network, devices: int, link: Link, in_flight: int, log_every: int) -> Row:
    """A network on so many devices, one stage each."""
    ranges = balance(network.layers, devices)
    work = [sum(network.layers[number] for number in own) + network.overhead for own in ranges]
    sizes = [network.payloads[own.stop - 1] for own in ranges[:-1]]
    size = network.batch_size
    cut = len(network.blocks) >= devices
    parts = min(MICROBATCHES * devices, size)
    bound = microbatch_seconds(network.blocks, network.activations, link, parts, devices) if cut else None
    return Row(
        network.name, devices, size / pipeline_seconds(work, sizes, link, in_flight, log_every, pace=network.pace),
        network.measured.get(devices), None if bound is None else size / bound,
        size / data_parallel_seconds(network.step, network.parameters, link, devices),
        size / (sum(network.layers) + network.overhead), max(sizes, default=0.0) / 1e6,
    )  # fmt: skip


def networks(document: dict[str, Any]) -> list[Network]:
    """What ``pipeline.py`` measured, one for each network and its cuts; pipelines without replicas only.

    Batches of text differ in length: how long each took on one process is how long it takes in every stage. What a step
    takes beside the work on a batch is seen in the first stage's pauses, for it waits for nobody. Layers are timed on
    one batch; their sum is made that of a step on one process, without a pause.
    """
    size, threads = document["environment"]["batch_size"], document["environment"]["threads"]

    def rows(network: str, kind: str, spread: str, cuts: Any = None) -> list[dict[str, Any]]:
        found = []
        for row in document["rows"]:
            case, way = row["case"], row["case"]["way"]
            whole = way["threads"] == threads and way["processes"] in (1, way["stages"])
            if whole and (case["network"], way["kind"], way["spread"]) == (network, kind, spread):
                found += [row] if cuts in (None, case["cuts"]) else []
        return found

    found = []
    for network, cuts in dict.fromkeys((row["case"]["network"], row["case"]["cuts"]) for row in document["rows"]):
        (alone,), (rival,) = rows(network, "AL", "", cuts), rows(network, "BP", "")
        staged, cut = rows(network, "AL", "pipeline", cuts), rows(network, "BP", "1f1b")[:1]
        first = staged[0]["timeline"][0]
        pause = statistics.median(start - end for (_, end), (start, _) in itertools.pairwise(first))
        work, costs = size / alone["samples_per_second"] - pause, staged[0]["costs"]
        parts = cut[0]["case"]["way"]["microbatches"] if cut else 0
        found.append(
            Network(
                f"{network}, {cuts}" if cuts else network,
                size,
                [cost * work / sum(costs) for cost in costs],
                alone["sizes"],
                pause,
                alone["pace"] if network in TEXT else [1.0],
                size / rival["samples_per_second"],
                [cost / 1000 * parts for cost in cut[0]["costs"]] if cut else [],
                cut[0]["sizes"] if cut else [],
                rival["parameter_bytes"],
                {row["case"]["way"]["processes"]: row["samples_per_second"] for row in staged},
            )
        )
    return found


def show(rows: list[Row]) -> Table:
    """Predictions as a table."""
    table = Table(title="Samples a second, predicted for one stage a device; bounds are of the BP sibling")
    table.add_column("network")
    for column in ("devices", "AL pipeline", "of AL alone", "measured", "predicted / measured"):
        table.add_column(column, justify="right")
    for column in ("GPipe, 1F1B: at most", "ddp: at most", "MB a step on a link"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.network, str(row.devices), f"{row.pipeline:.1f}", f"{row.pipeline / row.alone:.2f}",
            f"{row.measured:.1f}" if row.measured else "", f"{row.pipeline / row.measured:.2f}" if row.measured else "",
            f"{row.microbatches:.1f}" if row.microbatches else "", f"{row.data_parallel:.1f}",
            f"{row.link_megabytes:.2f}",
        )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast a pipeline of AL layers would be on more devices.")
    parser.add_argument("measured", type=Path, help="json file that pipeline.py wrote")
    parser.add_argument("--devices", nargs="+", type=int, default=[2, 4, 8, 16, 32, 64])
    parser.add_argument("--repeat", type=int, default=1, help="how often each layer stands in the network")
    parser.add_argument("--gigabytes_per_second", type=float, default=1.25, help="of a link, each way")
    parser.add_argument("--microseconds", type=float, default=50.0, help="until the first byte is there")
    parser.add_argument("--in_flight", type=int, default=4, help="the strategy's")
    parser.add_argument("--log_every_n_steps", type=int, default=50, help="the Trainer's")
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    given = parser.parse_args()
    link = Link(1e9 * given.gigabytes_per_second, given.microseconds / 1e6)
    document = json.loads(given.measured.read_text())
    if not all("case" in row for row in document.get("rows", [{}])):
        parser.error(f"Expected a file that pipeline.py wrote, but got {given.measured}.")
    measured = networks(document)
    rows = [
        predict(network, devices, link, given.in_flight, given.log_every_n_steps)
        for network in (one.deeper(given.repeat) if given.repeat > 1 else one for one in measured)
        for devices in given.devices
        if devices <= len(network.layers)
    ]
    Console(width=150).print(show(rows))
    save(given.output, {**environment(), "measured": given.measured.name}, rows)


if __name__ == "__main__":
    main()
