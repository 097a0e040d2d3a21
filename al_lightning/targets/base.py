"""A target kind: everything that a network has to know about what it learns to predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeVar

from torch import Tensor, nn
from torchmetrics import Metric

from al_lightning.nn.association import Association, ClassCodes, ReconstructionLoss

Choice = TypeVar("Choice", bound=str)


class Calibration(nn.Module):
    """How the scores of each read-out are read; this base reads them as they are and has nothing to fit.

    A read-out is an inference path and the way in which its scores are made.

    Args:
        readouts: how many there are, at least 1.
    """

    def __init__(self, readouts: int) -> None:
        super().__init__()
        self.readouts = readouts

    def remembered(self) -> int | None:
        """How many batches were remembered since the last fit; None if there is nothing to fit."""
        return None

    def reset(self) -> None:
        """Forget what was remembered."""

    def read(self, scores: Tensor, readout: int) -> Tensor:
        """What scores of a read-out say.

        Args:
            scores: (B, width).
            readout: number of the read-out that made them, from 0.

        Returns:
            (B, ...) predictions.
        """
        return scores

    def update(self, scores: Sequence[Tensor], y: Tensor) -> None:
        """Remember what a validation batch says: scores (B, width) of the first read-outs, and its labels."""

    def fit(self, readouts: int) -> None:
        """Fit what can be fitted to what was remembered over all processes, and forget it; nothing changes nothing.

        Args:
            readouts: how many there were; the first ones of all.
        """


class Target(ABC):
    """Abstract base of all target kinds.

    A new kind is a subclass; ``ALModule``, ``BPModule`` and every architecture take it as ``target``. It keeps its
    constructor's arguments, of plain types, as attributes of the same names, so that checkpoints can rebuild it.
    """

    #: Name, among those of :meth:`metrics`, that decides which checkpoint is best, and whether large is good.
    monitor: ClassVar[str]
    mode: ClassVar[Literal["min", "max"]]
    #: What the first layer may minimise to reconstruct ``t_0``; the first one is the default.
    reconstruction_losses: ClassVar[tuple[ReconstructionLoss, ...]] = ("mse",)
    #: How a layer may compare samples with their targets; the first one is the default.
    associations: ClassVar[tuple[Association, ...]] = ("mse",)
    #: Columns of a file of predictions, as :meth:`rows` fills them; of the class, or each target's own.
    columns: tuple[str, ...]

    #: Numbers in ``t_0`` and in the scores of one sample.
    width: int

    @abstractmethod
    def check(self, y: Tensor) -> None:
        """Refuse labels that cannot be learned; reading them waits for an accelerator.

        Raises:
            ValueError: saying what was expected and what came.
        """

    def labels(self, y: Tensor) -> Tensor:
        """Checked labels (B, ...) in the type that this kind computes with; by default as they are."""
        return y

    @abstractmethod
    def encode(self, y: Tensor) -> Tensor:
        """``t_0``: labels (B, ...) to floating point (B, width), in torch's default dtype."""

    def encode_classes(self, y: Tensor) -> ClassCodes | None:
        """``t_0`` of every class beside the labels (B,) of a batch; None if this kind has no classes."""
        return None

    @abstractmethod
    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """What a BP sibling minimises: scores (B, width) against labels (B, ...), a scalar of at least float32."""

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics by name, each updated with what :meth:`measured` makes of scores (B, width), and labels."""

    def measured(self, scores: Tensor) -> Tensor:
        """Scores (B, width) as :meth:`metrics` compare them with labels; by default as they are."""
        return scores

    @abstractmethod
    def rows(self, predictions: Tensor) -> list[tuple[str | float, ...]]:
        """Predictions (B, ...) as rows of a file, one per sample, with a value for each of :attr:`columns`."""

    def written(self, value: float) -> str:
        """A number of :meth:`rows` as a file of predictions holds it; by default with four decimals."""
        return f"{value:.4f}"

    def calibration(self, readouts: int) -> Calibration:
        """How scores of so many read-outs are read; by default as they are."""
        return Calibration(readouts)

    def confidence(self, predictions: Tensor) -> Tensor:
        """How sure predictions are, (B,) in [0, 1], for early exits.

        Raises:
            ValueError: if this kind cannot say.
        """
        raise ValueError(
            f"Expected predictions that say how sure they are, but those of {type(self).__name__} do not. "
            "Use `forward` with a `path_length`."
        )

    def right(self, predictions: Tensor, y: Tensor) -> Tensor:
        """Which predictions (B, ...) are right about their labels (B, ...), (B,) bool; for thresholds of early exits.

        Raises:
            ValueError: if predictions of this kind are near or far, but not right or wrong.
        """
        raise ValueError(
            f"Expected predictions that are right or wrong, but those of {type(self).__name__} are near or far. Early "
            "exits cannot be calibrated for them: use a `path_length`."
        )

    def reconstruction(self, asked: ReconstructionLoss | None) -> ReconstructionLoss:
        """The first layer's reconstruction loss: the one that was asked for, or the kind's default.

        Raises:
            ValueError: if this kind cannot be reconstructed by it.
        """
        return self._choose("reconstruction_loss", self.reconstruction_losses, asked)

    def association(self, asked: Association | None) -> Association:
        """How layers compare samples with their targets: the way that was asked for, or the kind's default.

        Raises:
            ValueError: if this kind's targets cannot be compared so.
        """
        return self._choose("association", self.associations, asked)

    def _choose(self, argument: str, allowed: Sequence[Choice], asked: Choice | None) -> Choice:
        if asked is None:
            return allowed[0]
        if asked not in allowed:
            names = " or ".join(repr(name) for name in allowed)
            raise ValueError(f"Expected `{argument}` to be {names} for a {type(self).__name__}, but got {asked!r}.")
        return asked
