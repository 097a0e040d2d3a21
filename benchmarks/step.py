"""Step time and memory kept for backward: AL against BP and its frugal form, at equal batch, norm and activation.

    python benchmarks/step.py                       # CNN, VGG and ResNet, both bridges, both cuts
    python benchmarks/step.py --networks LSTM Transformer --bridges lean --batch_size 64 --root data   # on SST-2
    python benchmarks/step.py --networks CNN --bridges lean --output results/step.json

Four ways to train a network: AL by each association, BP, and BP with activation checkpointing, one segment per AL
layer, which is what a user short of memory would take instead. All train through a Lightning Trainer, all its overhead
included, with Adam on random images, or with fused Adam on the first batches of SST-2 (all see the same). Rounds
alternate within one run, so that a machine whose speed drifts does not favour one: read the ratios.

Bytes kept for backward are counted, not sampled: every tensor that autograd saves is seen through
``torch.autograd.graph.saved_tensors_hooks``, its storage counted once while anything saved refers to it, parameters
and buffers left out. The peak over a step does not depend on the machine.

What a checkpointed segment keeps while it is computed again in backward, torch holds where these hooks do not see it.
It is counted apart: each segment is computed once more on the input that it had, beside the inputs of those below.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import logging
import shlex
import statistics
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.table import Table
from saved_bytes import Checkpointed, SavedBytes
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.data import SST2
from al_lightning.experiments.environment import environment
from al_lightning.modules.base import SupervisedModule

CUTS: dict[str, tuple[Any, ...]] = {"CNN": (4, 8), "VGG": (4, 8), "ResNet": ("stage", "block")}
TEXT = ("LSTM", "Transformer")


class StepTimes(pl.Callback):
    """Wall time of each training batch, from its start to its last hook."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Start the clock."""
        self._wait(pl_module)
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Stop it."""
        self._wait(pl_module)
        self.seconds.append(time.perf_counter() - self._start)

    @staticmethod
    def _wait(module: pl.LightningModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)


def _fit(module: SupervisedModule, data: Any, steps: int, *callbacks: pl.Callback) -> None:
    trainer = pl.Trainer(
        max_steps=steps, max_epochs=-1, callbacks=list(callbacks), logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, data)


def step_times(modules: list[SupervisedModule], data: Any, rounds: int, steps: int) -> list[list[float]]:
    """Seconds of each step of each module; rounds alternate, the first step of a round is not counted."""
    seconds: list[list[float]] = [[] for _ in modules]
    for _ in range(rounds):
        for module, collected in zip(modules, seconds):
            times = StepTimes()
            _fit(module, data, steps + 1, times)
            collected.extend(times.seconds[1:])
    return seconds


class FirstInput(pl.Callback):
    """Keeps the input of the first batch, as the network is given it.

    Args:
        entered: where it goes.
    """

    def __init__(self, entered: list[Any]) -> None:
        self.entered = entered

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Take it."""
        self.entered.append(args[0][0])


def saved_bytes(module: SupervisedModule, data: Any) -> int:
    """Peak bytes that autograd keeps during a step."""
    count, entered = SavedBytes(module), []
    with count.counting():
        _fit(module, data, 1, FirstInput(entered))
    assert count.now == 0, "something still holds the graph after the step"
    network = module.scoring_network()
    return max(count.peak, network.recomputed_bytes(entered[0])) if isinstance(network, Checkpointed) else count.peak


def device_bytes(module: SupervisedModule, data: Any) -> int | None:
    """Peak memory of the accelerator during a step, weights and optimizer included; None on the CPU."""
    if not torch.cuda.is_available():
        return None
    _fit(module, data, 1)
    torch.cuda.reset_peak_memory_stats()
    _fit(module, data, 2)
    return torch.cuda.max_memory_allocated()


@dataclass
class Row:
    """One way to train one network: median milliseconds of a step, peak bytes, and their ratios to those of BP.

    ``to_mse`` is the median of the ratios of each step to the same step of the same round of AL by the MSE: what a step
    costs differs more from batch to batch than from association to association.
    """

    network: str
    bridge: str
    cuts: str
    way: str
    ms: float
    time_ratio: float
    to_mse: float
    bytes_kept: int
    bytes_ratio: float
    device_bytes: int | None


