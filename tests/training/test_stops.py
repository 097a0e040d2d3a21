"""What stops a run, and what does not: losses that are no numbers, labels outside the classes, empty loaders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, loader
from networks import al_module, bp_module
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from al_lightning.callbacks import Checkpoint

Make = Callable[..., pl.Trainer]


def spoiled(value: float, batch: int, batches: int = 4) -> DataLoader[Any]:
    x, y = torch.randn(8 * batches, 6), torch.arange(8 * batches) % K
    x[8 * batch] = value
    return DataLoader(TensorDataset(x, y), batch_size=8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_itself(trainer: Make, tmp_path: Path, value: float) -> None:
    module = al_module()
    module.layers[0].f = nn.Linear(6, 8)
    kept = Checkpoint(dirpath=str(tmp_path), monitor=None, every_n_train_steps=1, save_top_k=-1)
    with pytest.raises(
        FloatingPointError, match=r"associated loss of layer 1 became (nan|inf) at batch 2 of epoch 0.*last\.ckpt"
    ):
        trainer(max_epochs=1, callbacks=[kept]).fit(module, spoiled(value, 2))
    assert all(bool(torch.isfinite(p).all()) for p in module.parameters())  # stopped before the step
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(bool(torch.isfinite(v).all()) for v in saved["state_dict"].values())


def test_the_layer_is_named(trainer: Make) -> None:
    module = al_module(3)
    with torch.no_grad():
        module.layers[1].h.bias.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="reconstruction loss of layer 2 became inf at batch 0"):
        trainer(max_epochs=1).fit(module, loader())


def test_sibling_stops_too(trainer: Make) -> None:
    with pytest.raises(FloatingPointError, match="training loss became nan at batch 1"):
        trainer(max_epochs=1).fit(bp_module(), spoiled(float("nan"), 1))


@pytest.mark.parametrize("make", [al_module, bp_module])
@pytest.mark.parametrize("label", [-1, K])
def test_labels_outside_the_classes(trainer: Make, make: Callable[..., Any], label: int) -> None:
    y = torch.arange(16) % K
    y[3] = label
    data = DataLoader(TensorDataset(torch.randn(16, 6), y), batch_size=8)
    module = make()
    before = [p.detach().clone() for p in module.parameters()]
    with pytest.raises(ValueError, match=rf"labels in 0\.\.{K - 1}, but the batch holds {label}"):
        trainer(max_epochs=1).fit(module, data)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))
    with pytest.raises(ValueError, match="but the batch holds"):
        trainer().test(module, data)
    with pytest.raises(ValueError, match=r"integer type, but got \(16, 4\)"):
        module.target.check(torch.eye(K)[torch.zeros(16, dtype=torch.long)])


@pytest.mark.parametrize("make", [al_module, bp_module])
def test_an_empty_loader_is_an_error_and_one_batch_is_not(trainer: Make, make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="at least one batch to train on, but the training loader is empty"):
        trainer(max_epochs=1).fit(make(), loader(n=0))
    fitted = trainer(max_epochs=1)
    fitted.fit(make(), loader(n=8))
    assert fitted.global_step == 1
    trainer(max_epochs=1, limit_train_batches=0).fit(make(), loader(n=8))  # asked for
