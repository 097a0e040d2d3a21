"""What each process of a team does for ``pipeline.py``: train a network one way and keep the clock.

Started by ``torch.distributed.run`` with an :class:`Assignment` as json.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from one_forward_one_backward import OneForwardOneBackward, units
from step import TEXT, images
from torch import Tensor, nn

import al_lightning as al
from al_lightning.data import SST2
from al_lightning.modules.base import SupervisedModule
from al_lightning.strategies import PipelineStrategy
from al_lightning.strategies.link import take_apart

#: Where Linux says how much memory this process has.
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Way:
    """One way to train a network.

    Attributes:
        kind: ``AL`` or ``BP``.
        spread: over processes: ``""`` (one process), ``ddp``, ``pipeline`` (AL) or ``1f1b`` (BP).
        processes: how many.
        threads: of each process.
        stages: of a pipeline, otherwise 1; processes / stages replicas train data-parallel.
        microbatches: that 1F1B cuts a batch into; 0 elsewhere.
    """

    kind: str
    spread: str
    processes: int
    threads: int
    stages: int = 1
    microbatches: int = 0


@dataclass(frozen=True)
class Assignment:
    """What a team is to do.

    Attributes:
        network: whose ``AL`` and ``BP`` modules there are.
        cuts: of an AL module; None for text.
        way: how to train it.
        batch_size: samples of a step over all processes.
        batches: how many to train.
        root: folder that holds ``sst2/``, for text.
        results: folder for each rank's :class:`Clock`, as ``rank0.json``.
    """

    network: str
    cuts: int | str | None
    way: Way
    batch_size: int
    batches: int
    root: str
    results: str


@dataclass
class Clock:
    """What one process saw.

    Attributes:
        starts: of each batch, when it was there; seconds of a clock that all processes of a machine share.
        ends: of each batch.
        peak_bytes: of the process, above what it had before training; None where the system does not say. Of the
            device, where it trains on one.
        optimizer_bytes: of the optimizers' states.
        costs: seconds of each layer, as the pipeline measured them.
        stages: numbers of the layers of each stage, from 1.
        sizes: bytes that each layer hands on, (s, t) of a batch on average; where one process has all layers.
        parameter_bytes: of the module in training.
    """

    starts: list[float]
    ends: list[float]
    peak_bytes: int | None
    optimizer_bytes: int
    costs: list[float]
    stages: list[list[int]]
    sizes: list[float]
    parameter_bytes: int


class Sizes:
    """Counts what the layers of a module hand on.

    Args:
        layers: of an AL module.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self._bytes = [self._counted(layer) for layer in layers]

    def _counted(self, layer: nn.Module) -> list[int]:
        seen: list[int] = []

        def count(_: nn.Module, __: Any, out: Any) -> None:
            memory: list[Tensor] = []
            for state in out[:2]:
                take_apart(state, memory)
            seen.append(sum(tensor.nbytes for tensor in memory))

        layer.register_forward_hook(count)
        return seen

    def means(self) -> list[float]:
        """Bytes of each layer, on average over batches."""
        return [statistics.mean(seen) for seen in self._bytes if seen]


class Times(pl.Callback):
    """Start and end of each batch. A stage's batch starts when it has arrived."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Read the clock."""
        self.starts.append(now())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Read the clock."""
        self.ends.append(now())


def now() -> float:
    """Seconds; the device, if there is one, has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def memory(key: str) -> int | None:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at most so far; None where the system does not say."""
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    sizes = [1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:")]
    return sizes[0] if sizes else None


def data_for(work: Assignment) -> Any:
    """What this process reads: its part of a batch where batches are shared out, else whole batches."""
    shares = work.way.processes // work.way.stages
    batch_size = work.batch_size // shares
    if work.network in TEXT:
        return SST2(work.root, batch_size)
    return images(batch_size, shares * work.batches)


def build(network: str, kind: str, cuts: int | str | None, data: Any) -> SupervisedModule:
    """The network with its defaults, fused Adam, and the controls of both siblings."""
    options: dict[str, Any] = dict(optimizer=functools.partial(torch.optim.Adam, fused=True))
    if network in TEXT:
        module: SupervisedModule = getattr(al, network + kind)(2, vocab_size=data.vocab_size, **options)
        return module
    if kind == "AL":
        options["cuts"] = cuts
    if network == "ResNet":
        options["depth"] = 32
    module = getattr(al, network + kind)(10, norm="batch", activation="elu", **options)
    return module


def train(work: Assignment) -> Clock:
    """Train by Lightning."""
    way, data, times = work.way, data_for(work), Times()
    module = build(work.network, way.kind, work.cuts, data)
    strategy: Any = way.spread or "auto"
    if way.spread == "pipeline":
        strategy = PipelineStrategy(replicas=way.processes // way.stages)
    trainer = pl.Trainer(
        devices=way.processes, strategy=strategy, max_epochs=1, limit_train_batches=work.batches, limit_val_batches=0,
        callbacks=[times], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    sizes = Sizes(module.layers if isinstance(module, al.ALModule) and way.processes == 1 else [])
    before = memory("VmRSS")
    trainer.fit(module, data)
    states = [
        tensor for optimizer in trainer.optimizers for state in optimizer.state.values() for tensor in state.values()
    ]
    staged = strategy if isinstance(strategy, PipelineStrategy) and strategy.split is not None else None
    return Clock(
        times.starts, times.ends, peak(before), sum(tensor.nbytes for tensor in states),
        staged.costs if staged else [], staged.split.named() if staged and staged.split else [], sizes.means(),
        parameter_bytes(module),
    )  # fmt: skip


def train_one_forward_one_backward(work: Assignment) -> Clock:
    """Train the BP sibling by torch's own pipeline, without Lightning and its overhead."""
    data = data_for(work)
    rival = build(work.network, "BP", None, data)
    assert isinstance(rival, al.BPModule)
    before = memory("VmRSS")
    pipeline = OneForwardOneBackward(
        units(rival.net), functools.partial(torch.optim.Adam, fused=True), work.way.microbatches
    )
    starts, ends = [], []
    for x, y in data:
        starts.append(now())
        pipeline.step(x, y)
        ends.append(now())
    states = pipeline.optimizer.state.values()
    kept = sum(tensor.nbytes for state in states for tensor in state.values())
    return Clock(
        starts, ends, peak(before), kept, pipeline.costs, pipeline.stages, pipeline.sizes, parameter_bytes(rival)
    )


def parameter_bytes(module: nn.Module) -> int:
    """Bytes of all parameters."""
    return sum(parameter.nbytes for parameter in module.parameters())


def peak(before: int | None) -> int | None:
    """Bytes at most, above those before training."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    most = memory("VmHWM")
    return None if most is None or before is None else most - before


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice about loaders and loops is not about a benchmark
    given = json.loads(sys.argv[1])
    work = Assignment(**{**given, "way": Way(**given["way"])})
    torch.set_num_threads(work.way.threads)
    torch.manual_seed(0)
    clock = train_one_forward_one_backward(work) if work.way.spread == "1f1b" else train(work)
    (Path(work.results) / f"rank{os.environ['RANK']}.json").write_text(json.dumps(asdict(clock)))


if __name__ == "__main__":
    main()
