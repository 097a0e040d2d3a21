"""Calibrated temperatures: the minimum of the cross-entropy, and probabilities that match accuracy."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, loader
from networks import al_module
from torch import Tensor, nn

Make = Callable[..., pl.Trainer]


def test_temperature_minimises_cross_entropy() -> None:
    from al_lightning.targets.temperature import FittedTemperature

    torch.manual_seed(0)
    y = torch.randint(K, (500,))
    scores: Tensor = 0.05 * torch.eye(K)[y] + 0.03 * torch.randn(500, K)
    fit = FittedTemperature()
    for part, labels in zip(scores.split(100), y.split(100)):
        fit.update(part, labels)
    found = float(fit.compute())
    grid = torch.logspace(-2, 2, 4001)
    losses = [float(nn.functional.cross_entropy(scores / t, y)) for t in grid]
    assert found == pytest.approx(float(grid[losses.index(min(losses))]), rel=3e-3)


def test_calibrated_probabilities_match_accuracy(trainer: Make) -> None:
    """The mean confidence of a fitted module equals its accuracy on the validation data, roughly."""
    module = al_module()
    fitted = trainer(max_epochs=30)
    fitted.fit(module, loader(n=200), loader(n=200, seed=0))
    x = torch.cat([b[0] for b in loader(n=200)])
    confidence = module.eval().probabilities(module(x)).amax(-1).mean().detach()
    assert float(confidence) == pytest.approx(float(fitted.callback_metrics["val_acc"]), abs=0.05)
