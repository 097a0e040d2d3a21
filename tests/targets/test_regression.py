"""A target kind of one's own: numbers, defined here and not in the package, through everything that a run is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping
from target_kinds import Numbers
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.callbacks import Checkpoint, PredictionWriter

Make = Callable[..., pl.Trainer]


def data(n: int = 96, batch_size: int = 16, seed: int = 0) -> DataLoader[Any]:
    """Numbers that a network can find: linear in the image's pixels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((n, 1, 4, 4), generator=generator)
    weights = torch.linspace(-1, 1, 32).view(16, 2) / 2
    return DataLoader(TensorDataset(x, (x.flatten(1) @ weights).tanh()), batch_size=batch_size)


def build(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    sizes = dict(in_channels=1, image_size=4, hidden_dims=[32, 32], optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))
    return getattr(al, name)(target=Numbers(2), **{**sizes, **options})


@pytest.mark.parametrize("name", ["MLPAL", "MLPBP"])
def test_fit_test_predict_and_checkpoint(name: str, trainer: Make, tmp_path: Path) -> None:
    kept = Checkpoint(dirpath=str(tmp_path))
    module = build(name)
    x, y = next(iter(data(seed=1)))
    untrained = F.mse_loss(module.eval()(x), y).detach()
    fitted = trainer(max_epochs=15, callbacks=[kept, EarlyStopping("val_mse", patience=15)])
    fitted.fit(module, data(), data(seed=1))
    assert kept.monitor == "val_mse"
    assert kept.mode == "min"
    assert float(kept.best_model_score) == min(float(v) for v in kept.best_k_models.values())
    assert float(fitted.callback_metrics["val_mse"]) < 0.3 * float(untrained)
    assert not {"val_acc", "test_acc"} & set(fitted.callback_metrics)
    if name == "MLPAL":
        assert {"val_mse_path1", "val_mse_path2"} <= set(fitted.callback_metrics)
    (tested,) = trainer().test(module, data(seed=1), verbose=False)
    scores = torch.cat([module.eval()(x) for x, _ in data(seed=1)]).detach()
    truth = torch.cat([y for _, y in data(seed=1)])
    assert tested["test_mse"] == pytest.approx(float(F.mse_loss(scores, truth)), rel=1e-5)

    writer = PredictionWriter(str(tmp_path / "numbers.csv"))
    outputs = trainer(callbacks=[writer]).predict(module, data(seed=1))
    assert outputs is not None
    torch.testing.assert_close(torch.cat(outputs), scores)  # type: ignore[arg-type]
    with open(tmp_path / "numbers.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["sample", "first", "last"]
    assert float(rows[3][2]) == pytest.approx(float(scores[2, 1]), abs=1e-4)

    plain = build(name, optimizer=torch.optim.Adam)  # a lambda has no plain form
    fitted = trainer(max_epochs=1)
    fitted.fit(plain, data())
    fitted.save_checkpoint(tmp_path / "numbers.ckpt")
    entry = torch.load(tmp_path / "numbers.ckpt", weights_only=True)["al_lightning"]["model"]
    assert entry["init_args"]["target"]["init_args"] == {"dim": 2}
    again = getattr(al, name).load_from_checkpoint(tmp_path / "numbers.ckpt", target=Numbers(2))
    x = next(iter(data()))[0]
    assert torch.equal(again(x), plain.eval()(x))


def test_the_first_layer_is_reconstructed_by_what_the_target_allows(trainer: Make) -> None:
    module = build("MLPAL")
    assert module.layers[0].reconstruction_loss == "mse"
    assert module.layers[0].h.out_features == 2
    with pytest.raises(ValueError, match="`reconstruction_loss` to be 'mse' for a Numbers, but got 'cross_entropy'"):
        build("MLPAL", reconstruction_loss="cross_entropy")


def test_a_stack_of_hand_made_layers_and_a_plain_network_learn_numbers(trainer: Make) -> None:
    layers = al.to_al_layers([nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh())], 2, torch.zeros(1, 1, 4, 4), 6,
                             reconstruction_loss="mse")  # fmt: skip
    for module in (al.ALModule(layers, target=Numbers(2)), al.BPModule(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)),
                                                                      target=Numbers(2))):  # fmt: skip
        fitted = trainer(max_epochs=2)
        fitted.fit(module, data(), data(seed=1))
        assert "val_mse" in fitted.callback_metrics


def test_what_numbers_cannot_is_said(trainer: Make) -> None:
    module = build("MLPAL").eval()
    x = next(iter(data()))[0]
    with pytest.raises(ValueError, match="predictions that say how sure they are, but those of Numbers do not"):
        module.forward_adaptive(x, 0.5)
    classes = DataLoader(TensorDataset(x, torch.arange(len(x)) % 2), batch_size=8)
    with pytest.raises(ValueError, match=r"numbers of shape \(B, 2\), but got \(8,\)"):
        trainer(max_epochs=1).fit(build("MLPAL"), classes)
    for wrong in (dict(num_classes=2), dict(class_names=["a", "b"])):
        with pytest.raises(ValueError, match="or else a `target` of another kind"):
            build("MLPAL", **wrong)
    with pytest.raises(ValueError, match="Expected `num_classes`"):
        al.MLPAL()