def images(batch_size: int, batches: int, size: int = 32) -> DataLoader[Any]:
    """Random images, the same for both siblings."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((batch_size * batches, 3, size, size), generator=generator)
    y = torch.randint(10, (len(x),), generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, generator=generator)


def variants(
    network: str, bridge: str, cuts: Any, controls: dict[str, Any], classes: int
) -> dict[str, SupervisedModule]:
    """All ways to train one network: AL by both associations, BP, and BP with one checkpointed segment per AL layer."""
    learner, rival = getattr(al, f"{network}AL"), getattr(al, f"{network}BP")
    cut = {} if network in TEXT else {"cuts": cuts}
    optimizer = {"optimizer": controls["optimizer"]} if "optimizer" in controls else {}
    frugal = rival(classes, **controls).net
    if network in TEXT:
        depth = len(frugal) - 2  # embedding and blocks, before pooling and head
        segments = Checkpointed(list(frugal[:depth]), frugal[depth:])
    else:  # AL's own blocks, cut as finely as AL is
        layers = learner(classes, bridge=bridge, **cut, **controls).layers
        segments = Checkpointed([layer.f for layer in layers], frugal[-1])
    return {
        "AL, mse": learner(classes, bridge=bridge, association="mse", **cut, **controls),
        "AL, contrast": learner(classes, bridge=bridge, association="contrast", **cut, **controls),
        "BP": rival(classes, **controls),
        "BP, checkpointed": al.BPModule(segments, classes, **optimizer),
    }


def compare(network: str, bridge: str, cuts: Any, batch_size: int, rounds: int, steps: int, root: str) -> list[Row]:
    """All ways to train one network, in alternating rounds."""
    if network in TEXT:
        sentences = SST2(root, batch_size)
        data: Any = sentences
        controls: dict[str, Any] = dict(
            vocab_size=sentences.vocab_size, optimizer=functools.partial(torch.optim.Adam, fused=True)
        )
    else:
        data = images(batch_size, steps + 1)
        controls = dict(norm="batch", activation="elu")
    ways = variants(network, bridge, cuts, controls, 2 if network in TEXT else 10)
    times = step_times(list(ways.values()), data, rounds, steps)
    ms = {way: 1000 * statistics.median(seconds) for way, seconds in zip(ways, times)}
    to_mse = {way: statistics.median(a / b for a, b in zip(seconds, times[0])) for way, seconds in zip(ways, times)}
    kept = {way: saved_bytes(module, data) for way, module in ways.items()}
    return [
        Row(
            network, bridge, str(cuts), way, ms[way], ms[way] / ms["BP"], to_mse[way], kept[way],
            kept[way] / kept["BP"], device_bytes(module, data),
        )
        for way, module in ways.items()
    ]  # fmt: skip


def show(rows: list[Row], batch_size: int) -> Table:
    """The comparison as a table."""
    table = Table(
        title=f"One training step, batch {batch_size}; ratios are to BP (below 1: better than BP)",
    )
    for column in ("network", "bridge", "cuts", "trained by"):
        table.add_column(column)
    for column in ("ms", "time / BP", "/ AL, mse", "MB kept", "kept / BP"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.network, row.bridge, row.cuts, row.way, f"{row.ms:.1f}", f"{row.time_ratio:.2f}",
            f"{row.to_mse:.3f}", f"{row.bytes_kept / 1e6:.1f}", f"{row.bytes_ratio:.2f}",
        )  # fmt: skip
    return table


def save(output: Path | None, about: dict[str, Any], rows: list[Any]) -> None:
    """Write rows with the command and the environment that they come from; nothing without a file's name."""
    if output is None:
        return
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    document = {"command": command, "environment": about, "rows": [asdict(row) for row in rows]}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Step time and memory kept for backward, AL against BP and BP with checkpointing."
    )
    parser.add_argument("--networks", nargs="+", choices=[*CUTS, *TEXT], default=list(CUTS))
    parser.add_argument("--bridges", nargs="+", choices=["lean", "paper"], default=["lean", "paper"])
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way to train")
    parser.add_argument("--steps", type=int, default=3, help="counted steps a turn")
    parser.add_argument("--root", default="data", help="folder that holds sst2/, for text networks")
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    given = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice about loaders and loops is not about a benchmark
    console = Console(width=110)
    rows: list[Row] = []
    for network, bridge, cuts in ((n, b, c) for n in given.networks for b in given.bridges for c in CUTS.get(n, (3,))):
        with console.status(f"{network}, {bridge}, {cuts} ..."):
            new = compare(network, bridge, cuts, given.batch_size, given.rounds, given.steps, given.root)
        rows += new
        said = ", ".join(f"{row.way} {row.time_ratio:.2f} / {row.bytes_ratio:.2f}" for row in new)
        console.print(f"{network}, {bridge}, {cuts}, time / kept: {said}")
        gc.collect()  # the published VGG in 8 cuts needs gigabytes, and modules and trainers refer to each other
    console.print(show(rows, given.batch_size))
    about = {**environment(), "threads": torch.get_num_threads()}
    console.print(", ".join(f"{key} {value}" for key, value in about.items() if value is not None))
    save(given.output, about, rows)


if __name__ == "__main__":
    main()
