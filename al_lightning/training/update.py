"""One update of one layer: the only place where AL layers learn (paper, Algorithm 2)."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from al_lightning.nn.layer import ALLayer, LayerLosses, TargetState
from al_lightning.nn.state import State, detach
from al_lightning.training import randomness
from al_lightning.training.agreement import gradient_scaler
from al_lightning.training.batch_norm import explain_single_sample
from al_lightning.training.reduction import Reduction, Share, batch_weight
from al_lightning.training.stage import training_share


class BatchPlace(NamedTuple):
    """Where a batch stands in a run, and what its gradients count.

    Attributes:
        seed: of the run.
        epoch: number of the epoch, from 0.
        batch: number of the batch in its epoch, from 0.
        share: which replica's batch it is.
        weight: factor of its mean losses, see :func:`~al_lightning.training.reduction.batch_weight`.
        steps: whether optimizers step after it; else its gradients wait for those of the next batch.
    """

    seed: int
    epoch: int
    batch: int
    share: Share
    weight: Tensor | float
    steps: bool


class LayerPart(NamedTuple):
    """A layer and what steps it.

    Attributes:
        number: of the layer, from 1.
        layer: the layer.
        optimizer: its own optimizer.
        associated: whether its associated loss counts.
        learns: whether any of its parameters is to be trained; a frozen layer only hands on what it computes.
        counts: whether ``trainer.global_step`` counts its step: one layer per process and round, also if it is frozen.
    """

    number: int
    layer: ALLayer
    optimizer: LightningOptimizer
    associated: bool
    learns: bool
    counts: bool


def learns(network: nn.Module) -> bool:
    """Whether any parameter of a network is to be trained."""
    return any(p.requires_grad for p in network.parameters())


def objective(losses: LayerLosses, associated: bool) -> Tensor:
    """What a layer minimises: ``A_i + R_i``, or ``R_i`` alone where it is not associated."""
    return losses.associated + losses.reconstruction if associated else losses.reconstruction


class UpdateSettings(NamedTuple):
    """How the layers of a module learn.

    Attributes:
        isolated: whether each layer has a backward of its own.
        associated_layers: numbers, from 1, of the layers whose associated loss counts.
        gradient_clip_norm: largest 2-norm of the gradient of each layer, or None.
        accumulate_grad_batches: batches whose mean gradient makes one step.
    """

    isolated: bool
    associated_layers: frozenset[int]
    gradient_clip_norm: float | None
    accumulate_grad_batches: int


class LayerUpdate:
    """One layer learns one batch: :meth:`learn`, then, when its gradients are back from other processes, :meth:`step`.

    Layers that are not isolated from each other (the paper's ablation) make one update together: their losses are
    summed and share one backward.

    Args:
        module: whose Trainer knows the precision and the strategy.
        parts: the layer; or several in order, from the input upwards.
        settings: how all layers of the module learn.
    """

    def __init__(self, module: pl.LightningModule, parts: Sequence[LayerPart], settings: UpdateSettings) -> None:
        self.module = module
        self.parts = parts
        self.settings = settings
        self._reductions: list[Reduction] = []

    def learn(self, s: State, t: TargetState, place: BatchPlace) -> tuple[State, TargetState, Tensor]:
        """Forward, losses, backward; the gradients start on their way to the other replicas.

        Args:
            s: the state ``s_{i-1}``.
            t: ``t_{i-1}``, (B, ...), or one code per class and the labels.
            place: where the batch stands in the run.

        Returns:
            ``s_i`` and ``t_i``, computed before the layer's own step and detached; and the losses ``A_i, R_i`` of
            every part, (2 x parts,), detached.
        """
        objectives: list[Tensor] = []
        losses: list[Tensor] = []
        for part in self.parts:
            # A stream of its own: what dropout draws must not depend on other layers or processes.
            coordinates = (place.seed, place.share.rank, part.number, place.epoch, place.batch)
            stream = randomness.fork(randomness.Purpose.LAYER, self.module.device, *coordinates)
            with stream, explain_single_sample():
                s, t, local = part.layer(s, t)
            objectives.append(objective(local, part.associated))
            losses += local
        total = objectives[0] if len(objectives) == 1 else torch.stack(objectives).sum()
        if total.requires_grad:
            self._backward(total * (place.weight / self.settings.accumulate_grad_batches))
        if place.steps:
            self._reductions = [Reduction(part.layer.parameters(), place.share) for part in self.parts]
        # The isolation: no gradient passes from what comes next to these layers.
        return detach(s), detach(t), torch.stack(losses).detach()

    def loss_name(self, number: int) -> str:
        """What a message calls one of the losses that :meth:`learn` returned."""
        return loss_name(2 * (self.parts[0].number - 1) + number)

    def _backward(self, loss: Tensor) -> None:
        """Compute gradients; their reduction is ours, since stock data parallelism expects one backward per step."""
        wrapper = self.module.trainer.strategy.model
        with wrapper.no_sync() if isinstance(wrapper, DistributedDataParallel) else contextlib.nullcontext():
            self.module.manual_backward(loss)

    def step(self) -> None:
        """Wait for the gradients, clip them and step; nothing in the middle of an accumulation."""
        scaler = gradient_scaler(self.module.trainer)
        for part, reduction in zip(self.parts, self._reductions):
            reduction.wait()
            if not (part.learns or part.counts):
                continue
            if self.settings.gradient_clip_norm is not None:  # gradients still have the scaler's scale
                scale = 1.0 if scaler is None else scaler.get_scale()
                nn.utils.clip_grad_norm_(part.layer.parameters(), self.settings.gradient_clip_norm * scale)
            if part.counts:
                part.optimizer.step()
            else:  # the same way through the precision plugin, but not counted
                strategy = self.module.trainer.strategy
                strategy.optimizer_step(part.optimizer.optimizer, closure=_nothing, model=self.module)
            part.optimizer.zero_grad()
        self._reductions = []


def batch_place(
    module: pl.LightningModule, run_seed: int, accumulate_grad_batches: int, batch_idx: int, samples: int
) -> BatchPlace:
    """Where a batch of so many samples stands in the run of a module."""
    trainer = module.trainer
    share = training_share(trainer)
    steps = (batch_idx + 1) % accumulate_grad_batches == 0 or trainer.is_last_batch
    weight = batch_weight(samples, module.device, share)
    return BatchPlace(run_seed, trainer.current_epoch, batch_idx, share, weight, steps)


def make_updates(
    module: pl.LightningModule,
    layers: Sequence[ALLayer],
    optimizers: Sequence[LightningOptimizer],
    settings: UpdateSettings,
    own: range,
) -> list[LayerUpdate]:
    """One update per layer, in order; a single one for all where they are not isolated.

    Args:
        module: whose layers they are.
        layers: the layers that train, from the input upwards.
        optimizers: theirs; more may follow.
        settings: how they learn.
        own: numbers, from 0, of the layers that this process trains.

    Raises:
        ValueError: if a layer has no optimizer, which a user's own ``configure_optimizers`` may have left out.
    """
    if len(optimizers) < len(layers):
        raise ValueError(
            f"Expected `configure_optimizers` to return one optimizer for each of the {len(layers)} layers, in their "
            f"order, but got {len(optimizers)}."
        )
    learning = [number for number in own if learns(layers[number])]
    parts = [
        LayerPart(
            number + 1,
            layers[number],
            optimizers[number],
            associated=number + 1 in settings.associated_layers,
            learns=number in learning,
            counts=number == (learning or own)[-1],
        )
        for number in own
    ]
    together = [[part] for part in parts] if settings.isolated else [parts]
    return [LayerUpdate(module, some, settings) for some in together]


def check_associated(numbers: Sequence[int] | None, depth: int, isolated: bool) -> frozenset[int]:
    """Numbers of the layers that have an associated loss: those asked for, or all.

    Raises:
        ValueError: if a number is out of 1..depth, or an isolated layer would never learn.
    """
    every = frozenset(range(1, depth + 1))
    chosen = every if numbers is None else frozenset(numbers)
    if not chosen <= every:
        raise ValueError(f"Expected `associated_layers` to be in 1..{depth}, but got {numbers}.")
    if isolated and chosen < every:
        raise ValueError(
            "Expected every layer to have an associated loss when layers are isolated, but got "
            f"associated_layers={numbers}: the other encoders would never learn. Set `isolated=False`."
        )
    return chosen


def loss_name(number: int) -> str:
    """What a message calls a loss, by its number from 0 in the order ``A_1, R_1, A_2, ...``."""
    return f"{('associated', 'reconstruction')[number % 2]} loss of layer {number // 2 + 1}"


def loss_logs(depth: int, associated_layers: Collection[int]) -> dict[str, list[int]]:
    """Names of losses behind ``train_`` or ``val_``, and the numbers, in the order ``A_1, R_1, ...``, each sums up."""
    single = {
        f"layer{number // 2 + 1}_{('associated', 'reconstruction')[number % 2]}": [number]
        for number in range(2 * depth)
    }
    objective = [n for n in range(2 * depth) if n % 2 == 1 or n // 2 + 1 in associated_layers]
    return {"loss": objective, **single}


def overlap(trainer: pl.Trainer, share: Share) -> int:
    """How many updates may wait for their gradients while the next layer works.

    A gradient scaler may change its scale at each step, which gradients on their way would not follow.
    """
    return int(share.replicas > 1 and gradient_scaler(trainer) is None)


def _nothing() -> None:
    """The closure of an optimizer whose gradients are already there."""
