"""Networks cut into blocks: the blocks and the head compute what the network computes, of the network's own modules."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models as models
from small_networks import Own, Residual, SmallResNet, sequence
from torch import Tensor, nn

import al_lightning as al

VECTOR = torch.zeros(1, 6)
#: Networks of torchvision, for 32x32 images.
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet50": {},
    "vgg16": {},
    "mobilenet_v3_small": {},
    "mobilenet_v3_large": {},
    "convnext_tiny": {},
    "vit_b_16": {"image_size": 32},
}


def example() -> Tensor:
    return torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_and_head_are_the_network(name: str) -> None:
    """Bit for bit, in training and in evaluation; nothing is copied, and nothing is left out."""
    net = getattr(models, name)(num_classes=10, **NETWORKS[name])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    split = al.split_network(net, 4, example())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    whole = nn.Sequential(*split.blocks, split.head(10))
    assert len(split.blocks) == 4
    assert {id(p) for p in whole.parameters()} == {id(p) for p in net.parameters()}
    assert sum(len(list(block.parameters())) for block in whole) == len(list(net.parameters()))
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        for mode in (False, True):
            torch.manual_seed(1)  # dropout
            theirs = net.train(mode)(x)
            torch.manual_seed(1)
            assert torch.equal(whole.train(mode)(x), theirs)
    assert split.head(7)(whole[:-1](x)).shape == (3, 7)


def test_gradients_are_the_networks() -> None:
    net = models.resnet18(num_classes=10).eval()
    split = al.split_network(net, ["layer1.1", "layer3"], example())
    assert split.starts == ["conv1", "layer1.1", "layer3.0"]
    x, loss = torch.randn(2, 3, 32, 32), nn.CrossEntropyLoss()
    loss(net(x), torch.tensor([1, 2])).backward()
    theirs = {name: p.grad.clone() for name, p in net.named_parameters()}  # type: ignore[union-attr]
    net.zero_grad()
    loss(nn.Sequential(*split.blocks, split.head(10))(x), torch.tensor([1, 2])).backward()
    assert all(torch.equal(p.grad, theirs[name]) for name, p in net.named_parameters())  # type: ignore[arg-type]
    names = [name for name, _ in split.blocks[1].named_parameters()]
    assert names[0] == "layer1.1.conv1.weight"  # as in the network


@pytest.mark.parametrize("cuts", [1, 2, 3, 4])
def test_blocks_are_balanced_by_multiplications(cuts: int) -> None:
    """The most expensive block is as cheap as any cuts could make it."""
    widths = [6, 40, 10, 10, 30, 5, 3]
    parts = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())][:-1]
    costs = [a * b for a, b in itertools.pairwise(widths)][:-1]  # the last Linear is the head
    split = al.split_network(nn.Sequential(*parts), cuts, torch.zeros(1, 6))

    def largest(ends: tuple[int, ...]) -> int:
        return max(sum(costs[a:b]) for a, b in itertools.pairwise([0, *ends, len(costs)]))

    starts = tuple(int(start) // 2 for start in split.starts[1:])
    assert len(split.blocks) == cuts
    assert largest(starts) == min(map(largest, itertools.combinations(range(1, len(costs)), cuts - 1)))
    x = torch.randn(4, 6)
    torch.testing.assert_close(nn.Sequential(*split.blocks, split.head(3))(x), nn.Sequential(*parts)(x))


def test_a_module_that_costs_most_is_opened() -> None:
    class Wrapper(nn.Module):
        """A network inside a network."""

        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.scale = SmallResNet(3, 8, 4, classes=6), nn.Parameter(torch.ones(6))

        def forward(self, x: Tensor) -> Tensor:
            return self.backbone(x) * self.scale

    net = Wrapper()
    split = al.split_network(net, 3, example())
    assert split.starts == ["backbone.stem", "backbone.blocks.1", "backbone.blocks.3"]
    x = torch.randn(2, 3, 32, 32)
    state = x
    for block in split.blocks:
        state = block(state)
    assert torch.equal(state, net(x))  # it does not end in a Linear: all of it is blocks
    assert split.rest == []
    assert split.head(5)(state).shape == (2, 5)
    inside = al.split_network(net, ["backbone.blocks.2"], example())
    assert inside.starts == ["backbone.stem", "backbone.blocks.2"]


def test_parts_of_a_sequence_are_numbers() -> None:
    trunk = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 4))
    split = al.split_network(trunk, [2, 4], torch.zeros(1, 6), keep_head=True)
    assert split.starts == ["0", "2", "4"]
    assert split.shape == (4,)
    assert al.split_network(trunk, [2], torch.zeros(1, 6)).shape == (9,)


@pytest.mark.parametrize("end", [nn.Softmax(-1), nn.LogSoftmax(-1), torch.sigmoid, lambda x: x.log_softmax(-1)])
def test_probabilities_are_no_part_of_a_head(end: Callable[[Tensor], Tensor]) -> None:
    net = Own(lambda net, x: net.end(net.fc(net.one(x))), end=end)
    split = al.split_network(net, 1, VECTOR)
    x = torch.randn(4, 6)
    torch.testing.assert_close(split.head(3)(split.blocks[0](x)), net.fc(net.one(x)))
    assert split.shape == (8,)


def test_without_a_number_there_are_four_blocks_or_as_many_as_can_be() -> None:
    assert len(al.split_network(sequence(), None, VECTOR).blocks) == 2
    assert len(al.split_network(models.resnet18(), None, example()).blocks) == 4
    assert al.split_network(sequence(), "2", VECTOR).starts == ["0", "2"]
    assert al.split_network(nn.Sequential(nn.ReLU(), *sequence()), 2, VECTOR).starts == ["0", "3"]
    with pytest.raises(ValueError, match=r"`cuts` to be in 1\.\.2"):  # a ReLU alone is no block
        al.split_network(nn.Sequential(nn.ReLU(), *sequence()), 3, VECTOR)


def test_blocks_of_a_balanced_cut_overwrite_nothing() -> None:
    """A block that begins with a convolution on what it changed in place stays with the one before."""

    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.mul_(2))

    net = nn.Sequential(nn.Linear(6, 8), InPlace(), nn.Linear(8, 8), nn.Linear(8, 3))
    with pytest.raises(ValueError, match=r"`cuts` to be in 1\.\.2, .* They begin with 0, 2"):
        al.split_network(net, 3, VECTOR)


def test_why_a_module_stays_whole_is_said() -> None:
    inner = Own(lambda net, x: net.two(net.one(x)) if x.sum() > 0 else net.two(-net.one(x)))
    net = Own(lambda net, x: net.fc(net.inner(x)), inner=inner)
    with pytest.raises(
        ValueError, match=r"`cuts` to be in 1\.\.1.* inner stays whole: Expected the forward of Own and inner in it"
    ):
        al.split_network(net, 2, VECTOR)


def test_residual_blocks_stay_whole() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), Residual(4), Residual(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    split = al.split_network(net, 3, example())
    assert split.starts == ["0", "1", "2"]
    assert split.blocks[1].get_submodule("1") is net[1]
    assert split.shape == (4, 30, 30)
