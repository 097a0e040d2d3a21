"""Arguments that architectures pass on, typed once: ``**options: Unpack[ALOptions]``.

The command line lists them in ``--help``, checks their types and refuses misspelt ones.
"""

from __future__ import annotations

from typing import TypedDict, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from al_lightning.nn.bridges import BridgeKind, SquashingActivation
from al_lightning.nn.convert import AssociationOptions
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


class AssociatedOptions(ALOptions, AssociationOptions, total=False):
    """Those, and how blocks are associated with the target; see :func:`~al_lightning.associate`.

    Without a ``reconstruction_loss`` the target's own is taken: cross-entropy for classes, which may also be learned by
    MSE.
    """


class ConvertedOptions(AssociatedOptions, total=False):
    """Those, and the kind of bridge: what every converted architecture passes on.

    What they mean stands at :class:`~al_lightning.ConvertedAL`, and for text at
    :class:`~al_lightning.modules.text.TextAL`.
    """

    bridge: BridgeKind
    bridge_activation: SquashingActivation | None


def split_options(options: AssociatedOptions, target: Target) -> tuple[AssociationOptions, ALOptions]:
    """What concerns the association of blocks with a target, and what :class:`ALModule` takes.

    Args:
        options: as an architecture was given them.
        target: what is learned; it says how it may be reconstructed.

    Returns:
        Arguments of :func:`~al_lightning.nn.convert.associate`, and those of :class:`ALModule`.

    Raises:
        ValueError: if the target cannot be reconstructed as asked.
    """
    names = AssociationOptions.__annotations__.keys()
    association = {name: value for name, value in options.items() if name in names}
    association["reconstruction_loss"] = target.reconstruction(options.get("reconstruction_loss"))
    rest = {name: value for name, value in options.items() if name not in names}
    return cast(AssociationOptions, association), cast(ALOptions, rest)


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
