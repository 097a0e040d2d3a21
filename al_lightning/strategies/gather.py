"""Weights of all stages in every process, where a pipeline drains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback


def fetch(state: Any, owner: int, rank: int, device: torch.device | None) -> Any:
    """On rank 0, what the owner has; on every other process, what it has itself.

    Args:
        state: this process's own, of plain types and tensors.
        owner: global rank of the process whose state rank 0 gets.
        rank: of this process.
        device: where the tensors of messages have to lie; the processor if None.
    """
    box: list[Any] = [state]
    if owner > 0 and rank == owner:
        dist.send_object_list(box, dst=0, device=device)
    elif owner > 0 and rank == 0:
        dist.recv_object_list(box, src=owner, device=device)
    return box[0]


class GatherWeights(Callback):
    """Gathers weights before any other callback can look at them, where a pipeline drains.

    Args:
        gather: what all processes call together.
    """

    def __init__(self, gather: Callable[[], None]) -> None:
        self._gather = gather
        self._trainer: pl.Trainer | None = None

    def attach(self, trainer: pl.Trainer) -> None:
        """Become the first callback of a Trainer, until :meth:`detach`."""
        self.detach()
        trainer.callbacks.insert(0, self)  # type: ignore[attr-defined]  # set by the Trainer
        self._trainer = trainer

    def detach(self) -> None:
        """Leave the Trainer's callbacks as they were."""
        if self._trainer is not None:
            callbacks: list[Any] = self._trainer.callbacks  # type: ignore[attr-defined]
            callbacks.remove(self)
            self._trainer = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate all layers as they are now."""
        if trainer.state.fn == "fit":
            self._gather()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch ends with all layers as they are."""
        self._gather()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training ends with all layers as they are, in all processes."""
        self._gather()
