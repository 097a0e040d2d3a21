"""The networks of the paper's ablation study (Table 6): what each leaves out, against plain torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from networks import ARCHITECTURES, batches, build, inputs
from torch import nn

import al_lightning as al

Make = Callable[..., pl.Trainer]
SGD = functools.partial(torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n.endswith("AL")])
def test_without_autoencoders_every_bridge_is_a_classifier(name: str) -> None:
    module = build(name, association="cross_entropy").eval()
    assert not [p for layer in module.layers for part in (layer.g, layer.h) for p in part.parameters()]
    x, y = inputs(name), torch.tensor([0, 1, 2, 3, 1])
    losses, _ = module.evaluate(x, y)
    s = module.read_input(x)
    for k, layer in enumerate(module.layers, 1):
        s = layer.f(s)
        logits = layer.b(s)
        torch.testing.assert_close(module(x, k), logits)
        torch.testing.assert_close(losses[2 * (k - 1)], F.cross_entropy(logits, y))
        assert losses[2 * k - 1] == 0


def test_classifiers_learn_locally(trainer: Make) -> None:
    """One epoch equals plain torch: each layer by the cross-entropy of its own classifier, on detached features."""
    module = build("MLPAL", association="cross_entropy", optimizer=SGD)
    twin = build("MLPAL", association="cross_entropy")
    twin.load_state_dict(module.state_dict())
    trainer(max_epochs=1, enable_checkpointing=False).fit(module, batches("MLPAL"))
    optimizers = [SGD([*layer.f.parameters(), *layer.b.parameters()]) for layer in twin.layers]
    for x, y in batches("MLPAL"):
        s = x
        for layer, optimizer in zip(twin.layers, optimizers):
            s = layer.f(s)
            optimizer.zero_grad()
            F.cross_entropy(layer.b(s), y).backward()
            optimizer.step()
            s = s.detach()
    for ours, theirs in zip(module.parameters(), twin.parameters()):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["LSTMAL", "TransformerAL"])
def test_a_single_layer_trains_the_trunk_end_to_end(name: str, trainer: Make) -> None:
    module = build(name, single_layer=True).eval()
    assert len(module.layers) == 1
    split, one = build(name), module.layers[0]
    assert [p.shape for layer in split.layers for p in layer.f.parameters()] == [p.shape for p in one.f.parameters()]
    x = inputs(name)
    s = module.read_input(x)
    for part in one.f:
        s = part(s)
    torch.testing.assert_close(module(x), one.h(one.b(s)), atol=1e-6, rtol=1e-5)
    module.evaluate(x, torch.tensor([0, 1, 2, 3, 0]))[0].sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in one.f[0].parameters())
    module.train().zero_grad()
    trainer(max_epochs=1, enable_checkpointing=False).fit(module, batches(name))


def test_a_deeper_head() -> None:
    module = build("LSTMBP", head_dims=[7, 6])
    head = module.net[-1]
    assert [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)] == [(10, 7), (7, 6), (6, 4)]
    assert module(inputs("LSTMBP")).shape == (5, 4)
    assert isinstance(build("LSTMBP").net[-1], nn.Linear)
    with pytest.raises(ValueError, match=r"`head_dims` to hold widths of at least 1, but got \[0\]"):
        build("LSTMBP", head_dims=[0])


def test_layers_by_hand_may_classify() -> None:
    layer: Any = al.ALLayer(nn.Identity(), nn.Linear(6, 3), nn.Identity(), nn.Identity(), association="cross_entropy")
    x, t = torch.randn(4, 6), torch.eye(3)[[0, 2, 2, 1]]
    expected = -(layer.b(x).log_softmax(-1) * t).sum(-1).mean()
    torch.testing.assert_close(layer(x, t)[2].associated, expected)
