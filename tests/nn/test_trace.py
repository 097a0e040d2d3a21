"""What a forward does is followed as users write it, and what cannot be followed or cut is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models as models
from small_networks import Own, sequence
from torch import Tensor, nn

import al_lightning as al

VECTOR = torch.zeros(1, 6)


def example() -> Tensor:
    return torch.zeros(1, 3, 32, 32)


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


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda: al.split_network(sequence(), 3, VECTOR), r"`cuts` to be in 1\.\.2, because Sequential .* got 3\. They begin with 0, 2"),
        (lambda: al.split_network(sequence(), 1.5, VECTOR), "`cuts` to be a whole number or a list of modules, but got 1.5"),
        (lambda: al.split_network(sequence(), 1, torch.zeros(0, 6)), "an example input of at least one sample"),
        (lambda: al.split_network(nn.Identity(), 1, VECTOR), "Identity to make a tensor of its input"),
        (lambda: al.split_network(sequence(), 0, VECTOR), r"`cuts` to be in 1\.\.2.*but got 0"),
        (lambda: al.split_network(sequence(), [9], VECTOR), "`cuts` to name modules of Sequential, but it has none called '9'"),
        (lambda: al.split_network(models.resnet18(), ["layr2"], example()), "none called 'layr2'. Did you mean 'layer2'"),
        (lambda: al.split_network(sequence(), [3, 2], VECTOR), r"order in which Sequential computes, each once, but got \['3', '2'\]. Sort"),
        (lambda: al.split_network(sequence(), [2, 2], VECTOR), "each once, but got"),
        (lambda: al.split_network(sequence(), [0], VECTOR), "'0' is where the first block begins. Blocks can begin with 1, 2, 3"),
        (lambda: al.split_network(sequence(), [4], VECTOR), "'4' is in the head, behind all blocks"),
        (lambda: al.split_network(models.resnet18(), ["layer1.0.conv2"], example()), "'layer1.0.conv2' stands inside a part that stays whole, or where more than one tensor goes on"),
        (lambda: al.split_network(sequence(inplace=True), [1], VECTOR), r"overwritten across them, but 1 \(ReLU\) works in place"),
        (lambda: al.split_network(sequence(), 2, torch.zeros(1, 5)), r"Sequential to read inputs of shape \(B, 5\), but 0 cannot \(mat1"),
        (lambda: al.split_network(Asks(), 1, VECTOR), "forward of Asks to be the same in training and in evaluation"),
        (lambda: al.split_network(Looks(), 1, VECTOR), "forward of Looks to do the same for all inputs.*symbolically traced"),
        (lambda: al.split_network(Pair(), 1, VECTOR), "Pair to read one tensor and to return one, but it reads 1 and returns a tuple"),
        (lambda: al.split_network(Two(), 1, VECTOR), "Two to read one tensor and to return one, but it reads 2"),
        (lambda: al.split_network(nn.Sequential(nn.LSTM(6, 4), nn.Identity()), 1, VECTOR), "Sequential to make a tensor of its input, but it does not"),
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


def chunked(net: Any, x: Tensor) -> Any:
    left, right = net.one(x).chunk(2, 1)
    return net.fc(net.two(torch.cat([right, left], 1)))


@pytest.mark.parametrize(
    "network",
    [
        lambda: Own(lambda net, x: net.fc(net.lstm(net.one(x).unsqueeze(1))[0][:, -1]), lstm=nn.LSTM(8, 8, batch_first=True)),
        lambda: Own(chunked),
        lambda: Own(lambda net, x: net.fc(net.two(net.one(x - torch.tensor([0.5])) * torch.tensor(2.0)))),
        lambda: Own(lambda net, x: net.fc(net.norm(net.two(net.one(x)))), norm=nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))),
        lambda: Own(lambda net, x: net.fc(net.two(net.one(x)) * net.scale), scale=nn.Parameter(torch.rand(8))),
        sequence,
    ],
)  # fmt: skip
def test_networks_as_users_write_them(network: Callable[[], nn.Module]) -> None:
    net = network().eval()
    kept = set(vars(net))
    for cuts in (1, 2):
        split = al.split_network(net, cuts, VECTOR)
        x = torch.randn(3, 6)
        torch.testing.assert_close(nn.Sequential(*split.blocks, split.head(3))(x), net(x))
        assert len(split.blocks) == cuts
    assert set(vars(net)) == kept  # torch.fx leaves constants on what it follows


def test_constants_belong_to_their_block() -> None:
    """Also where a module with constants of its own was followed and then left whole."""

    class Shift(nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by, self.big = by, nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.big(x) + torch.tensor(self.by)

    net = Own(
        lambda net, x: net.fc(net.second(net.first(net.one(x))) - torch.tensor(7.0)),
        first=Shift(3.0),
        second=Shift(5.0),
    )
    split = al.split_network(net, 3, VECTOR)
    x = torch.randn(3, 6)
    torch.testing.assert_close(nn.Sequential(*split.blocks, split.head(3))(x), net(x))


def test_what_surrounds_operations_is_not_lost() -> None:
    net = Own(lambda net, x: net.fc(net.one(x)))
    net.register_forward_pre_hook(lambda module, given: (3 * given[0],))
    with pytest.raises(
        ValueError, match="Own to do what its forward does, but it has forward hooks or its own `__call__`"
    ):
        al.split_network(net, 1, VECTOR)

    def partly(net: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = net.one(x)
        return net.fc(x)

    with pytest.raises(
        ValueError, match=r"following it failed \(a part of it runs under no_grad, autocast or the like\)"
    ):
        al.split_network(Own(partly), 1, VECTOR)
    inside = Own(lambda net, x: net.fc(net.hooked(net.one(x))), hooked=nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)))
    inside.hooked.register_forward_hook(lambda module, given, out: out + 1)
    split = al.split_network(inside, 2, VECTOR)
    x = torch.randn(3, 6)
    torch.testing.assert_close(nn.Sequential(*split.blocks, split.head(3))(x), inside(x))


def test_buffers_keep_their_place_and_are_left_as_they_were() -> None:
    class Counting(Own):
        def __init__(self) -> None:
            super().__init__(lambda net, x: net.fc(net.step(net.one(x)) + net.table))
            self.register_buffer("table", torch.rand(8), persistent=False)
            self.step = Step()

    class Step(nn.Module):
        """Puts another tensor in the place of its buffer."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count = self.count + 1
            return x

    net = Counting()
    count = net.step.count
    split = al.split_network(net, 1, VECTOR)
    al.to_al_layers(split.blocks, 3, VECTOR)
    assert net.step.count is count
    assert float(count) == 0
    assert set(split.blocks[0].state_dict()) == {"one.weight", "one.bias", "step.count"}
