"""Arguments that architectures pass on, typed once: ``**options: Unpack[ALOptions]``.

The command line lists them in ``--help``, checks their types and refuses misspelt ones.
"""

from __future__ import annotations

from typing import TypedDict

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from al_lightning.nn.bridges import BridgeKind
from al_lightning.nn.convert import TargetActivation
from al_lightning.nn.layer import ReconstructionLoss
from al_lightning.targets.base import Target
from al_lightning.training.schedules import Interval


class ALOptions(TypedDict, total=False):
    """Arguments of :class:`ALModule` that every AL architecture passes on."""

    class_names: list[str] | None
    target: Target | None
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None
    lr_scheduler_interval: Interval
    layer_lr: list[float] | None
    gradient_clip_norm: float | None
    accumulate_grad_batches: int
    compile_layers: bool
    isolated: bool
    associated_layers: list[int] | None
    active_depth: int | None
    path_length: int | None


class ConvertedOptions(ALOptions, total=False):
    """Arguments of :class:`ConvertedAL` that every converted architecture passes on: how blocks become AL layers."""

    bridge: BridgeKind
    target_activation: TargetActivation
    score_activation: TargetActivation | None
    detach_target: bool
    reconstruction_loss: ReconstructionLoss | None


class BPOptions(TypedDict, total=False):
    """Arguments of :class:`BPModule` that every BP architecture passes on."""

    class_names: list[str] | None
    target: Target | None
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None
    lr_scheduler_interval: Interval
    gradient_clip_norm: float | None
    accumulate_grad_batches: int
    compile_net: bool
