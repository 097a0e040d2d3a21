"""What cannot be an AL layer is refused by the number and name of its block; looking leaves nothing behind."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import pytest
import torch
from small_networks import SmallResNet
from torch import Tensor, nn

import al_lightning as al
from al_lightning.nn.examine import examine
from al_lightning.nn.sequence import TokenSequence

X = torch.zeros(1, 6)


class Function(nn.Module):
    """Calls a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class Strange(NamedTuple):
    features: Tensor
    names: str


def test_states_are_those_of_two_samples() -> None:
    blocks = [nn.Linear(6, 8), nn.Sequential(nn.BatchNorm1d(8), nn.Tanh())]
    states = examine(blocks, torch.ones(5, 6))
    expected = blocks[0](torch.ones(2, 6))
    torch.testing.assert_close(states[0], expected.detach())
    torch.testing.assert_close(states[1], blocks[1].eval()(expected).detach())


def test_nothing_is_left_of_it() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 4)).train()
    net[1].eval()
    before = copy.deepcopy(net.state_dict())
    example = torch.zeros(1, 1, 4, 4)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    examine([net[:3], net[3:]], example)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [part.training for part in net] == [True, False, True, True, True]
    assert not any(p.grad is not None for p in net.parameters())
    assert not example.any()


def linear(a: int, b: int) -> nn.Module:
    return nn.Linear(a, b)


SHARED = nn.Linear(6, 6)
NORM = nn.BatchNorm1d(6, affine=False)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([linear(6, 8), nn.ReLU(inplace=True)], r"block 2 \(ReLU\) to leave what it reads as it is.* works in place on it"),
        ([linear(6, 8), nn.Sequential(nn.Dropout(0.5, inplace=True), linear(8, 8))], r"block 2 \(Sequential\) to leave what it reads"),
        ([nn.Flatten(), Function(lambda x: x.mul_(2))], r"block 2 \(Function\) to leave what it reads"),
        ([linear(6, 8), Function(lambda x: (x, x))], r"block 2 \(Function\) to return a tensor, or a NamedTuple of tensors, but got tuple"),
        ([Function(lambda x: {"x": x})], r"block 1 \(Function\) to return a tensor.* got dict"),
        ([Function(lambda x: Strange(x, "a"))], r"block 1 \(Function\) to return a tensor"),
        ([Function(lambda x: x[x > 0])], r"block 1 \(Function\) to return a row for each sample, but got \(0,\) for 2 samples"),
        ([Function(lambda x: x[:, x[0] > 0])], r"block 1 \(Function\) to return a row of the same shape for each sample"),
        ([Function(lambda x: x.sum())], r"block 1 \(Function\) to return a row for each sample, but got \(\) for 2"),
        ([Function(lambda x: x.T)], r"block 1 \(Function\) to return a row for each sample, but got \(6, 2\)"),
        ([SHARED, nn.Sequential(SHARED, nn.Tanh())], r"weights of its own, but 0.weight of block 2 \(Sequential\) is weight of block 1"),
        ([NORM, nn.Sequential(NORM)], "0.running_mean of block 2 .* is running_mean of block 1"),
        ([linear(6, 8), linear(9, 8)], r"block 2 \(Linear\) to read a state of shape \(2, 8\), but it cannot \(mat1"),
        ([linear(5, 8)], r"block 1 \(Linear\) to read a state of shape \(2, 6\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_layer_is_named(blocks: list[nn.Module], said: str) -> None:
    with pytest.raises(ValueError, match=f"Expected .*{said}"):
        al.to_al_layers(blocks, 4, X)


def test_named_tuples_of_tensors_are_states() -> None:
    """The first returns one, the second reads it; only the bridges have to know it."""
    first = Function(lambda x: TokenSequence(x.unsqueeze(-1), torch.full((len(x),), 6)))
    states = examine([first, Function(lambda s: TokenSequence(s.features * 2, s.lengths))], X)
    assert [state.features.shape for state in states] == [(2, 6, 1), (2, 6, 1)]
    with pytest.raises(
        ValueError, match=r"block 1 \(Function\) to return a tensor, but got TokenSequence. Give `associate`"
    ):
        al.to_al_layers([first], 4, X)


def test_sequences_are_bridged_by_their_mean() -> None:
    """Patches of an image, (B, T, D): layer norm of the mean, then a Linear."""
    blocks = [nn.Sequential(nn.Flatten(2), nn.Linear(9, 5))]
    (layer,) = al.to_al_layers(blocks, 4, torch.zeros(1, 2, 3, 3), 6)
    s = torch.randn(7, 2, 5)
    mean = s.numpy().mean(1)
    normed = (mean - mean.mean(-1, keepdims=True)) / (mean.var(-1, keepdims=True) + 1e-5) ** 0.5
    linear = layer.b[-1]
    expected = torch.from_numpy(normed) @ linear.weight.T + linear.bias
    torch.testing.assert_close(layer.b(s), expected, atol=1e-5, rtol=1e-4)
    (paper,) = al.to_al_layers(blocks, 4, torch.zeros(1, 2, 3, 3), 6, bridge="paper")
    assert paper.b[1].in_features == 10


def test_a_residual_network_is_a_block_too() -> None:
    layers = al.to_al_layers([SmallResNet(3, 4, 1, classes=5), nn.Linear(5, 6)], 4, torch.zeros(1, 3, 8, 8), 6)
    assert [layer.b.in_features for layer in layers] == [5, 6]
