"""Training by Associated Learning: the loop over layers stands here, once (paper, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from al_lightning.modules.base import Batch
from al_lightning.modules.layered import LayeredModule
from al_lightning.modules.options import ExitConfidence
from al_lightning.nn.association import ClassCodes, samples
from al_lightning.nn.layer import ALLayer
from al_lightning.nn.path import Readout
from al_lightning.nn.stack import LayerStack
from al_lightning.targets.base import Target
from al_lightning.targets.classes import as_target
from al_lightning.training.agreement import check_layerwise
from al_lightning.training.schedules import Interval, check_rates, layer_optimizers, make_schedules, step_schedules
from al_lightning.training.stage import Handover, hand_on, own_layers
from al_lightning.training.update import (
    BatchPlace,
    LayerUpdate,
    UpdateSettings,
    batch_place,
    check_associated,
    loss_name,
    make_updates,
    overlap,
)


class ALModule(LayeredModule):
    r"""A stack of AL layers, each trained on its own losses by its own optimizer.

    Layer i minimises :math:`A_i + R_i`; what it hands on is detached, so no gradient crosses a boundary and the
    graph of only one layer is alive at a time. Each layer consumes what its predecessor computed *before* that
    predecessor's own step on the batch (Algorithm 2). Usable as it is, with layers built by hand.

    Args:
        layers: L layers, from the input upwards.
        num_classes: K; None with a ``target`` of another kind.
        class_names: K names for predictions; numbers if None.
        target: what is learned, where it is not classes.
        optimizer: any callable from parameters to an optimizer; called once per layer.
        lr_scheduler: any callable from an optimizer to a scheduler; called once per layer.
        lr_scheduler_interval: schedulers step per ``"epoch"`` or per ``"step"`` (optimizer step).
        layer_lr: one learning rate per layer, in place of the optimizer's own.
        gradient_clip_norm: largest 2-norm of one layer's gradient (the paper: 5 for the Bi-LSTM).
        accumulate_grad_batches: batches whose mean gradient makes one optimizer step; the last step of an epoch
            may have fewer, and is scaled as if it had all (as Lightning does under automatic optimization).
        compile_layers: run each layer through ``torch.compile``; names in checkpoints stay the same.
        isolated: cut the graph between layers. False is the paper's ablation: losses are summed, one backward,
            then all optimizers step.
        associated_layers: numbers (from 1) of the layers that have an associated loss; all if None. The
            encoder of a layer without one learns only through the layers above, so ``isolated=False`` goes
            with it.
        active_depth: train and use only the first so many layers to start with; all if None.
        path_length: k of ``forward``, ``val_acc`` and ``test_acc``; ``active_depth`` if None; in no checkpoint.
        readout: how they read the path out: by its ``"decoder"`` (Algorithm 3), by the ``"codes"`` of all classes, or
            by the ``"mean"`` probability that the codes of all paths up to it give. May be changed at any time.
        confidence: above which ``predict`` lets a sample leave at an earlier path: a probability in [0, 1], or
            ``"calibrated"`` for the thresholds that ``al-lightning inspect --calibrate`` chose; None: no early exits.
            In no checkpoint.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        layers: Sequence[ALLayer],
        num_classes: int | None = None,
        *,
        class_names: list[str] | None = None,
        target: Target | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_interval: Interval = "epoch",
        layer_lr: list[float] | None = None,
        gradient_clip_norm: float | None = None,
        accumulate_grad_batches: int = 1,
        compile_layers: bool = False,
        isolated: bool = True,
        associated_layers: list[int] | None = None,
        active_depth: int | None = None,
        path_length: int | None = None,
        readout: Readout = "decoder",
        confidence: ExitConfidence | None = None,
    ) -> None:
        super().__init__(
            LayerStack(layers, active_depth),
            as_target(num_classes, class_names, target),
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            lr_scheduler_interval=lr_scheduler_interval,
            gradient_clip_norm=gradient_clip_norm,
            accumulate_grad_batches=accumulate_grad_batches,
            path_length=path_length,
            readout=readout,
            confidence=confidence,
            associated_layers=check_associated(associated_layers, len(layers), isolated),
        )
        self.layer_lr = check_rates(layer_lr, len(layers))
        self.isolated = isolated
        self.automatic_optimization = False
        self._trained_depth: int | None = None  # how many layers learned the last batch
        if compile_layers:
            self.compile_parts()

    # ------------------------------------------------------------------ training (Algorithm 2)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One batch: every layer in turn computes, learns, and hands on what it computed before it learned."""
        s, t, y = self._begin_batch(batch)
        own = own_layers(self.trainer, self.active_depth, s, t)
        place = batch_place(self, self.choose_run_seed(), self.accumulate_grad_batches, batch_idx, samples(t))
        losses: list[Tensor] = []
        waiting: list[LayerUpdate] = []
        for update in self._updates(own):
            s, t, local = update.learn(s, t, place)
            losses.append(local)
            if local.device.type == "cpu":  # nothing to wait for: stop before the weights are spoilt
                self.check_finite(local, update.loss_name, y, batch_idx)
            waiting.append(update)
            while len(waiting) > overlap(self.trainer, place.share):
                waiting.pop(0).step()
        for update in waiting:
            update.step()
        hand_on(self.trainer, s, t)
        self._finish_batch(torch.cat(losses), y, samples(t), place, own)

    def _begin_batch(self, batch: Batch) -> tuple[Any, Tensor | ClassCodes, Tensor | None]:
        """What the first layer of this process gets, and the labels if they are known here."""
        if isinstance(batch, Handover):
            return batch.s, batch.t, None
        x, y = self.read_batch(batch)
        return self.read_input(x), self.encode(y), y

    def _updates(self, own: range) -> list[LayerUpdate]:
        optimizers = self.optimizers()
        given = optimizers if isinstance(optimizers, list) else [optimizers]
        settings = UpdateSettings(
            self.isolated, self.associated_layers, self.gradient_clip_norm, self.accumulate_grad_batches
        )
        return make_updates(self, self.layers.active(), given, settings, own)

    def _finish_batch(self, losses: Tensor, y: Tensor | None, size: int, place: BatchPlace, own: range) -> None:
        """What is done once per batch, when all layers of this process have learned."""
        self._trained_depth = self.active_depth
        first = 2 * own.start
        if losses.device.type != "cpu":
            self.check_finite(losses, lambda number: loss_name(first + number), y, place.batch)
        if place.steps and self.lr_scheduler_interval == "step":
            step_schedules(self, self.active_schedulers(), "step")
        self.log_train_losses(losses, size, first, 2 * self.active_depth)

    def check_trainer(self) -> None:
        """Refuse what cannot train layers one by one."""
        check_layerwise(self.trainer, self.isolated)

    def compile_parts(self) -> None:
        """Compile every layer, in place: names in checkpoints stay as they are."""
        for layer in self.layers:
            layer.compile()

    # ------------------------------------------------------------------ optimizers

    def configure_optimizers(self) -> Any:
        """One optimizer, and one scheduler if any, for each layer, whether it is active yet or not."""
        optimizers = layer_optimizers(self.optimizer, self.layers, self.layer_lr)
        interval = self.lr_scheduler_interval
        return optimizers, make_schedules(self.lr_scheduler, interval, optimizers, manual=True, trainer=self._trainer)

    def active_schedulers(self) -> list[Any]:
        """Schedulers of the layers that learned the last batch: the schedule of a layer begins when the layer does."""
        schedulers = self.lr_schedulers() or []
        given = schedulers if isinstance(schedulers, list) else [schedulers]
        depth = self.active_depth if self._trained_depth is None else self._trained_depth
        return given[:depth] if len(given) == len(self.layers) else given
