"""Trains the same networks in one process, as a pipeline, or data-parallel; for tests/strategies.

Run as ``python pipeline_worker.py ARGUMENTS.json``: Lightning's launcher starts the same command for the other ranks.
One launch trains all cases, one after the other.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import make_sets_tiny
from lightning.pytorch.loggers import Logger
from pipeline_cases import CASES, Read
from torch import Tensor
from torch.utils.data import DataLoader
from train_worker import Die, samples

from al_lightning.data import SST2
from al_lightning.strategies import PipelineStrategy


class Written(Logger):
    """Keeps what a logger is told."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    name = version = "written"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """None are kept."""


class Clock(pl.Callback):
    """When each batch was begun here, and when it was finished."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[float] = []
        self.finished: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.begun.append(time.monotonic())
        if trainer.global_rank == trainer.world_size - 1:
            time.sleep(self.seconds)

    def on_train_batch_end(self, *args: Any) -> None:
        self.finished.append(time.monotonic())


class SaveAt(pl.Callback):
    """Saves a checkpoint after so many steps, in the middle of an epoch."""

    def __init__(self, step: int | None, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


class AskToEnd(pl.Callback):
    """Sends SIGTERM to rank 0, whose launcher sends it on, while the others wait for it in a collective."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_rank == 0:
            time.sleep(1.0)
            signal.raise_signal(signal.SIGTERM)


class Weights(pl.Callback):
    """Whether all weights that a callback sees in validation are those of the last step, by a sum."""

    def __init__(self) -> None:
        self.sums: list[float] = []

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.sums.append(float(sum(p.double().sum() for p in pl_module.parameters())))


def run(name: str, folder: Path, devices: int = 1, strategy: str = "auto", **settings: Any) -> dict[str, Any]:
    """Train a case; every process returns what it ended with, and rank 0 leaves a checkpoint ``{name}.ckpt``.

    Args:
        name: of the run.
        folder: for the checkpoint.
        devices: number of processes.
        strategy: Lightning's name for one.
        settings: of the pipeline; also the ``case``, if the run has another name; ``ckpt_path`` to go on from;
            ``save_at`` which step, in place of the end; ``slow`` seconds that the last stage takes longer for a batch;
            the rank that is to ``die``; whether rank 1 is given other data (``unlike``), and whether the run is asked
            to end in validation (``ask_to_end``).
    """
    keys = ("case", "ckpt_path", "save_at", "slow", "die", "unlike", "ask_to_end")
    asked = {key: settings.pop(key, None) for key in keys}
    os.environ["PL_GLOBAL_SEED"] = "5"
    torch.manual_seed(11)
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    module, data, options = CASES[asked["case"] or name]()
    if asked["unlike"] and rank == 1:
        data = SST2(batch_size=8, val_fraction=0.3)
    options = {"max_epochs": 4, **options}
    torch.manual_seed(12)  # what orders the data of a user's own loader
    clock, seen = Clock(asked["slow"] or 0.0), Weights()
    callbacks: list[pl.Callback] = [seen, clock, SaveAt(asked["save_at"], folder / f"{name}.ckpt")]
    callbacks += [Die()] if asked["die"] == rank else []
    callbacks += [AskToEnd()] if asked["ask_to_end"] else []
    callbacks += [make() for make in options.pop("callbacks", ())]
    written = Written()
    trainer = pl.Trainer(
        **options, accelerator="cpu", devices=devices, logger=written, callbacks=callbacks,
        strategy=PipelineStrategy(**settings) if strategy == "al_pipeline" else strategy, log_every_n_steps=7,
        check_val_every_n_epoch=2, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    ours = not isinstance(data, DataLoader)
    validation = None if ours else _validation(module)
    trainer.fit(module, data, validation, ckpt_path=asked["ckpt_path"])
    if asked["save_at"] is None:
        trainer.save_checkpoint(folder / f"{name}.ckpt")
    return {
        "state": {k: v.clone() for k, v in module.state_dict().items()},
        "metrics": {k: float(v) for k, v in trainer.callback_metrics.items()},
        "logged": [(step, {k: float(v) for k, v in row.items()}) for step, row in written.rows],
        "step": trainer.global_step,
        "sums": seen.sums,
        "begun": clock.begun,
        "finished": clock.finished,
        "read": data.dataset.count if not ours and isinstance(data.dataset, Read) else None,
        "layers": None if strategy != "al_pipeline" else trainer.strategy.split.named(),
        "optimizer_elements": [sum(v.numel() for p in o.state.values() for v in p.values() if isinstance(v, Tensor))
                               for o in trainer.optimizers],
    }  # fmt: skip


def _validation(module: Any) -> DataLoader[Any] | None:
    """As many samples for each of two, three or four processes; none for targets of another kind."""
    return (
        None
        if not isinstance(module.target.encode_classes(torch.zeros(0).long()), tuple)
        else DataLoader(samples(36, 1), 3)
    )


def main(arguments: dict[str, Any]) -> None:
    """Run all cases on this rank and write ``rank{r}.pt`` beside the arguments."""
    faulthandler.dump_traceback_later(
        int(os.environ.get("AL_LIGHTNING_HANG", "600")) - 4 * int(os.environ.get("LOCAL_RANK", "0")), exit=True
    )  # nothing waits for ever, and whoever does says where
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]).parent
    make_sets_tiny(pytest.MonkeyPatch())
    results = {
        name: run(name, folder, arguments["devices"], arguments["strategy"], **settings)
        for name, settings in arguments["cases"].items()
    }
    torch.save(results, folder / f"rank{os.environ.get('LOCAL_RANK', '0')}.pt")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
