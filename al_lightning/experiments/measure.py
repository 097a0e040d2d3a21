"""What an experiment measures beside a run: accuracy on any split, and test curves, without touching the run."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from al_lightning.data.base import BaseDataModule
from al_lightning.modules.base import SupervisedModule


def measure(
    trainer: pl.Trainer, module: SupervisedModule, data: BaseDataModule[Any, Any], loader: Any
) -> dict[str, float]:
    """Metrics of a module on what a loader of its data module yields, in evaluation mode.

    Args:
        trainer: whose precision counts.
        module: left in the mode that it was in.
        data: prepares the batches, without augmentation.
        loader: one of the data module's.

    Returns:
        From the metric's name (``acc``), and from its name behind a read-out's (``acc_path1``), to its value.
    """
    own = module.readout_name()
    metrics = {name: module.target.metrics() for name in module.active_readouts()}
    was_training = module.training
    module.eval()
    with torch.no_grad():
        for raw in loader:
            x, y = module.read_batch(data.prepare(data.transfer_batch_to_device(raw, module.device, 0)))
            with trainer.precision_plugin.forward_context():
                _, scores = module.evaluate(x, y)
            for name, some in metrics.items():
                for metric in some.values():
                    metric.to(module.device).update(module.target.measured(scores[name]), y)
    module.train(was_training)
    values = {name: {n: float(metric.compute()) for n, metric in some.items()} for name, some in metrics.items()}
    named = {f"{n}_{name}": value for name, some in values.items() for n, value in some.items() if len(values) > 1}
    return {**values[own], **named}


class TestCurve(Callback):
    """Measures the test split after each validation of a fit. Nothing is decided by it.

    Args:
        train: whether to measure the whole training split as well, by the labels that are trained.
    """

    __test__ = False  # no test case, whatever its name begins with

    def __init__(self, train: bool = False) -> None:
        self.train = train
        self.rows: list[dict[str, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row: the epoch, from 0, and ``test_acc`` (and ``train_acc``) of every read-out."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by the Trainer
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if not isinstance(pl_module, SupervisedModule) or not isinstance(data, BaseDataModule):
            return
        row: dict[str, float] = {"epoch": trainer.current_epoch}
        for split, loader in (("test", data.test_dataloader), ("train", data.train_evaluation_dataloader)):
            if split == "test" or self.train:
                row |= {f"{split}_{k}": v for k, v in measure(trainer, pl_module, data, loader()).items()}
        self.rows.append(row)
