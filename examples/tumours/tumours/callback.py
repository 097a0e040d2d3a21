"""What matters more than accuracy: tumours that nobody would have looked at."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from torchmetrics.classification import MulticlassRecall


class MissedTumours(pl.Callback):
    """Logs ``val_missed`` and ``test_missed``: the share of malignant tumours that are called benign.

    Several processes count together.

    Args:
        name: of the class that must not be missed.
    """

    def __init__(self, name: str = "malignant") -> None:
        self.name = name

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Learn which number the class has.

        Raises:
            ValueError: if the data have no such class.
        """
        names = list(getattr(getattr(trainer, "datamodule", None), "class_names", None) or ())
        if self.name not in names:
            raise ValueError(
                f"Expected data with a class {self.name!r}, but got {names}. Pass the `name` of one of them."
            )
        self.number = names.index(self.name)
        self.recall = MulticlassRecall(len(names), average=None)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count what the network says of a batch."""
        self._count(pl_module, batch)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count what the network says of a batch."""
        self._count(pl_module, batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the share, and begin anew."""
        self._log(pl_module, "val_missed")

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the share, and begin anew."""
        self._log(pl_module, "test_missed")

    def _count(self, module: pl.LightningModule, batch: Any) -> None:
        x, y = batch
        self.recall.to(module.device).update(module(x), y)

    def _log(self, module: pl.LightningModule, name: str) -> None:
        recall = self.recall.compute()  # of all processes
        module.log(name, 1 - recall[self.number], rank_zero_only=False)
        self.recall.reset()
