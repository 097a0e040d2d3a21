"""Every network, path, read-out and format, exported and checked; and how large the files of the published CNN are.

    python benchmarks/export_matrix.py
    python benchmarks/export_matrix.py --output benchmarks/results/export-matrix-cpu.json

Networks of the matrix have the sizes of the tests; what is counted is whether a file answers as its module does: the
largest difference of predictions, and of scores relative to the largest, over batches of 1, 2 and 7 and, for text,
lengths of 1, 5 and 33. Sizes are those of the CNN with its defaults and the published bridges, from random weights,
against a checkpoint that a Trainer writes after a step of Adam.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.table import Table
from step import save
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.experiments.environment import environment
from al_lightning.nn.path import READOUTS, Readout
from al_lightning.serving import export_path, export_segments
from al_lightning.serving.formats import FORMATS

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from networks import AL, MODULES, build, shape

#: What is measured of the published CNN.
BRIDGES = ("paper", "lean")


@dataclasses.dataclass
class Row:
    """A file, or the files of a chain of segments, and whether it computes what its module does."""

    network: str
    format: str
    path: int | None
    readout: str | None
    segments: bool
    difference: float | None
    failure: str | None
    parameters: int | None
    megabytes: float | None
    checkpoint_megabytes: float | None
    seconds: float


def attempt(
    module: Any,
    network: str,
    form: str,
    path: int | None,
    readout: Readout | None,
    *,
    segments: bool = False,
    checkpoint: float | None = None,
) -> Row:
    """Export once, into a folder that is thrown away."""
    given = {"input_shape": shape(network)} if network in ("ALModule", "BPModule") else {}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if segments:
                done = export_segments(module, f"{folder}/chain", format=form, readout=readout, **given)
            else:
                file = f"{folder}/network{FORMATS[form].suffix}"
                done = export_path(module, file, path_length=path, readout=readout, **given)
        except ValueError as error:
            took = time.perf_counter() - start
            return Row(network, form, path, readout, segments, None, str(error), None, None, checkpoint, took)
    took = time.perf_counter() - start
    size = done.size / 1e6
    return Row(network, form, path, readout, segments, done.difference, None, done.parameters, size, checkpoint, took)


def matrix(networks: list[str], formats: list[str]) -> Iterator[Row]:
    """Every path by every read-out, and every chain of segments, of small networks."""
    for network in networks:
        module = build(network)
        for form in formats:
            if network not in AL:
                yield attempt(module, network, form, None, None)
                continue
            for readout in READOUTS:
                for path in range(1, module.active_depth + 1):
                    yield attempt(module, network, form, path, readout)
                yield attempt(module, network, form, None, readout, segments=True)


def checkpoint_megabytes(module: al.ALModule) -> float:
    """Size of what a Trainer keeps of a module after a step."""
    images = TensorDataset(torch.randn(8, 3, 32, 32), torch.arange(8))
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(images, batch_size=8))
        trainer.save_checkpoint(f"{folder}/last.ckpt")
        return Path(f"{folder}/last.ckpt").stat().st_size / 1e6


def published(bridge: Any, formats: list[str]) -> Iterator[Row]:
    """Every path of the published CNN, by its decoders."""
    module = al.CNNAL(10, norm=None, bridge=bridge)
    kept = checkpoint_megabytes(module)
    for form in formats:
        for path in range(1, module.active_depth + 1):
            yield attempt(module, f"CNN, {bridge} bridges", form, path, "decoder", checkpoint=kept)


def main() -> None:
    parser = argparse.ArgumentParser(description="Export everything and compare; sizes of the published CNN.")
    parser.add_argument("--networks", nargs="+", choices=MODULES, default=MODULES)
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--no_sizes", action="store_true", help="leave the published CNN out")
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice about loaders is not about a benchmark
    rows = list(matrix(given.networks, given.formats))
    sizes = [] if given.no_sizes else [row for bridge in BRIDGES for row in published(bridge, given.formats)]
    table = Table(title="exports that answer as their modules do")
    for column in ("network", "format", "exports", "failed", "largest difference", "seconds each"):
        table.add_column(column, justify="left" if column in ("network", "format") else "right")
    for network in given.networks:
        for form in given.formats:
            own = [row for row in rows if (row.network, row.format) == (network, form)]
            worst = max((row.difference for row in own if row.difference is not None), default=float("nan"))
            table.add_row(
                network, form, str(len(own)), str(sum(row.failure is not None for row in own)), f"{worst:.1e}",
                f"{sum(row.seconds for row in own) / len(own):.1f}",
            )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    for row in rows:
        if row.failure is not None:
            console.print(f"{row.network}, {row.format}, path {row.path}, {row.readout}: {row.failure}")
    if sizes:
        small = Table(title="megabytes of a path's file, and of the checkpoint")
        for column in ("network", "format", "path", "parameters", "file", "checkpoint"):
            small.add_column(column, justify="left" if column in ("network", "format") else "right")
        for row in sizes:
            small.add_row(
                row.network, row.format, str(row.path), f"{row.parameters or 0:,}", f"{row.megabytes or 0:.2f}",
                f"{row.checkpoint_megabytes or 0:.1f}",
            )  # fmt: skip
        console.print(small)
    about = {**environment(), "threads": 1, **versions()}
    save(given.output, about, [*rows, *sizes])


def versions() -> dict[str, str]:
    """Of what writes and runs ONNX."""
    from importlib.metadata import version

    return {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")}


if __name__ == "__main__":
    main()
