"""The pipeline that users of backpropagation would take: ``torch.distributed.pipelining``, schedule 1F1B."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.optim import Optimizer

from al_lightning.nn.balance import balance

#: How often each block is timed; the fastest counts.
REPEATS = 3


class OneForwardOneBackward:
    """Trains a stack of blocks, one stage a process, by backpropagation of micro-batches.

    Stages have consecutive blocks, balanced by the measured time of forward and backward. Batch norm sees micro-batches
    here, so the result is not that of one process.

    Args:
        blocks: operations of the network, from the input upwards; the last one gives scores of classes.
        optimizer: from parameters to an optimizer.
        microbatches: that each batch is cut into.
    """

    def __init__(self, blocks: Sequence[nn.Module], optimizer: Callable[[Any], Optimizer], microbatches: int) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dist.init_process_group("nccl" if self._device.type == "cuda" else "gloo")
        self._blocks = [block.to(self._device) for block in blocks]
        self._optimizer = optimizer
        self._microbatches = microbatches
        self._schedule: Schedule1F1B | None = None
        self.optimizer: Optimizer
        #: Seconds of each block with a micro-batch.
        self.costs: list[float] = []
        #: Numbers of the blocks of each stage, from 1.
        self.stages: list[list[int]] = []
        #: Bytes that each block hands on, of a whole batch.
        self.sizes: list[float] = []

    def step(self, x: Tensor, y: Tensor) -> None:
        """Learn a batch, all of whose micro-batches have the same size."""
        x, y = x.to(self._device), y.to(self._device)
        rank, last = dist.get_rank(), dist.get_world_size() - 1
        if self._schedule is None:
            self._schedule = self._split(x[: len(x) // self._microbatches])
        if rank == 0:
            self._schedule.step(x, return_outputs=False)
        elif rank == last:
            self._schedule.step(target=y, return_outputs=False)
        else:
            self._schedule.step(return_outputs=False)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _split(self, x: Tensor) -> Schedule1F1B:
        rank, processes = dist.get_rank(), dist.get_world_size()
        entering = self._measure(x)
        shared = [self.costs]
        dist.broadcast_object_list(shared, 0)
        self.costs = shared[0]
        ranges = balance(self.costs, processes)
        self.stages = [[number + 1 for number in own] for own in ranges]
        own = ranges[rank]
        module = nn.Sequential(*(self._blocks[number] for number in own)).train()
        self.optimizer = self._optimizer(module.parameters())
        goes_in, comes_out = entering[own.start], entering[own.stop]
        stage = PipelineStage(module, rank, processes, self._device, input_args=(goes_in,), output_args=(comes_out,))
        return Schedule1F1B(stage, self._microbatches, loss_fn=nn.functional.cross_entropy)

    def _measure(self, x: Tensor) -> list[Tensor]:
        """Times forward and backward of each block; returns what enters each, and last the scores."""
        entering = [x]
        for block in self._blocks:
            times = []
            for _ in range(REPEATS):
                goes_in = entering[-1].detach().requires_grad_(len(entering) > 1)
                start = self._now()
                out = block(goes_in)
                out.backward(torch.ones_like(out))
                times.append(self._now() - start)
            block.zero_grad()
            self.costs.append(min(times))
            entering.append(out.detach())
            self.sizes.append(float(out.nbytes * self._microbatches))
        return [state.requires_grad_(number > 0) for number, state in enumerate(entering)]

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def units(net: nn.Module) -> list[nn.Module]:
    """The smallest pieces that a BP network can be cut into: activations work in place on what stands before them."""
    pieces: list[list[nn.Module]] = []
    for block in net.children():
        for part in block if isinstance(block, nn.Sequential) else [block]:
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.ELU, nn.MaxPool2d)) and pieces:
                pieces[-1].append(part)
            else:
                pieces.append([part])
    return [nn.Sequential(*piece) for piece in pieces]
