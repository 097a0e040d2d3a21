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
from al_lightning.nn.multiplications import multiplications

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


class Own(nn.Module):
    """A network of one function."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        self.one, self.two, self.fc = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


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


@pytest.mark.parametrize("end", [nn.Softmax(-1), nn.LogSoftmax(-1), torch.sigmoid, lambda x: x.log_softmax(-1)])
def test_probabilities_are_no_part_of_a_head(end: Callable[[Tensor], Tensor]) -> None:
    net = Own(lambda net, x: net.end(net.fc(net.one(x))), end=end)
    split = al.split_network(net, 1, VECTOR)
    x = torch.randn(4, 6)
    torch.testing.assert_close(split.head(3)(split.blocks[0](x)), net.fc(net.one(x)))
    assert split.shape == (8,)


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


def test_attention_is_counted_whatever_kernel_computes_it() -> None:
    """One product of queries and keys, and one with the values, for each head and pair of positions."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    got = multiplications(Own(lambda net, x: net.attention(x, x, x, need_weights=False)[0], attention=attention), x)
    assert got == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8


def test_residual_blocks_stay_whole() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), Residual(4), Residual(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    split = al.split_network(net, 3, example())
    assert split.starts == ["0", "1", "2"]
    assert split.blocks[1].get_submodule("1") is net[1]
    assert split.shape == (4, 30, 30)
