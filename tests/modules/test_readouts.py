"""Associations and read-outs of whole modules: metrics, calibration, checkpoints, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader
from networks import AL, ARCHITECTURES, batches, build, inputs
from target_kinds import Numbers
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.callbacks import Checkpoint
from al_lightning.nn.path import CodePath

Make = Callable[..., pl.Trainer]
WAYS = ("path", "codes", "mean")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in AL if name in ARCHITECTURES),
        *((name, {"code_start": "simplex", "temperature": 0.2}) for name in ("CNNAL", "LSTMAL")),  # of images, of text
    ],
)
def test_every_architecture_learns_by_contrast(name: str, options: dict[str, Any], trainer: Make) -> None:
    module = build(name, association="contrast", readout="codes", **options)
    assert {layer.association for layer in module.layers} == {"contrast"}
    start = {n: p.detach().clone() for n, p in module.named_parameters()}
    fitted = trainer(max_epochs=2)
    fitted.fit(module, batches(name), batches(name, 12))
    assert all(not torch.equal(start[n], p) for n, p in module.named_parameters())
    metrics, depth = fitted.callback_metrics, len(module.layers)
    assert {f"val_acc_{way}{k}" for way in WAYS for k in range(1, depth + 1)} <= set(metrics)
    assert metrics["val_acc"] == metrics[f"val_acc_codes{depth}"]
    scores = module.eval()(inputs(name))
    torch.testing.assert_close(module.probabilities(scores).sum(-1), torch.ones(5))


def test_read_outs_by_codes_have_the_temperature_of_the_loss() -> None:
    module = al.ALModule(hand_layers(2, association="contrast", temperature=0.5), K).eval()
    x = torch.randn(3, 6)
    association = module.layers[1].b(module.layers[1].f(module.layers[0].f(x)))
    codes = module.layers[1].g(module.layers[0].g(torch.eye(K)))
    scores = torch.nn.functional.cosine_similarity(association[:, None], codes[None], dim=-1) / 0.5
    torch.testing.assert_close(module.forward_paths(x, "codes")[1], scores)
    torch.testing.assert_close(CodePath(list(module.layers), torch.eye(K))(x), scores)


def test_a_batch_of_another_size_or_with_absent_classes_is_learned() -> None:
    module = al.ALModule(hand_layers(3, association="contrast"), K)
    x, y = torch.randn(5, 6), torch.tensor([2, 2, 2, 2, 2])
    losses, scores = module.evaluate(x, y)
    assert losses.isfinite().all()
    assert scores["codes3"].shape == (5, K)


def test_metrics_are_those_of_their_read_outs(trainer: Make) -> None:
    module = al.ALModule(hand_layers(3), K, readout="mean", path_length=2)
    tested = trainer()
    (metrics,) = tested.test(module, loader(), verbose=False)
    x, y = (torch.cat(parts) for parts in zip(*loader()))
    for way, readout in zip(WAYS, ("decoder", "codes", "mean")):
        for k, scores in enumerate(module.eval().forward_paths(x, readout), 1):  # type: ignore[arg-type]
            expected = float((scores.argmax(-1) == y).float().mean())
            assert metrics[f"test_acc_{way}{k}"] == pytest.approx(expected)
    assert metrics["test_acc"] == metrics["test_acc_mean2"]


@pytest.mark.parametrize("association", ["mse", "contrast"])
def test_losses_of_every_layer_are_validated(association: Any, trainer: Make) -> None:
    """Associated loss by depth, as Tables 9 and 10 have it, over batches of 8 and 3 samples."""
    module = al.ALModule(hand_layers(2, association=association), K)
    (metrics,) = trainer().validate(module, loader(n=11), verbose=False)
    sums = torch.zeros(4)
    for x, y in loader(n=11):
        s, t = x, module.encode(y)
        for i, layer in enumerate(module.layers):
            s, t, losses = layer(s, t)
            sums[2 * i : 2 * i + 2] += len(y) * torch.stack(losses).detach()
    for i in (0, 1):
        assert metrics[f"val_layer{i + 1}_associated"] == pytest.approx(float(sums[2 * i]) / 11)
        assert metrics[f"val_layer{i + 1}_reconstruction"] == pytest.approx(float(sums[2 * i + 1]) / 11)
    assert metrics["val_loss"] == pytest.approx(float(sums.sum()) / 11)


def test_every_read_out_is_calibrated_by_itself(trainer: Make) -> None:
    optimizer = functools.partial(torch.optim.Adam, lr=1e-2)
    module = al.ALModule(hand_layers(3, association="contrast"), K, optimizer=optimizer)
    trainer(max_epochs=10).fit(module, loader(), loader(n=200, seed=0))
    x, y = (torch.cat(parts) for parts in zip(*loader(n=200, seed=0)))
    found = []
    for k in (1, 2, 3):
        for readout in ("decoder", "codes", "mean"):
            scores = module.eval()(x, k, readout).detach()
            temperature = module.calibration.temperatures[
                module.active_readouts().index(module.readout_name(k, readout))
            ]
            torch.testing.assert_close(module.probabilities(scores, k, readout), (scores / temperature).softmax(-1))

            def loss(t: float, scores: Tensor = scores) -> float:
                return float(torch.nn.functional.cross_entropy(scores / t, y))

            best = float(temperature)
            assert loss(best) <= min(loss(0.8 * best), loss(1.25 * best)) + 1e-6
            found.append(best)
    assert len(set(found)) >= 7  # mean1 is codes1


def test_a_checkpoint_remembers_its_read_out_and_another_may_be_asked_for(trainer: Make, tmp_path: Path) -> None:
    module = al.MLPAL(4, 1, 4, hidden_dims=[8, 8], association="contrast", readout="codes")
    data = loader(shape=(1, 4, 4))
    trainer(max_epochs=1, callbacks=[Checkpoint(str(tmp_path))]).fit(module, data, data)
    loaded = al.MLPAL.load_from_checkpoint(tmp_path / "best.ckpt")
    assert (loaded.readout, loaded.layers[0].association) == ("codes", "contrast")
    x = torch.randn(3, 1, 4, 4)
    torch.testing.assert_close(loaded(x), module.eval()(x, readout="codes"))
    other = al.MLPAL.load_from_checkpoint(tmp_path / "best.ckpt", readout="decoder")
    torch.testing.assert_close(other(x), module(x, readout="decoder"))


def test_growing_keeps_the_names_of_read_outs(trainer: Make) -> None:
    module = al.ALModule(hand_layers(3, association="contrast"), K, active_depth=2, readout="codes")
    assert module.active_readouts() == ["path1", "codes1", "mean1", "path2", "codes2", "mean2"]
    fitted = trainer(max_epochs=1)
    fitted.fit(module, loader(), loader())
    assert "val_acc_codes2" in fitted.callback_metrics
    assert "val_acc_codes3" not in fitted.callback_metrics
    temperatures = module.calibration.temperatures.clone()
    module.active_depth = 3
    assert module.readout_name() == "codes3"
    assert torch.equal(module.calibration.temperatures[:6], temperatures[:6])
    assert (temperatures[6:] == 1).all()


def test_a_label_that_is_no_class_is_named(trainer: Make) -> None:
    module = al.ALModule(hand_layers(2, association="contrast"), K)
    codes = module.encode(torch.tensor([1, K]))
    assert codes.codes.isnan().all()  # type: ignore[union-attr]
    data = DataLoader(TensorDataset(torch.randn(2, 6), torch.tensor([1, K])), batch_size=2)
    with pytest.raises(ValueError, match=f"labels in 0..{K - 1}, but the batch holds {K}"):
        trainer(max_epochs=1).fit(module, data)


@pytest.mark.parametrize("option", ["association", "readout"])
def test_kinds_of_target_without_classes_have_neither(option: str) -> None:
    value: Any = {"association": "contrast", "readout": "codes"}[option]
    with pytest.raises(ValueError, match=f"`{option}` to be '(mse|decoder)' for a Numbers, but got '{value}'"):
        al.MLPAL(target=Numbers(2), in_channels=1, image_size=4, hidden_dims=[8], **{option: value})
    if option == "association":
        with pytest.raises(ValueError, match="`association` to be 'mse' for a Numbers"):
            al.ALModule(hand_layers(1, association="contrast"), target=Numbers(K))
    module = al.ALModule(hand_layers(1), target=Numbers(K))
    assert module.active_readouts() == ["path1"]
    with pytest.raises(ValueError, match="`readout` to be 'decoder' for a Numbers, but got 'mean'"):
        module(torch.randn(2, 6), readout="mean")


def test_unknown_read_outs_and_associations_are_refused() -> None:
    with pytest.raises(ValueError, match="`readout` to be 'decoder' or 'codes' or 'mean' for a ClassTarget, but got"):
        al.ALModule(hand_layers(1), K, readout="nearest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`association` to be .* for a ClassTarget, but got 'cosine'"):
        al.MLPAL(K, 1, 4, hidden_dims=[8], association="cosine")  # type: ignore[arg-type]
