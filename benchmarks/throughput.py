"""Samples a second of AL and BP on one and on several processes, and the bytes that a step reduces.

    python benchmarks/throughput.py                                        # CNN and ResNet, 1 and 2 processes, CPU
    python benchmarks/throughput.py --networks LSTM Transformer --root data                           # on SST-2
    python benchmarks/throughput.py --precisions 32-true bf16-mixed --compiled no yes --channels_last --batch_size 1024
    python benchmarks/throughput.py --output benchmarks/results/throughput.json

The global batch and the threads of a process are the same for any number of processes. Each round starts one team of
processes after the other, and in a team AL and BP take turns: read the ratios. Where a CUDA device is there it is used,
one for each process.

Bytes are those that one process hands to all-reduce in a step, seen at the calls: AL's own, and for BP those of the
buckets of DistributedDataParallel. "AL, waiting" is AL that steps each layer before the next one works: what it lacks
is what overlapping reduction and work gains.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from rich.console import Console
from rich.table import Table
from step import CUTS, TEXT, StepTimes, images, save
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

import al_lightning as al
from al_lightning.data import SST2
from al_lightning.experiments.environment import environment
from al_lightning.modules.base import SupervisedModule

#: Steps before the counted ones: memory is found, kernels are chosen, layers are compiled.
WARM_UP = 3


@dataclass(frozen=True)
class Setting:
    """What is trained, and how."""

    network: str
    kind: str
    precision: str
    compiled: bool


@dataclass
class Row:
    """One setting on one number of processes; the time is the median over all rounds."""

    setting: Setting
    processes: int
    step_ms: float
    samples_per_second: float
    reduced_bytes: int
    parameters: int


class ReducedBytes(pl.Callback):
    """Bytes of all-reduces while batches train: this process's own calls, and DistributedDataParallel's buckets."""

    def __init__(self) -> None:
        self.bytes = self.steps = 0
        self._reduce = dist.all_reduce

    def _count(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.bytes += tensor.nbytes
        return self._reduce(tensor, *args, **kwargs)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let DistributedDataParallel reduce its buckets where they can be seen."""
        wrapper = trainer.strategy.model
        assert isinstance(wrapper, DistributedDataParallel)
        wrapper.register_comm_hook(None, allreduce_hook)  # in Python, so that its calls are seen as well

    def on_train_batch_start(self, *args: Any) -> None:
        """Start counting."""
        dist.all_reduce = self._count

    def on_train_batch_end(self, *args: Any) -> None:
        """Stop counting."""
        dist.all_reduce = self._reduce
        self.steps += 1


def build(setting: Setting, vocab_size: int | None) -> SupervisedModule:
    """The network with its defaults, fused Adam, and the controls of both siblings."""
    kind = "BP" if setting.kind == "BP" else "AL"
    options: dict[str, Any] = dict(optimizer=functools.partial(torch.optim.Adam, fused=True))
    options["compile_net" if kind == "BP" else "compile_layers"] = setting.compiled
    if setting.network in TEXT:
        module: SupervisedModule = getattr(al, setting.network + kind)(2, vocab_size=vocab_size, **options)
    else:
        module = getattr(al, setting.network + kind)(10, norm="batch", activation="elu", **options)
    if setting.kind == "AL, waiting":
        assert isinstance(module, al.ALModule)
        module._overlap = lambda: 0  # type: ignore[method-assign]
    return module


class ChannelsLast(pl.Callback):
    """Convolutions keep the layout of what they read: it is enough to convert the images."""

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        """Convert one batch."""
        batch[0] = batch[0].contiguous(memory_format=torch.channels_last)


def fit(module: SupervisedModule, data: Any, precision: Any, steps: int, callbacks: list[pl.Callback]) -> None:
    """Some steps in this process's team."""
    team = int(os.environ["WORLD_SIZE"])
    trainer = pl.Trainer(
        devices=team, strategy="ddp" if team > 1 else "auto", precision=precision, max_steps=steps, max_epochs=-1,
        callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, data)


def work(given: argparse.Namespace) -> None:
    """What each process of a team does: train every setting in turn; rank 0 writes down the seconds."""
    team = int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(given.threads)
    batch_size = given.batch_size // team
    results: list[dict[str, Any]] = []
    for setting in settings(given):
        if setting.kind == "AL, waiting" and team == 1:
            continue
        data: Any = (
            SST2(given.root, batch_size)
            if setting.network in TEXT
            else images(batch_size, team * (WARM_UP + given.steps))
        )
        module = build(setting, data.vocab_size if setting.network in TEXT else None)
        layout = [ChannelsLast()] if given.channels_last and setting.network in CUTS else []
        times = StepTimes()
        fit(module, data, setting.precision, WARM_UP + given.steps, [*layout, times])
        reduced = ReducedBytes()
        if team > 1:
            fit(module, data, setting.precision, 2, [*layout, reduced])
        results.append({
            "setting": asdict(setting), "seconds": times.seconds[WARM_UP:],
            "reduced_bytes": reduced.bytes // max(reduced.steps, 1), "parameters": module.training_parameters(),
        })  # fmt: skip
    if int(os.environ["RANK"]) == 0:
        given.result.write_text(json.dumps(results))


