"""The baseline: the same network trained end to end by backpropagation."""

from __future__ import annotations

from typing import Any, TypedDict

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from al_lightning.modules.base import Batch, Classifier, Interval
from al_lightning.optim import clip_gradient_norm, has_sparse_gradients
from al_lightning.training import reduction as parallel


class BPOptions(TypedDict, total=False):
    """Arguments of :class:`BPModule` that every BP architecture passes on."""

    class_names: list[str] | None
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None
    lr_scheduler_interval: Interval
    gradient_clip_norm: float | None
    accumulate_batches: int
    compile_net: bool


class BPModule(Classifier):
    """A network trained by cross-entropy and automatic optimization; metric names are those of AL.

    Args:
        net: from the input (B, ...) to logits (B, num_classes).
        num_classes: K.
        class_names: K names for predictions; numbers if None.
        optimizer: any callable from parameters to an optimizer.
        lr_scheduler: any callable from an optimizer to a scheduler, or None.
        lr_scheduler_interval: the scheduler steps per ``"epoch"`` or per ``"step"`` (optimizer round).
        gradient_clip_norm: largest 2-norm of the whole gradient.
        accumulate_batches: batches whose mean gradient makes one optimizer step.
        compile_net: run the network through ``torch.compile``; names in checkpoints stay the same.
            torch 2.6 compiles what stands inside a plain ``nn.Sequential``, not the whole.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        net: nn.Module,
        num_classes: int,
        *,
        class_names: list[str] | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_interval: Interval = "epoch",
        gradient_clip_norm: float | None = None,
        accumulate_batches: int = 1,
        compile_net: bool = False,
    ) -> None:
        super().__init__(
            num_classes,
            class_names,
            optimizer,
            lr_scheduler,
            lr_scheduler_interval,
            gradient_clip_norm,
            accumulate_batches,
            paths=0,
        )
        self.net = net
        if compile_net:
            self.net.compile()  # in place: state_dict keys stay as they are

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) of inputs (B, ...)."""
        self.check_input(x)
        logits: Tensor = self.net(x)
        return logits

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Cross-entropy and the logits, as a list of one."""
        scores = self(x)
        return self.target.loss(scores, y), [scores]

    def path_index(self) -> int:
        """There is one path."""
        return 0

    def inference_parameters(self) -> int:
        """All parameters."""
        return sum(p.numel() for p in self.net.parameters())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of one batch."""
        x, y = batch
        self._check_labels(y)
        with self.stream(0, batch_idx):
            loss = self.target.loss(self(x), y)
        self.check_finite(["cross-entropy"], loss.detach().unsqueeze(0), y, batch_idx)
        self.log_train_loss(loss.detach(), len(y))
        return loss * parallel.batch_weight(len(y), self.device)

    def configure_optimizers(self) -> Any:
        """One optimizer, and one scheduler if any."""
        optimizers = [self.optimizer(self.parameters())]
        return optimizers, self._schedules(optimizers)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by ``gradient_clip_norm``; by the Trainer's own argument where only that is given."""
        scaler = parallel.gradient_scaler(self.trainer)
        # Fused optimizers take the scaler's scale off themselves, later; Lightning refuses to clip before.
        scaled = scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False)
        if self.gradient_clip_norm is None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif scaled or has_sparse_gradients(self.parameters()):
            scale = scaler.get_scale() if scaler is not None and scaled else 1.0
            clip_gradient_norm(self.parameters(), self.gradient_clip_norm * scale)
        else:
            self.clip_gradients(optimizer, self.gradient_clip_norm, "norm")

    def on_train_start(self) -> None:
        """Accumulate as the module says, and refuse what the base refuses.

        Raises:
            ValueError: if Trainer and module both say how, differently.
        """
        super().on_train_start()
        theirs = self.trainer.accumulate_grad_batches
        if self.accumulate_batches > 1 and theirs not in (1, self.accumulate_batches):
            raise ValueError(
                f"Expected one of the Trainer's `accumulate_grad_batches` and the model's `accumulate_batches`, "
                f"but got {theirs} and {self.accumulate_batches}. Leave the Trainer's alone."
            )
        self.trainer.accumulate_grad_batches = max(theirs, self.accumulate_batches)
