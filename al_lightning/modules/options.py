"""Arguments that architectures pass on, typed once: ``**options: Unpack[ALOptions]``.

The command line lists them in ``--help``, checks their types and refuses misspelt ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, TypedDict, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from al_lightning.nn.bridges import BridgeKind, SquashingActivation
from al_lightning.nn.convert import AssociationOptions
from al_lightning.nn.path import Readout
from al_lightning.targets.base import Target
from al_lightning.training.schedules import Interval

#: Above which confidence samples leave early: a probability, or the thresholds that a calibration chose.
ExitConfidence: TypeAlias = float | Literal["calibrated"]


class LearningOptions(TypedDict, total=False):
    """How weights are stepped, by AL and BP alike.

    Attributes:
        optimizer: any callable from parameters to an optimizer.
        lr_scheduler: any callable from an optimizer to a scheduler, or None.
        lr_scheduler_interval: whether schedulers step per ``"epoch"`` or per ``"step"`` (optimizer step).
        gradient_clip_norm: largest 2-norm of a gradient, or None.
        accumulate_grad_batches: batches whose gradients make one optimizer step.
    """

    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None
    lr_scheduler_interval: Interval
    gradient_clip_norm: float | None
    accumulate_grad_batches: int


def check_learning(clip: float | None, batches: int, interval: Interval) -> None:
    """Refuse what makes no sense.

    Args:
        clip: ``gradient_clip_norm``.
        batches: ``accumulate_grad_batches``.
        interval: ``lr_scheduler_interval``.

    Raises:
        ValueError: naming the argument.
    """
    if clip is not None and not clip > 0:
        raise ValueError(f"Expected `gradient_clip_norm` to be above 0, but got {clip}.")
    if batches < 1:
        raise ValueError(f"Expected `accumulate_grad_batches` to be at least 1, but got {batches}.")
    if interval not in ("epoch", "step"):
        raise ValueError(f"Expected `lr_scheduler_interval` to be 'epoch' or 'step', but got {interval!r}.")


def check_confidence(confidence: ExitConfidence | None) -> ExitConfidence | None:
    """Refuse what is no probability.

    Raises:
        ValueError: saying what was expected and what came.
    """
    given: object = confidence
    if given is None or given == "calibrated" or (isinstance(given, (int, float)) and 0 <= given <= 1):
        return confidence
    raise ValueError(f"Expected `confidence` to be in [0, 1] or 'calibrated', but got {confidence!r}.")


class ALOptions(LearningOptions, total=False):
    """Arguments of :class:`ALModule` that every AL architecture passes on."""

    class_names: list[str] | None
    target: Target | None
    layer_lr: list[float] | None
    compile_layers: bool
    isolated: bool
    associated_layers: list[int] | None
    active_depth: int | None
    path_length: int | None
    readout: Readout
    confidence: ExitConfidence | None


class AssociatedOptions(ALOptions, AssociationOptions, total=False):
    """Those, and how blocks are associated with the target; see :func:`~al_lightning.associate`.

    Without a ``reconstruction_loss`` or an ``association`` the target's own is taken: for classes cross-entropy and
    MSE.
    """


class ConvertedOptions(AssociatedOptions, total=False):
    """Those, and the kind of bridge: what every converted architecture passes on.

    What they mean stands at :class:`~al_lightning.ConvertedAL`, and for text at
    :class:`~al_lightning.modules.text.TextAL`.
    """

    bridge: BridgeKind
    bridge_activation: SquashingActivation | None


class ImageOptions(ConvertedOptions, total=False):
    """Those of a network on images, see :class:`~al_lightning.ConvertedAL`."""

    bridge_pool: int
    bridge_dim: int
    last_bridge_dims: Sequence[int]


class TextOptions(ConvertedOptions, total=False):
    """Those of a text network, see :class:`~al_lightning.modules.text.TextAL`."""

    single_layer: bool


def split_options(options: AssociatedOptions, target: Target) -> tuple[AssociationOptions, ALOptions]:
    """What concerns the association of blocks with a target, and what :class:`ALModule` takes.

    Args:
        options: as an architecture was given them.
        target: what is learned; it says how it may be reconstructed.

    Returns:
        Arguments of :func:`~al_lightning.nn.convert.associate`, and those of :class:`ALModule`.

    Raises:
        ValueError: if the target cannot be reconstructed or compared as asked.
    """
    names = AssociationOptions.__annotations__.keys()
    association = {name: value for name, value in options.items() if name in names}
    association["reconstruction_loss"] = target.reconstruction(options.get("reconstruction_loss"))
    association["association"] = target.association(options.get("association"))
    rest = {name: value for name, value in options.items() if name not in names}
    return cast(AssociationOptions, association), cast(ALOptions, rest)


class BPOptions(LearningOptions, total=False):
    """Arguments of :class:`BPModule` that every BP architecture passes on."""

    class_names: list[str] | None
    target: Target | None
    compile_net: bool