def settings(given: argparse.Namespace) -> list[Setting]:
    """All combinations; the kinds of one network beside each other."""
    compiled = [answer == "yes" for answer in given.compiled]
    networks = itertools.product(given.networks, given.precisions, compiled)
    return [Setting(n, kind, p, c) for n, p, c in networks for kind in ("AL", "AL, waiting", "BP")]


def measure(given: argparse.Namespace, console: Console) -> list[Row]:
    """Let teams take turns, and put together what they measured."""
    seconds: dict[tuple[int, Setting], list[float]] = {}
    others: dict[tuple[int, Setting], dict[str, int]] = {}
    for number, team in itertools.product(range(given.rounds), given.processes):
        with tempfile.TemporaryDirectory() as folder, console.status(f"round {number + 1}, {team} processes ..."):
            file = Path(folder) / "result.json"
            command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(team), __file__]
            done = subprocess.run(
                [sys.executable, *command, *sys.argv[1:], "--result", str(file)],
                env={**os.environ, "OMP_NUM_THREADS": str(given.threads)}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise SystemExit(f"A team of {team} processes failed:\n{done.stderr[-3000:]}")
            for result in json.loads(file.read_text()):
                key = (team, Setting(**result.pop("setting")))
                seconds.setdefault(key, []).extend(result.pop("seconds"))
                others[key] = result
    rows = []
    for (team, setting), all_seconds in seconds.items():
        middle = statistics.median(all_seconds)
        rows.append(Row(setting, team, 1000 * middle, given.batch_size / middle, **others[team, setting]))
    return rows


def show(rows: list[Row], batch_size: int) -> Table:
    """Samples a second, and what they are of BP on as many processes, and of the same on the fewest."""
    table = Table(title=f"Training, global batch {batch_size} (above 1: more samples a second)")
    for column in ("network", "kind", "precision", "compiled"):
        table.add_column(column)
    for column in ("processes", "samples/s", "of BP", "of 1 process", "MB reduced", "M parameters"):
        table.add_column(column, justify="right")
    rate = {(row.setting, row.processes): row.samples_per_second for row in rows}
    fewest = min(row.processes for row in rows)
    for row in rows:
        s = row.setting
        sibling = rate.get((Setting(s.network, "BP", s.precision, s.compiled), row.processes))
        kind = "AL" if s.kind == "AL, waiting" else s.kind
        alone = rate.get((Setting(s.network, kind, s.precision, s.compiled), fewest))
        table.add_row(
            s.network, s.kind, s.precision, "yes" if s.compiled else "no", str(row.processes),
            f"{row.samples_per_second:.1f}", f"{row.samples_per_second / sibling:.2f}" if sibling else "",
            f"{row.samples_per_second / alone:.2f}" if alone else "", f"{row.reduced_bytes / 1e6:.2f}",
            f"{row.parameters / 1e6:.2f}",
        )  # fmt: skip
    return table


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Samples a second of AL and BP on one and on several processes.")
    parser.add_argument("--networks", nargs="+", choices=[*CUTS, *TEXT], default=["CNN", "ResNet"])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch_size", type=int, default=64, help="samples of a step over all processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--precisions", nargs="+", default=["32-true"], help="the Trainer's")
    parser.add_argument("--compiled", nargs="+", choices=["no", "yes"], default=["no"])
    parser.add_argument("--channels_last", action="store_true", help="layout of the images, for all kinds")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every team")
    parser.add_argument("--steps", type=int, default=5, help="counted steps a turn")
    parser.add_argument("--root", default="data", help="folder that holds sst2/, for text networks")
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)  # where a team writes
    given = parser.parse_args()
    wrong = [team for team in given.processes if team < 1 or given.batch_size % team]
    if wrong:
        parser.error(f"Expected numbers of processes that divide batch_size={given.batch_size}, but got {wrong}.")
    return given


def main() -> None:
    given = arguments()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice about loaders and loops is not about a benchmark
    if given.result is not None:
        work(given)
        return
    console = Console(width=130)
    rows = measure(given, console)
    console.print(show(rows, given.batch_size))
    about = {**environment(), "threads": given.threads}
    console.print(", ".join(f"{key} {value}" for key, value in about.items() if value is not None))
    save(given.output, about, rows)


if __name__ == "__main__":
    main()
