"""Whether a run can work as it was started: its strategy, and what each of its processes was told."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning_utilities.core.rank_zero import rank_zero_warn

from al_lightning.training import randomness

_REASONS = {
    "DeepSpeedStrategy": "it steps a single optimizer, and each AL layer has its own",
    "FSDPStrategy": "it gathers parameters in the forward of the whole network, which no AL layer waits for",
    "ModelParallelStrategy": "it gathers parameters in the forward of the network, which no AL layer waits for",
}


def gradient_scaler(trainer: pl.Trainer) -> torch.amp.GradScaler | None:
    """The scaler of ``16-mixed``; None under every other precision."""
    plugin = trainer.precision_plugin
    return plugin.scaler if isinstance(plugin, MixedPrecision) else None


def shared_seed(trainer: pl.Trainer) -> int:
    """The seed of a run, the same on all processes: Lightning's if one was set, else a new one that rank 0 draws."""
    given = randomness.given_seed()
    seed: int = trainer.strategy.broadcast(secrets.randbits(32) if given is None else given)
    return seed


def check_layerwise(trainer: pl.Trainer, isolated: bool = True) -> None:
    """Refuse what cannot train layers one by one, before Lightning refuses it without a remedy.

    Args:
        trainer: of the run.
        isolated: whether each layer has a backward of its own.

    Raises:
        ValueError: naming the Trainer's argument and the module's own, or the strategy or precision and the reason.
    """
    for theirs, default, ours in (
        ("gradient_clip_val", None, "gradient_clip_norm"),
        ("accumulate_grad_batches", 1, "accumulate_grad_batches"),
    ):
        value = getattr(trainer, theirs)
        if value not in (default, 0):
            raise ValueError(
                f"Expected the Trainer's `{theirs}` to be left alone, but got {value}: each AL layer has an "
                f"optimizer of its own. Give the model `{ours}={value}` instead."
            )
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set by the Trainer
    if any(isinstance(callback, LearningRateFinder) for callback in callbacks):
        raise ValueError(
            "Expected no learning rate finder, but got one: it follows the one loss and the one optimizer of a module, "
            "and each AL layer has its own. Compare short runs with different `optimizer.lr`, or set `layer_lr`."
        )
    strategy = trainer.strategy
    if not isinstance(strategy, (SingleDeviceStrategy, DDPStrategy)):
        reason = _REASONS.get(type(strategy).__name__, "it has not been tried with one backward for each layer")
        raise ValueError(
            f"Expected the strategy 'ddp' or a single device, but got {type(strategy).__name__}: {reason}. "
            "Pass `--trainer.strategy ddp`."
        )
    if gradient_scaler(trainer) is not None and not isolated:
        raise ValueError(
            "Expected isolated layers under precision 16-mixed, but got isolated=False: the gradient scaler "
            "changes its scale after each layer's step, and their gradients come from one backward. "
            "Use `--trainer.precision bf16-mixed`."
        )


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
    """Compare what each process was told, before any can wait for another for ever.

    Args:
        what: (name, value) of everything that has to be the same on all processes.

    Raises:
        ValueError: on every process, naming the first thing that differs.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    told: list[list[tuple[str, str]]] = [[] for _ in range(dist.get_world_size())]
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
