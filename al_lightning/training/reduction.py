"""Data parallelism for local losses: every gradient is reduced once a step, layer by layer.

Stock data parallelism expects one backward a step: with one per layer it raises, or reduces everything once a layer.
Here a layer's gradients travel as one flat tensor a type while the next layer works.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy, SingleDeviceStrategy
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor, nn

_REASONS = {
    "DeepSpeedStrategy": "it steps a single optimizer, and each AL layer has its own",
    "FSDPStrategy": "it gathers parameters in the forward of the whole network, which no AL layer waits for",
    "ModelParallelStrategy": "it gathers parameters in the forward of the network, which no AL layer waits for",
}


def world_size() -> int:
    """Number of processes that train together; 1 outside of a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class Share(NamedTuple):
    """Which of several replicas of the network this process trains: it reads that share of the data."""

    rank: int
    replicas: int


def data_share(trainer: pl.Trainer | None) -> Share:
    """This process's share of the data, as the Trainer's strategy says.

    Processes need not all be replicas: those of a pipeline train one replica together and read the same data.
    """
    strategy = None if trainer is None else trainer.strategy
    if not isinstance(strategy, ParallelStrategy):
        return Share(0, 1)
    share = strategy.distributed_sampler_kwargs
    return Share(int(share["rank"]), int(share["num_replicas"]))


def gradient_scaler(trainer: pl.Trainer) -> torch.amp.GradScaler | None:
    """The scaler of ``16-mixed``; None under every other precision."""
    plugin = trainer.precision_plugin
    return plugin.scaler if isinstance(plugin, MixedPrecision) else None


def check_layerwise(trainer: pl.Trainer) -> None:
    """Refuse strategies that cannot train layers one by one.

    Raises:
        ValueError: naming the strategy and the reason.
    """
    strategy = trainer.strategy
    if isinstance(strategy, (SingleDeviceStrategy, DDPStrategy)):
        return
    reason = _REASONS.get(type(strategy).__name__, "it has not been tried with one backward for each layer")
    raise ValueError(
        f"Expected the strategy 'ddp' or a single device, but got {type(strategy).__name__}: {reason}. "
        "Pass `--trainer.strategy ddp`."
    )


class Reduction:
    """Gradients on their way: started by the constructor, back after :meth:`wait`.

    Args:
        parameters: whose gradients become the mean over all processes. A parameter without a gradient counts as one
            with zeros, for other processes may have one.

    Raises:
        ValueError: if a gradient is sparse.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._groups: list[tuple[list[nn.Parameter], Tensor]] = []
        self._works: list[dist.Work] = []
        if world_size() == 1:
            return
        by_type: dict[torch.dtype, list[nn.Parameter]] = {}
        for p in parameters:
            if p.requires_grad:
                by_type.setdefault(p.dtype, []).append(p)
        for group in by_type.values():
            flat = torch.cat([_dense(p).flatten() for p in group])
            work = dist.all_reduce(flat, async_op=True)
            assert work is not None
            self._groups.append((group, flat))
            self._works.append(work)

    def wait(self) -> None:
        """Put the means in place of the gradients."""
        for work, (group, flat) in zip(self._works, self._groups):
            work.wait()
            flat.div_(world_size())
            for p, part in zip(group, torch.split(flat, [p.numel() for p in group])):
                p.grad = part.view_as(p)
        self._groups, self._works = [], []


def share_buffers(module: nn.Module) -> None:
    """Give every process rank 0's buffers, such as the running statistics of batch norm, each type in one message.

    Stock data parallelism shares them with the forward of an automatically optimized module only.
    """
    if world_size() == 1:
        return
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for buffer in module.buffers():
        by_type.setdefault(buffer.dtype, []).append(buffer)
    for group in by_type.values():
        flat = torch.cat([buffer.flatten() for buffer in group])
        dist.broadcast(flat, src=0)
        for buffer, part in zip(group, torch.split(flat, [b.numel() for b in group])):
            buffer.copy_(part.view_as(buffer))


def _dense(p: nn.Parameter) -> Tensor:
    if p.grad is None:
        return torch.zeros_like(p)
    if p.grad.is_sparse:
        raise ValueError(
            "Expected dense gradients with several processes, but got sparse ones: their rows differ from process to "
            "process. Set `sparse_embedding=False`, or train with `--trainer.devices 1`."
        )
    return p.grad


def batch_weight(size: int, device: torch.device) -> Tensor:
    r"""What the mean loss of this process's batch counts in the mean over processes: :math:`R n_r / \sum_r n_r`.

    With it, the plain mean of all processes' gradients is that of the joint batch, also where batches differ in size.

    Args:
        size: samples of this process's batch.
        device: where the loss is.

    Returns:
        A scalar float32 tensor, 1 if all batches have one size.
    """
    total = torch.tensor(float(size), device=device)
    if world_size() == 1:
        return torch.ones_like(total)
    dist.all_reduce(total)
    return size * world_size() / total


def tell_changes(processes: tuple[int | None, int], batch_size: tuple[int | None, int | None]) -> None:
    """Warn where a run goes on with another number of processes or another batch size.

    Args:
        processes: how many wrote the checkpoint, and how many there are now; None if the checkpoint does not say.
        batch_size: samples of one process's batch, before and now; None if unknown.
    """
    sizes = (None, None) if None in batch_size else batch_size
    before, now = (
        f"{n} process{'es' if n != 1 else ''}" + (f" with batch_size={size}, {n * size} samples a step" if size else "")
        for n, size in zip((processes[0] or processes[1], processes[1]), sizes)
    )
    if before == now:
        return
    rank_zero_warn(
        f"The checkpoint was written by {before}; this run has {now}. Weights, optimizers, schedulers and the order of "
        "the data go on as they were. With as many samples a step the run computes the same, but for dropout and batch "
        "norm, which work on one process's samples; else epochs have another number of steps, and the learning rate, "
        "which nobody changes for you, may no longer fit."
    )


def check_agreement(what: Sequence[tuple[str, str]]) -> None:
    """Compare what each process was told, before anything can wait for ever.

    Args:
        what: (name, value) of everything that has to be the same on all processes.

    Raises:
        ValueError: on every process, naming the first thing that differs.
    """
    if world_size() == 1:
        return
    told: list[list[tuple[str, str]]] = [[] for _ in range(world_size())]
    dist.all_gather_object(told, list(what))
    for rank, theirs in enumerate(told):
        ours, values = dict(told[0]), dict(theirs)
        for name in [*ours, *values]:
            first, other = ours.get(name, "missing"), values.get(name, "missing")
            if first != other:
                raise ValueError(
                    f"Expected all processes to be started alike, but {name} is {first[:200]} on rank 0 and "
                    f"{other[:200]} on rank {rank}. Start every node with the same command and files."
                )
