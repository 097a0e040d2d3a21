"""Training by Associated Learning: the algorithm stands here, once (paper, Algorithm 2)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, cast

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from al_lightning.modules.base import Batch, Interval
from al_lightning.modules.paths import PathClassifier
from al_lightning.nn.layer import ALLayer, LayerLosses
from al_lightning.nn.state import detach
from al_lightning.optim import clip_gradient_norm
from al_lightning.training import reduction as parallel


class ALOptions(TypedDict, total=False):
    """Arguments of :class:`ALModule` that every AL architecture passes on."""

    class_names: list[str] | None
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None
    lr_scheduler_interval: Interval
    layer_lr: list[float] | None
    gradient_clip_norm: float | None
    accumulate_batches: int
    compile_layers: bool
    isolated: bool
    associated_layers: list[int] | None
    active_depth: int | None
    path_length: int | None


class _Update(NamedTuple):
    """A layer whose gradients are underway, and what steps it when they are back."""

    layer: ALLayer
    optimizer: LightningOptimizer
    reduction: parallel.Reduction


class ALModule(PathClassifier):
    r"""A stack of AL layers, each trained on its own losses by its own optimizer.

    Layer i minimises :math:`A_i + R_i`; what it hands on is detached, so no gradient crosses a boundary and the
    graph of only one layer is alive at a time. Each layer consumes what its predecessor computed *before* that
    predecessor's own step on the batch (Algorithm 2).

    Usable as it is, with layers built by hand, and as the base of an architecture that defines only ``__init__``.

    Args:
        layers: L layers, from the input upwards.
        num_classes: K.
        class_names: K names for predictions; numbers if None.
        optimizer: any callable from parameters to an optimizer; called once a layer.
        lr_scheduler: any callable from an optimizer to a scheduler; called once a layer.
        lr_scheduler_interval: schedulers step per ``"epoch"`` or per ``"step"`` (optimizer round).
        layer_lr: one learning rate a layer, in place of the optimizer's own.
        gradient_clip_norm: largest 2-norm of one layer's gradient (the paper: 5 for the Bi-LSTM).
        accumulate_batches: batches whose mean gradient makes one optimizer round; the last round of an epoch
            may have fewer, and is scaled as if it had all (as Lightning does under automatic optimization).
        compile_layers: run each layer through ``torch.compile``; names in checkpoints stay the same.
        isolated: cut the graph between layers. False is the paper's ablation: losses are summed, one backward,
            then all optimizers step.
        associated_layers: numbers (from 1) of the layers that have an associated loss; all if None. The
            encoder of a layer without one learns only through the layers above, so ``isolated=False`` goes
            with it.
        active_depth: train and use only the first so many layers; all if None.
        path_length: k of ``forward`` and of ``val_acc`` and ``test_acc``; ``active_depth`` if None. Chosen at
            run time, never read from a checkpoint.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        layers: Sequence[ALLayer],
        num_classes: int,
        *,
        class_names: list[str] | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_interval: Interval = "epoch",
        layer_lr: list[float] | None = None,
        gradient_clip_norm: float | None = None,
        accumulate_batches: int = 1,
        compile_layers: bool = False,
        isolated: bool = True,
        associated_layers: list[int] | None = None,
        active_depth: int | None = None,
        path_length: int | None = None,
    ) -> None:
        depth = len(layers)
        if depth == 0:
            raise ValueError("Expected at least one layer, but got none.")
        super().__init__(
            num_classes,
            class_names,
            optimizer,
            lr_scheduler,
            lr_scheduler_interval,
            gradient_clip_norm,
            accumulate_batches,
            paths=depth,
        )
        if layer_lr is not None and (len(layer_lr) != depth or min(layer_lr) <= 0):
            raise ValueError(
                f"Expected `layer_lr` to hold one learning rate above 0 for each of the {depth} layers, "
                f"but got {layer_lr}."
            )
        if active_depth is not None and not 1 <= active_depth <= depth:
            raise ValueError(f"Expected `active_depth` to be in 1..{depth}, but got {active_depth}.")
        numbers = set(associated_layers) if associated_layers is not None else set(range(1, depth + 1))
        if not numbers <= set(range(1, depth + 1)):
            raise ValueError(f"Expected `associated_layers` to be in 1..{depth}, but got {associated_layers}.")
        if isolated and len(numbers) < depth:
            raise ValueError(
                "Expected every layer to have an associated loss when layers are isolated, but got "
                f"associated_layers={associated_layers}: the other encoders would never learn. "
                "Set `isolated=False`."
            )
        self.layers = nn.ModuleList(layers)
        self.layer_lr = layer_lr
        self.isolated = isolated
        self.associated_layers = frozenset(numbers)
        self.active_depth = active_depth or depth
        self.path_length = path_length
        self.automatic_optimization = False
        self.path_index()  # refuses a path length that does not exist
        if compile_layers:
            for layer in self.layers:
                layer.compile()  # in place: state_dict keys stay as they are

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Sum of all layers' losses, and the scores of every path."""
        self.check_input(x)
        s, t = x, self.target.encode(y)
        losses, scores = [], []
        for k, layer in enumerate(self.active_layers(), 1):
            s, t_next = layer.f(s), layer.g(t)
            association = layer.b(s)
            losses.append(self._objective(k, layer.losses(association, t_next, t)))
            scores.append(self._decode(association, k))
            t = t_next
        return torch.stack(losses).sum(), scores

    # ------------------------------------------------------------------ training (Algorithm 2)

    def _objective(self, number: int, losses: LayerLosses) -> Tensor:
        if number in self.associated_layers:
            return losses.associated + losses.reconstruction
        return losses.reconstruction

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One batch: every layer in turn computes, learns, and hands on what it computed before it learned."""
        x, y = batch
        self._check_labels(y)
        self.check_input(x)
        optimizers = self._layer_optimizers()
        full_round = (batch_idx + 1) % self.accumulate_batches == 0 or self.trainer.is_last_batch
        s, t = x, self.target.encode(y)
        weight = parallel.batch_weight(len(y), self.device)
        names: list[str] = []
        losses: list[Tensor] = []
        objectives: list[Tensor] = []
        underway: list[_Update] = []
        for number, (layer, optimizer) in enumerate(zip(self.active_layers(), optimizers), 1):
            with self.stream(number, batch_idx):
                s, t, local = layer(s, t)
            objectives.append(self._objective(number, local))
            names += [f"associated loss of layer {number}", f"reconstruction loss of layer {number}"]
            losses += [loss.detach() for loss in local]
            if self.device.type == "cpu":  # nothing to wait for: stop before the weights are spoilt
                self.check_finite(names[-2:], torch.stack(losses[-2:]), y, batch_idx)
            if self.isolated:
                s, t = detach(s), detach(t)  # the isolation: no gradient passes from a layer to the one below
                self._backward(objectives[-1] * weight / self.accumulate_batches)
                if full_round:
                    underway.append(_Update(layer, optimizer, parallel.Reduction(layer.parameters())))
                    self._finish(underway, leave=self._overlap())
        if not self.isolated:
            self._backward(torch.stack(objectives).sum() * weight / self.accumulate_batches)
            if full_round:
                layers = zip(self.active_layers(), optimizers)
                underway = [_Update(a, b, parallel.Reduction(a.parameters())) for a, b in layers]
        self._finish(underway)
        if self.device.type != "cpu":
            self.check_finite(names, torch.stack(losses), y, batch_idx)
        if full_round and self.lr_scheduler_interval == "step":
            self._step_schedulers()
        self._log_losses(torch.stack(objectives).sum().detach(), losses, len(y))

    def _backward(self, loss: Tensor) -> None:
        """Compute gradients and leave their reduction to us: stock data parallelism expects one backward a step."""
        wrapper = self.trainer.strategy.model
        with wrapper.no_sync() if isinstance(wrapper, DistributedDataParallel) else contextlib.nullcontext():
            self.manual_backward(loss)

    def _overlap(self) -> int:
        """How many layers' gradients may travel while the next layer works.

        A gradient scaler may change its scale at each step, which gradients underway would not follow.
        """
        return int(parallel.world_size() > 1 and parallel.gradient_scaler(self.trainer) is None)

    def _finish(self, underway: list[_Update], leave: int = 0) -> None:
        """Clip and step the first of some layers, but for the last ``leave``.

        Only the last layer's step goes through Lightning's counting wrapper, so that ``trainer.global_step`` counts
        rounds, not layers; the precision plugin sees both kinds.
        """
        scaler = parallel.gradient_scaler(self.trainer)
        while len(underway) > leave:
            layer, optimizer, reduction = underway.pop(0)
            reduction.wait()
            if self.gradient_clip_norm is not None:  # gradients still have the scaler's scale
                scale = 1.0 if scaler is None else scaler.get_scale()
                clip_gradient_norm(layer.parameters(), self.gradient_clip_norm * scale)
            if optimizer is self._layer_optimizers()[-1]:
                optimizer.step()
            else:
                self.trainer.strategy.optimizer_step(optimizer.optimizer, closure=_nothing, model=self)
            optimizer.zero_grad()

    def _log_losses(self, total: Tensor, losses: list[Tensor], batch_size: int) -> None:
        self.log_train_loss(total, batch_size)
        each = {
            f"train_layer{index // 2 + 1}_{('associated', 'reconstruction')[index % 2]}": loss
            for index, loss in enumerate(losses)
        }
        self.log_dict(each, on_step=False, on_epoch=True, batch_size=batch_size, sync_dist=True)

    def check_strategy(self) -> None:
        """Refuse what cannot train layers one by one.

        Raises:
            ValueError: naming the strategy or precision and the reason.
        """
        parallel.check_layerwise(self.trainer)
        if parallel.gradient_scaler(self.trainer) is not None and not self.isolated:
            raise ValueError(
                "Expected isolated layers under precision 16-mixed, but got isolated=False: the gradient scaler "
                "changes its scale after each layer's step, and their gradients come from one backward. "
                "Use `--trainer.precision bf16-mixed`."
            )

    # ------------------------------------------------------------------ optimizers

    def configure_optimizers(self) -> Any:
        """One optimizer, and one scheduler if any, for each active layer."""
        optimizers: list[Optimizer] = []
        for index, layer in enumerate(self.active_layers()):
            optimizer = self.optimizer(layer.parameters())
            if self.layer_lr is not None:
                for group in optimizer.param_groups:
                    group["lr"] = self.layer_lr[index]
            optimizers.append(optimizer)
        return optimizers, self._schedules(optimizers)

    def _layer_optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        return cast("list[LightningOptimizer]", optimizers if isinstance(optimizers, list) else [optimizers])

    def _step_schedulers(self) -> None:
        schedulers = self.lr_schedulers() or []
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(self._monitored(scheduler.monitor))
            else:
                scheduler.step()

    def on_train_epoch_end(self) -> None:
        """Step schedulers: Lightning leaves that to the module under manual optimization."""
        if self.lr_scheduler_interval == "epoch":
            self._step_schedulers()

    def _monitored(self, name: str) -> Tensor:
        metrics = self.trainer.callback_metrics
        if name not in metrics:
            raise ValueError(
                f"Expected the scheduler to monitor a logged metric, but got {name!r}. "
                f"Logged so far: {', '.join(sorted(metrics))}."
            )
        return metrics[name]

    def configure_callbacks(self) -> list[Callback]:
        """Refuse Trainer arguments that manual optimization replaces, before Lightning does without a remedy.

        Raises:
            ValueError: naming the module's own argument.
        """
        for theirs, default, ours in (
            ("gradient_clip_val", None, "gradient_clip_norm"),
            ("accumulate_grad_batches", 1, "accumulate_batches"),
        ):
            value = getattr(self.trainer, theirs)
            if value not in (default, 0):
                raise ValueError(
                    f"Expected the Trainer's `{theirs}` to be left alone, but got {value}: each AL layer has an "
                    f"optimizer of its own. Give the model `{ours}={value}` instead."
                )
        return super().configure_callbacks()


def _nothing() -> None:
    """The closure of an optimizer whose gradients are already there."""
