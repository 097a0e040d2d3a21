"""Dropout of a training run: masks of layers, batches and epochs, from a stream of their own."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from networks import with_dropout

Make = Callable[..., pl.Trainer]


def test_dropout_has_a_stream_of_its_own(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The global stream is neither read nor moved, and layer, batch and epoch have different masks."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    finals = []
    for disturbance in (0, 3):
        torch.manual_seed(0)
        module = with_dropout()
        torch.manual_seed(disturbance)
        before = torch.get_rng_state()
        trainer(max_epochs=2).fit(module, loader(n=24))
        assert torch.equal(before, torch.get_rng_state())
        assert module.run_seed == 5
        finals.append([p.detach().clone() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*finals))


def test_masks_differ_by_layer_batch_and_epoch(trainer: Make) -> None:
    module = with_dropout()
    masks: list[tuple[bool, ...]] = []
    for layer in module.layers:
        layer.f[-1].register_forward_hook(lambda m, args, out: masks.append(tuple((out == 0).flatten().tolist())))
    trainer(max_epochs=3).fit(module, loader(n=16))
    assert len(masks) == 12
    assert len(set(masks)) == 12
