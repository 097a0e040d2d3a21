"""A target kind: everything that a network has to know about what it learns to predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchmetrics import Metric

from al_lightning.nn.layer import ReconstructionLoss


class Calibration(nn.Module):
    """How the scores of each inference path are read; this base reads them as they are and has nothing to fit.

    Args:
        paths: number of inference paths, at least 1.
    """

    def __init__(self, paths: int) -> None:
        super().__init__()
        self.paths = paths

    def remembered(self) -> int | None:
        """How many batches were remembered since the last fit; None if there is nothing to fit."""
        return None

    def reset(self) -> None:
        """Forget what was remembered."""

    def read(self, scores: Tensor, path: int) -> Tensor:
        """What scores of a path say.

        Args:
            scores: (B, width).
            path: number of the path that made them, from 0.

        Returns:
            (B, ...) predictions.
        """
        return scores

    def update(self, paths: Sequence[Tensor], y: Tensor) -> None:
        """Remember what a validation batch says: scores (B, width) of every path, and its labels."""

    def fit(self, paths: int) -> None:
        """Fit what can be fitted to what was remembered over all processes, and forget it; nothing changes nothing.

        Args:
            paths: how many paths there were; the first ones of all.
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
    #: Columns of a file of predictions, as :meth:`rows` fills them.
    columns: ClassVar[tuple[str, ...]]

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

    @abstractmethod
    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """What a BP sibling minimises: scores (B, width) against labels (B, ...), a scalar of at least float32."""

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics by name, each updated with scores (B, width) and labels."""

    @abstractmethod
    def rows(self, predictions: Tensor) -> list[tuple[str | float, ...]]:
        """Predictions (B, ...) as rows of a file, one per sample, with a value for each of :attr:`columns`."""

    def calibration(self, paths: int) -> Calibration:
        """How scores of so many paths are read; by default as they are."""
        return Calibration(paths)

    def confidence(self, predictions: Tensor) -> Tensor:
        """How sure predictions are, (B,) in [0, 1], for early exits.

        Raises:
            ValueError: if this kind cannot say.
        """
        raise ValueError(
            f"Expected predictions that say how sure they are, but those of {type(self).__name__} do not. "
            "Use `forward` with a `path_length`."
        )

    def reconstruction(self, asked: ReconstructionLoss | None) -> ReconstructionLoss:
        """The first layer's reconstruction loss.

        Args:
            asked: the user's choice; the kind's default if None.

        Returns:
            The choice.

        Raises:
            ValueError: if this kind cannot be reconstructed by it.
        """
        if asked is None:
            return self.reconstruction_losses[0]
        if asked not in self.reconstruction_losses:
            allowed = " or ".join(repr(name) for name in self.reconstruction_losses)
            raise ValueError(
                f"Expected `reconstruction_loss` to be {allowed} for a {type(self).__name__}, but got {asked!r}."
            )
        return asked
