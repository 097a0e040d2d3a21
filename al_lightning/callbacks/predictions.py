"""Predictions as a csv file with class names."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import IO, Any

import lightning.pytorch as pl
from torch import Tensor

from al_lightning.data.base import BaseDataModule
from al_lightning.modules.base import Classifier


class PredictionWriter(pl.Callback):
    """Writes one row a sample: its name or number, the predicted class and its calibrated probability.

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
            ValueError: with more than one process, whose rows would mix.
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
        data = getattr(trainer, "datamodule", None)
        self._names = data.sample_names() if isinstance(data, BaseDataModule) else None
        self._count = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._partial, "w", newline="", encoding="utf-8")  # noqa: SIM115 (closed at the end)
        csv.writer(self._file).writerow(["sample", "class", "probability"])

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one batch's rows; ``outputs`` are (B, K) probabilities."""
        assert self._file is not None
        assert isinstance(outputs, Tensor)
        assert isinstance(pl_module, Classifier)
        probability, label = outputs.cpu().max(-1)
        writer = csv.writer(self._file)
        for value, k in zip(probability.tolist(), label.tolist()):
            name = self._names[self._count] if self._names else self._count
            writer.writerow([name, pl_module.class_names[k], f"{value:.4f}"])
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
