"""Checkpoints that were written beside another version of torch, whose classes had other arguments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import al_lightning as al
from al_lightning.checkpoints.contents import read_checkpoint
from al_lightning.cli.main import main

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]


@pytest.fixture
def written() -> tuple[str, dict[str, Any]]:
    """A checkpoint of a command, and what it holds."""
    parts = ["--model.optimizer=SGD", "--model.optimizer.lr=0.1", "--model.lr_scheduler=StepLR",
             "--model.lr_scheduler.step_size=2"]  # fmt: skip
    stopping = [
        "--trainer.callbacks+=EarlyStopping",
        "--trainer.callbacks.monitor=val_acc",
        "--trainer.callbacks.mode=max",
    ]
    run = [
        "fit",
        *stopping,
        "--model=MLPAL",
        "--model.hidden_dims=[8]",
        *parts,
        "--data=Digits",
        "--data.train_samples=200",
    ]
    path = main([*run, "--trainer.max_epochs=1", *QUIET]).trainer.checkpoint_callback.last_model_path
    return path, torch.load(path, weights_only=True)


def parts_of(checkpoint: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    init_args = checkpoint["al_lightning"]["model"]["init_args"]
    return init_args["optimizer"]["init_args"], init_args["lr_scheduler"]["init_args"]


def test_arguments_that_are_gone_and_ask_for_nothing(written: tuple[str, dict[str, Any]]) -> None:
    """``verbose`` was torch 2.6's; a flag of a newer torch is read by an older one."""
    path, checkpoint = written
    optimizer, scheduler = parts_of(checkpoint)
    scheduler["verbose"], optimizer["some_later_flag"] = "deprecated", False
    (stopping,) = checkpoint["al_lightning"]["trainer"]["callbacks"]
    stopping["init_args"]["a_later_flag"] = None
    torch.save(checkpoint, path)
    tested = main(["test", "--ckpt_path", path, *QUIET])
    assert tested.model.optimizer([torch.zeros(1, requires_grad=True)]).defaults["lr"] == 0.1
    resumed = main(["fit", "--ckpt_path", path, "--trainer.max_epochs=2", *QUIET])
    assert resumed.trainer.current_epoch == 2
    module = al.MLPAL.load_from_checkpoint(path)
    steps = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    assert module.lr_scheduler(steps).step_size == 2


def test_arguments_that_are_gone_and_ask_for_something(written: tuple[str, dict[str, Any]]) -> None:
    path, checkpoint = written
    parts_of(checkpoint)[0]["sparsely"] = 0.5
    torch.save(checkpoint, path)
    with pytest.warns(UserWarning, match=r"says sparsely=0.5 of torch.optim.SGD, .* does not accept. It is left out"):
        read = read_checkpoint(path)
    assert "sparsely" not in parts_of(read)[0]


def test_the_model_and_what_is_not_imported_are_left_alone(written: tuple[str, dict[str, Any]]) -> None:
    path, checkpoint = written
    init_args = checkpoint["al_lightning"]["model"]["init_args"]
    init_args |= {"gone": None, "optimizer": {"class_path": "not_imported.Fast", "init_args": {"lr": 1}}}
    torch.save(checkpoint, path)
    Path("not_imported.py").write_text("raise SystemExit('imported')")
    assert read_checkpoint(path)["al_lightning"]["model"]["init_args"] == init_args
    assert "not_imported" not in sys.modules
