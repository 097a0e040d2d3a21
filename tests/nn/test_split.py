"""Networks cut into blocks: the blocks and the head compute what the network computes, of the network's own modules."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models as models
from small_networks import Residual, SmallResNet
from torch import Tensor, nn

import al_lightning as al

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


class Asks(nn.Module):
    """Does something else in training."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(nn.functional.dropout(self.one(x), 0.5, self.training))


class Looks(Asks):
    """Does something else for other values."""

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x) if x.sum() > 0 else -self.one(x))


class Pair(Asks):
    """Returns two tensors."""

    def forward(self, x: Tensor) -> Any:
        return self.two(self.one(x)), x


class Two(Asks):
    """Reads two tensors."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.two(self.one(x + y))


class Noise(nn.Module):
    """Draws random numbers in evaluation too."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-9 * torch.rand_like(x)


class Keeps(Asks):
    """An argument with a default is no obstacle."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = Noise()

    def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
        return self.two(self.noise(self.one(x)) * scale)


VECTOR = torch.zeros(1, 6)


def sequence(*, inplace: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=inplace), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda: al.split_network(sequence(), 3, VECTOR), r"`cuts` to be in 1\.\.2, because Sequential .* got 3\. They begin with 0, 2"),
        (lambda: al.split_network(sequence(), 0, VECTOR), r"`cuts` to be in 1\.\.2.*but got 0"),
        (lambda: al.split_network(sequence(), [9], VECTOR), "`cuts` to name modules of Sequential, but it has none called '9'"),
        (lambda: al.split_network(models.resnet18(), ["layr2"], example()), "none called 'layr2'. Did you mean 'layer2'"),
        (lambda: al.split_network(sequence(), [3, 2], VECTOR), r"order in which Sequential computes, each once, but got \['3', '2'\]. Sort"),
        (lambda: al.split_network(sequence(), [2, 2], VECTOR), "each once, but got"),
        (lambda: al.split_network(sequence(), [0], VECTOR), "'0' is where the first block begins. Blocks can begin with 1, 2, 3"),
        (lambda: al.split_network(sequence(), [4], VECTOR), "'4' is in the head, behind all blocks"),
        (lambda: al.split_network(models.resnet18(), ["layer1.0.conv2"], example()), "'layer1.0.conv2' stands where more than one tensor goes on"),
        (lambda: al.split_network(sequence(inplace=True), [1], VECTOR), r"overwritten across them, but 1 \(ReLU\) works in place"),
        (lambda: al.split_network(sequence(), 2, torch.zeros(1, 5)), r"Sequential to read inputs of shape \(B, 5\), but 0 cannot \(mat1"),
        (lambda: al.split_network(Asks(), 1, VECTOR), "forward of Asks to be the same in training and in evaluation"),
        (lambda: al.split_network(Looks(), 1, VECTOR), "forward of Looks to do the same for all inputs.*symbolically traced"),
        (lambda: al.split_network(Pair(), 1, VECTOR), "Pair to read one tensor and to return one, but it reads 1 and returns a tuple"),
        (lambda: al.split_network(Two(), 1, VECTOR), "Two to read one tensor and to return one, but it reads 2"),
        (lambda: al.split_network(nn.Sequential(nn.LSTM(6, 4), nn.Identity()), 1, VECTOR), "0 of Sequential to return a tensor, but got tuple"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_gets_a_sentence(cut: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"Expected .*{said}"):
        cut()


def test_arguments_with_a_default_and_random_numbers_are_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    net = Keeps().eval()
    net.one.train()
    torch.manual_seed(0)
    split = al.split_network(net, 1, VECTOR)
    assert torch.equal(torch.rand(1), expected)
    assert [part.training for part in (split.blocks[0], net, net.one, net.two)] == [False, False, True, False]
    x = torch.randn(2, 6)
    torch.testing.assert_close(split.head(3)(split.blocks[0](x)), net(x))


def test_residual_blocks_stay_whole() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), Residual(4), Residual(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    split = al.split_network(net, 3, example())
    assert split.starts == ["0", "1", "2"]
    assert split.blocks[1].get_submodule("1") is net[1]
    assert split.shape == (4, 30, 30)
