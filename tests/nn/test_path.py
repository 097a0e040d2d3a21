"""Inference paths as modules of their own."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import K, hand_layers

import al_lightning as al
from al_lightning.nn.exits import exit_early
from al_lightning.nn.path import InferencePath, all_paths
from al_lightning.nn.stack import LayerStack


def reference(layers: list[al.ALLayer], x: torch.Tensor, k: int) -> torch.Tensor:
    """Algorithm 3, written out."""
    s = x
    for layer in layers[:k]:
        s = layer.f(s)
    t = layers[k - 1].b(s)
    for layer in layers[:k][::-1]:
        t = layer.h(t)
    return t


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_path_computes_algorithm_3_and_holds_nothing_else(k: int) -> None:
    layers = hand_layers(3)
    x = torch.randn(5, 6)
    path = InferencePath(layers[:k])
    torch.testing.assert_close(path(x), reference(layers, x, k))
    used = {id(p) for layer in layers[:k] for part in (layer.f, layer.h) for p in part.parameters()}
    used |= {id(p) for p in layers[k - 1].b.parameters()}
    assert {id(p) for p in path.parameters()} == used
    assert path.parameter_count() == sum(p.numel() for p in path.parameters())
    path(x).sum().backward()  # and its gradients reach the layers that it shares
    assert all((p.grad is not None) == (id(p) in used) for layer in layers for p in layer.parameters())


def test_the_module_answers_by_its_paths() -> None:
    module = al.ALModule(hand_layers(3), K).eval()
    x = torch.randn(5, 6)
    for k, (_, scores) in enumerate(all_paths(module.layers.active(), x), 1):
        torch.testing.assert_close(module.path(k)(x), scores)
        torch.testing.assert_close(module(x, path_length=k), scores)
        assert module.inference_parameters(k) == module.path(k).parameter_count()


def test_early_exits_compact_the_batch() -> None:
    layers = hand_layers(3)
    sizes: list[int] = []
    for layer in layers:
        layer.f.register_forward_pre_hook(lambda f, args: sizes.append(len(args[0])))
    x = torch.randn(6, 6)
    sure = torch.tensor([True, False, False, True, False, False])
    scores, exits = exit_early(layers, x, lambda path, k: sure if k == 1 else torch.tensor([False, True, False, False]))
    assert exits.tolist() == [1, 3, 2, 1, 3, 3]
    assert sizes == [6, 4, 3]
    sizes.clear()
    for row, k in enumerate(exits.tolist()):
        torch.testing.assert_close(scores[row], reference(layers, x, k)[row])


def test_the_depth_of_a_stack_travels_with_its_weights() -> None:
    stack = LayerStack(hand_layers(3), 2)
    assert len(stack.active()) == 2
    assert copy.deepcopy(stack).active_depth == 2
    other = LayerStack(hand_layers(3))
    assert other.active_depth == 3
    other.load_state_dict(stack.state_dict())
    assert other.active_depth == 2
    with pytest.raises(ValueError, match=r"`path_length` to be in 1\.\.2"):
        other.path(3)
    with pytest.raises(ValueError, match="at least one layer"):
        LayerStack([])
