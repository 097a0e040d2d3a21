"""What looking for a GPU costs is saved where there is none, and the environment is left as it was."""

from __future__ import annotations

import os
from collections.abc import Callable

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader

import al_lightning as al
from al_lightning.training.devices import NoGPU

NAME = "PYTORCH_NVML_BASED_CUDA_CHECK"


class Look(pl.Callback):
    """What the variable says while batches train."""

    def __init__(self, error: type[BaseException] | None = None) -> None:
        self.seen: set[str | None] = set()
        self.error = error

    def on_train_batch_end(self, *args: object) -> None:
        self.seen.add(os.environ.get(NAME))
        if self.error is not None:
            raise self.error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("error", [None, ValueError])
def test_only_while_training(
    error: type[BaseException] | None, trainer: Callable[..., pl.Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, "1")
    look = Look(error)
    fitted = trainer(max_epochs=1, callbacks=[look], enable_checkpointing=False)
    module = al.ALModule(hand_layers(2), K)
    if error is None:
        fitted.fit(module, loader())
    else:
        with pytest.raises(error):
            fitted.fit(module, loader())
    assert look.seen == {"0"}
    assert os.environ[NAME] == "1"


@pytest.mark.parametrize(("before", "gpu", "during"), [("1", False, "0"), ("1", True, "1"), (None, False, None)])
def test_nothing_changes_where_there_is_a_gpu_or_nobody_asked(
    before: str | None, gpu: bool, during: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if before is not None:
        monkeypatch.setenv(NAME, before)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    no_gpu = NoGPU()
    no_gpu.start()
    assert os.environ.get(NAME) == during
    no_gpu.stop()
    assert os.environ.get(NAME) == before
