"""The baseline: the same network trained end to end by backpropagation."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim import Optimizer

from al_lightning.modules.base import Batch, SupervisedModule
from al_lightning.nn.path import Readout
from al_lightning.targets.base import Target
from al_lightning.targets.classes import as_target
from al_lightning.training.agreement import gradient_scaler
from al_lightning.training.batch_norm import explain_single_sample
from al_lightning.training.reduction import batch_weight, data_share
from al_lightning.training.schedules import Interval, layer_optimizers, make_schedules


class BPModule(SupervisedModule):
    """A network trained by the target's loss (cross-entropy) and automatic optimization; metric names are those of AL.

    Args:
        net: from the input (B, ...) to scores (B, width): logits (B, num_classes).
        num_classes: K; None with a ``target`` of another kind.
        class_names: K names for predictions; numbers if None.
        target: what is learned, where it is not classes.
        optimizer: any callable from parameters to an optimizer.
        lr_scheduler: any callable from an optimizer to a scheduler, or None.
        lr_scheduler_interval: the scheduler steps per ``"epoch"`` or per ``"step"`` (optimizer step).
        gradient_clip_norm: largest 2-norm of the whole gradient.
        accumulate_grad_batches: batches whose mean gradient makes one optimizer step.
        compile_net: run the network through ``torch.compile``; names in checkpoints stay the same.
            torch 2.6 compiles what stands inside a plain ``nn.Sequential``, not the whole.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        net: nn.Module,
        num_classes: int | None = None,
        *,
        class_names: list[str] | None = None,
        target: Target | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_interval: Interval = "epoch",
        gradient_clip_norm: float | None = None,
        accumulate_grad_batches: int = 1,
        compile_net: bool = False,
    ) -> None:
        super().__init__(
            as_target(num_classes, class_names, target),
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            lr_scheduler_interval=lr_scheduler_interval,
            gradient_clip_norm=gradient_clip_norm,
            accumulate_grad_batches=accumulate_grad_batches,
            readouts=(),
            losses={"loss": [0]},
        )
        self.net = net
        #: A learning rate in place of the optimizer's own, which a learning rate finder may set.
        self.lr: float | None = None
        if compile_net:
            self.compile_parts()

    def forward(self, x: Any) -> Tensor:
        """Scores (B, width) of inputs (B, ...)."""
        scores: Tensor = self.net(self.read_input(x))
        return scores

    def evaluate(self, x: Any, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The target's loss, (1,), and the scores: there is one way to them."""
        scores = self(x)
        return self.target.loss(scores, y).unsqueeze(0), {self.readout_name(): scores}

    def scoring_network(self) -> nn.Module:
        """The network."""
        return self.net

    def active_readouts(self) -> list[str]:
        """There is one."""
        return [self.readout_name()]

    def readout_name(self, path_length: int | None = None, readout: Readout | None = None) -> str:
        """The network's head, the only one."""
        return "head"

    def inference_parameters(self) -> int:
        """All parameters of the network."""
        return sum(p.numel() for p in self.net.parameters())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The target's loss of one batch."""
        x, y = self.read_batch(batch)
        with self.stream(0, batch_idx), explain_single_sample():
            loss = self.target.loss(self(x), y)
        losses = loss.detach().unsqueeze(0)
        self.check_finite(losses, lambda _: "training loss", y, batch_idx)
        self.log_train_losses(losses, len(y))
        return loss * batch_weight(len(y), self.device, data_share(self.trainer))

    def configure_optimizers(self) -> Any:
        """One optimizer, and one scheduler if any."""
        optimizers = layer_optimizers(self.optimizer, [self], None if self.lr is None else [self.lr])
        validates_every = self.trainer.check_val_every_n_epoch
        interval = self.lr_scheduler_interval
        schedules = make_schedules(
            self.lr_scheduler, interval, optimizers, validates_every=validates_every, trainer=self.trainer
        )
        return optimizers, schedules

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by ``gradient_clip_norm``; by the Trainer's own arguments where only those are given."""
        ours = self.gradient_clip_norm
        limit, algorithm = (gradient_clip_val, gradient_clip_algorithm) if ours is None else (ours, "norm")
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if not (limit and fused and isinstance(self.trainer.precision_plugin, MixedPrecision)):
            self.clip_gradients(optimizer, limit, algorithm)
            return
        # Here, and only here, Lightning refuses to clip: a fused optimizer takes the scaler's scale off by itself, and
        # later than this.
        scaler = gradient_scaler(self.trainer)
        scale = 1.0 if scaler is None else scaler.get_scale()
        clip = nn.utils.clip_grad_value_ if algorithm == "value" else nn.utils.clip_grad_norm_
        clip(self.parameters(), limit * scale)

    def check_trainer(self) -> None:
        """Refuse a Trainer that accumulates otherwise than the module says.

        Raises:
            ValueError: if both say how many batches make a step, differently.
        """
        theirs, ours = self.trainer.accumulate_grad_batches, self.accumulate_grad_batches
        if ours > 1 and theirs not in (1, ours):
            raise ValueError(
                f"Expected `accumulate_grad_batches` from the Trainer or from the model, but got {theirs} and {ours}. "
                "Leave the Trainer's alone."
            )

    def compile_parts(self) -> None:
        """Compile the network, in place: names in checkpoints stay as they are."""
        self.net.compile()
