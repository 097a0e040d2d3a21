"""ALLayer against equation 3 written out, then where gradients go, then the state helpers."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from conftest import K, hand_layers
from torch import Tensor, nn

from al_lightning import ALLayer, detach
from al_lightning.nn.state import select


def one_hot(n: int = 7) -> Tensor:
    return torch.eye(K)[torch.arange(n) % K]


def test_losses_are_equation_3() -> None:
    (layer,) = hand_layers(1)
    x, t = torch.randn(7, 6), one_hot()
    s_next, t_next, losses = layer(x, t)
    f, b, g, h = (dict(part.named_parameters()) for part in (layer.f, layer.b, layer.g, layer.h))
    s = torch.tanh(x @ f["0.weight"].T + f["0.bias"])
    code = torch.tanh(t @ g["0.weight"].T + g["0.bias"])
    associated = sum(((s[n] @ b["weight"].T + b["bias"] - code[n]) ** 2).sum() for n in range(7)) / (7 * 5)
    reconstruction = (((code @ h["weight"].T + h["bias"]) - t) ** 2).sum() / (7 * K)
    torch.testing.assert_close(s_next, s)
    torch.testing.assert_close(t_next, code)
    torch.testing.assert_close(losses.associated, associated)
    torch.testing.assert_close(losses.reconstruction, reconstruction)


def test_cross_entropy_reads_the_target_as_one_hot() -> None:
    (layer,) = hand_layers(1, reconstruction_loss="cross_entropy")
    _, t_next, losses = layer(torch.randn(7, 6), one_hot())
    logits = layer.h(t_next)
    expected = (logits.exp().sum(-1).log() - logits[torch.arange(7), torch.arange(7) % K]).mean()
    torch.testing.assert_close(losses.reconstruction, expected)


@pytest.mark.parametrize("detached", [False, True])
def test_where_gradients_go(detached: bool) -> None:
    """Algorithm 2: the associated loss trains f, b and g (not g if detached); reconstruction trains g and h."""
    (layer,) = hand_layers(1, detach_target=detached)

    def trained_by(which: int) -> set[str]:
        layer.zero_grad()
        layer(torch.randn(7, 6), one_hot())[2][which].backward()
        return {name for name in "fbgh" if any(p.grad is not None and p.grad.abs().sum() > 0
                                               for p in getattr(layer, name).parameters())}  # fmt: skip

    assert trained_by(0) == ({"f", "b"} if detached else {"f", "b", "g"})
    assert trained_by(1) == {"g", "h"}


def test_losses_are_float32_at_least() -> None:
    (layer,) = hand_layers(1)
    losses = layer.bfloat16()(torch.randn(7, 6).bfloat16(), one_hot().bfloat16())[2]
    assert {loss.dtype for loss in losses} == {torch.float32}
    losses = layer.double()(torch.randn(7, 6).double(), one_hot().double())[2]
    assert {loss.dtype for loss in losses} == {torch.float64}


def test_a_layer_keeps_nothing() -> None:
    (layer,) = hand_layers(1)
    before = set(vars(layer))
    layer(torch.randn(7, 6), one_hot())
    assert set(vars(layer)) == before


class Masked(NamedTuple):
    features: Tensor
    mask: Tensor


def test_states_may_be_named_tuples() -> None:
    state = Masked(torch.randn(3, 2, requires_grad=True) * 2, torch.tensor([[True], [False], [True]]))
    cut = detach(state)
    assert isinstance(cut, Masked)
    assert not cut.features.requires_grad
    assert cut.features.data_ptr() == state.features.data_ptr()
    kept = select(state, torch.tensor([True, False, True]))
    torch.testing.assert_close(kept.features, state.features[[0, 2]])
    assert kept.mask.tolist() == [[True], [True]]


@pytest.mark.parametrize("state", [[torch.zeros(1)], (torch.zeros(1),), None])
def test_other_states_are_refused(state: object) -> None:
    with pytest.raises(TypeError, match="tensor or a NamedTuple"):
        detach(state)


def test_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="'mse' or 'cross_entropy' or 'binary_cross_entropy', but got 'mae'"):
        ALLayer(nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity(), reconstruction_loss="mae")  # type: ignore[arg-type]
