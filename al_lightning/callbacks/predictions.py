"""Predictions as a csv file."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from torch import Tensor

from al_lightning.targets.base import Target


@runtime_checkable
class Predicting(Protocol):
    """A module whose predictions are those of a target kind."""

    target: Target


@runtime_checkable
class Named(Protocol):
    """A data module whose samples to predict may have names."""

    def sample_names(self) -> list[str] | None:
        """Names of the samples to predict, or None for their numbers."""


class PredictionWriter(pl.Callback):
    """Writes one row per sample: its name or number, and what its target kind has for :attr:`Target.columns`.

    For classes these are the predicted class and its calibrated probability.

    Rows go to a temporary file, which gets its name when the last batch is through.

    Args:
        path: the csv file; an existing one is never overwritten.
    """

    def __init__(self, path: str = "predictions.csv") -> None:
        super().__init__()
        self.path = Path(path)
        self._file: IO[str] | None = None
        self._names: list[str] | None = None
        self._count = 0

    @property
    def _partial(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the file.

        Raises:
            FileExistsError: if there is already one of that name.
            ValueError: with more than one process, whose rows would mix, or a module without a target.
        """
        if trainer.world_size > 1:
            raise ValueError(
                f"Expected one process for predictions, but got {trainer.world_size}. Pass `--trainer.devices 1`."
            )
        if self.path.exists():
            raise FileExistsError(
                f"Expected to write predictions to a new file, but {self.path} exists. "
                "Move it away or pass `--predictions.path`."
            )
        if not isinstance(pl_module, Predicting):
            raise ValueError(
                f"Expected a module with a `target` that says what predictions look like, but got "
                f"{type(pl_module).__name__}. Write its predictions with a callback of your own."
            )
        data = getattr(trainer, "datamodule", None)
        self._names = data.sample_names() if isinstance(data, Named) else None
        self._count = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._partial, "w", newline="", encoding="utf-8")  # noqa: SIM115 (closed at the end)
        csv.writer(self._file).writerow(["sample", *pl_module.target.columns])

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one batch's rows; ``outputs`` are predictions (B, ...)."""
        assert self._file is not None
        assert isinstance(outputs, Tensor)
        assert isinstance(pl_module, Predicting)
        writer, target = csv.writer(self._file), pl_module.target
        for row in target.rows(outputs.cpu()):
            name = self._names[self._count] if self._names else self._count
            writer.writerow([name, *(target.written(v) if isinstance(v, float) else v for v in row)])
            self._count += 1

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the file its name."""
        if self._file is not None:
            self._file.close()
            os.replace(self._partial, self.path)
            print(f"{self._count} predictions: {self.path}")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave no half-written file behind."""
        if self._file is not None and not self._file.closed:
            self._file.close()
            self._partial.unlink(missing_ok=True)
