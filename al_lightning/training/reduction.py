"""Data parallelism for local losses: every gradient is reduced once per optimizer step, layer by layer.

Stock data parallelism expects one backward per step: with one per layer it raises, or reduces everything per layer.
Here the gradients of a layer travel as one flat tensor per type while the next layer works.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn


class Share(NamedTuple):
    """Which of several replicas of the network this process trains: it reads that share of the data.

    ``group`` holds the processes that train replicas of the same layers; None stands for all processes.
    """

    rank: int
    replicas: int
    group: dist.ProcessGroup | None = None


#: The share of a process that trains the only replica.
ALONE = Share(0, 1)


def data_share(trainer: pl.Trainer | None) -> Share:
    """This process's share of the data, as the Trainer's strategy says.

    Processes need not all be replicas: those of a pipeline train one replica together and read the same data.
    """
    strategy = None if trainer is None else trainer.strategy
    if not isinstance(strategy, ParallelStrategy):
        return ALONE
    share = strategy.distributed_sampler_kwargs
    return Share(int(share["rank"]), int(share["num_replicas"]))


class Reduction:
    """Gradients on their way: started by the constructor, back after :meth:`wait`.

    Args:
        parameters: whose gradients become the mean over all replicas. A parameter without a gradient counts as one
            with zeros, for other replicas may have one.
        share: the replicas that take part; with a single one nothing travels.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], share: Share) -> None:
        self._replicas = share.replicas
        self._flat: list[tuple[list[nn.Parameter], Tensor]] = []
        self._works: list[dist.Work] = []
        if share.replicas == 1:
            return
        by_type: dict[torch.dtype, list[nn.Parameter]] = {}
        for p in parameters:
            if p.requires_grad:
                by_type.setdefault(p.dtype, []).append(p)
        for same_type in by_type.values():
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in same_type])
            work = dist.all_reduce(flat, group=share.group, async_op=True)
            assert work is not None
            self._flat.append((same_type, flat))
            self._works.append(work)

    def wait(self) -> None:
        """Put the means in place of the gradients."""
        for work, (parameters, flat) in zip(self._works, self._flat):
            work.wait()
            flat.div_(self._replicas)
            for p, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters])):
                p.grad = part.view_as(p)
        self._flat, self._works = [], []


def share_buffers(module: nn.Module, share: Share) -> None:
    """Give every replica the buffers of the first, such as the running statistics of batch norm.

    Stock data parallelism shares buffers with the forward of automatically optimized modules only.

    Args:
        module: whose buffers are overwritten.
        share: the replicas that take part.
    """
    if share.replicas > 1:
        share_tensors(module.buffers(), share.group, 0)


def share_tensors(tensors: Iterable[Tensor], group: dist.ProcessGroup | None, source: int) -> None:
    """Give every process of a group the tensors of one of them; each type travels in one message.

    Args:
        tensors: the same ones in every process; they are overwritten.
        group: the processes that take part; all if None.
        source: rank in the group of the process whose tensors all get.
    """
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(tensor)
    for same_type in by_type.values():
        flat = torch.cat([tensor.detach().flatten() for tensor in same_type])
        dist.broadcast(flat, group=group, group_src=source)
        with torch.no_grad():
            for tensor, part in zip(same_type, torch.split(flat, [t.numel() for t in same_type])):
                tensor.copy_(part.view_as(tensor))


def batch_weight(size: int, device: torch.device, share: Share) -> Tensor | float:
    r"""What the mean loss of this process's batch counts in the mean over replicas: :math:`R n_r / \sum_r n_r`.

    With it, the plain mean of all replicas' gradients is that of the joint batch, also where batches differ in size.

    Args:
        size: samples of this process's batch.
        device: where the loss is.
        share: the replicas that take part.

    Returns:
        A scalar float32 tensor; the number 1 for a single replica.
    """
    if share.replicas == 1:
        return 1.0
    total = torch.tensor(float(size), device=device)
    dist.all_reduce(total, group=share.group)
    return size * share.replicas / total
