"""Precision, compilation and memory layout change how a step is computed, not what is learned."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from networks import AL, IMAGE, MODULES, al_module, batches, build, inputs
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.data import CIFAR10, FashionMNIST

#: VGG has nothing that CNN lacks, and processors without bf16 take half a minute for it.
QUICK = [name for name in MODULES if "VGG" not in name]
SGD = functools.partial(torch.optim.SGD, lr=1e-3)
Make = Callable[..., pl.Trainer]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile without a C++ compiler: graphs are captured and differentiated ahead of time, then run by torch."""
    compile_in_place = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_in_place(self, backend="aot_eager"))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def updates(name: str, trainer: Callable[..., pl.Trainer], precision: Any = "32-true", **options: Any) -> Any:
    """How far two epochs move every parameter of a freshly built module, without dropout."""
    if name.startswith(("LSTM", "Transformer")):
        options["dropout"] = 0.0
    module = build(name, optimizer=SGD, **options)
    start = {n: p.detach().clone() for n, p in module.named_parameters()}
    trainer(max_epochs=2, precision=precision).fit(module, batches(name), batches(name, 12))
    assert all(p.dtype == torch.float32 for p in module.parameters())
    return module, {n: p.detach() - start[n] for n, p in module.named_parameters()}


def difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of two updates, as a share of the second."""
    assert ours.keys() == theirs.keys()
    apart = math.sqrt(sum(float((ours[n] - theirs[n]).double().square().sum()) for n in ours))
    return apart / math.sqrt(sum(float(value.double().square().sum()) for value in theirs.values()))


@pytest.mark.parametrize("name", QUICK)
def test_bf16_learns_what_float32_learns(name: str, trainer: Callable[..., pl.Trainer]) -> None:
    _, full = updates(name, trainer)
    module, half = updates(name, trainer, "bf16-mixed")
    assert 0 < difference(half, full) < 0.1
    assert math.isfinite(module.trainer.callback_metrics["val_loss"])


@pytest.mark.parametrize("name", QUICK)
def test_compiled_networks_learn_the_same(name: str, trainer: Callable[..., pl.Trainer], traced: None) -> None:
    plain, eager = updates(name, trainer)
    module, compiled = updates(name, trainer, **{"compile_layers" if name in AL else "compile_net": True})
    if name in AL or not torch.__version__.startswith("2.6"):
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert graphs >= (2 if name in AL else 1)  # layers alike share one
    assert module.state_dict().keys() == plain.state_dict().keys()
    assert difference(compiled, eager) < 1e-4


def test_compiled_layers_in_bf16(trainer: Callable[..., pl.Trainer], traced: None) -> None:
    _, eager = updates("MLPAL", trainer, "bf16-mixed")
    _, compiled = updates("MLPAL", trainer, "bf16-mixed", compile_layers=True)
    assert difference(compiled, eager) < 0.05


def test_how_to_run_is_not_kept_in_a_checkpoint() -> None:
    for name, option in (("MLPAL", "compile_layers"), ("MLPBP", "compile_net")):
        recipe = build(name, **{option: True}).recipe()
        assert recipe is not None
        assert option not in recipe["init_args"]


@pytest.mark.parametrize("name", [n for n in IMAGE if not n.startswith("MLP")])
def test_channels_stay_last_from_layer_to_layer(name: str) -> None:
    """The layout of the batch is that of every feature map, and the gradients are those of the other layout."""
    x, y = inputs(name, 8), torch.arange(8) % 4

    def gradients(x: torch.Tensor) -> tuple[dict[str, torch.Tensor], set[bool]]:
        module, last = build(name), set()

        def look(conv: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            last.add(output.is_contiguous(memory_format=torch.channels_last))

        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(look)
        module.evaluate(x, y)[0].sum().backward()
        return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}, last

    plain, first = gradients(x)
    other, last = gradients(torch.empty_like(x, memory_format=torch.channels_last).copy_(x))
    assert (first, last) == ({False}, {True})
    assert difference(other, plain) < 1e-4


@pytest.mark.parametrize("data", [CIFAR10, FashionMNIST])
def test_batches_with_channels_last(data: Any, tiny_sets: None, trainer: Callable[..., pl.Trainer]) -> None:
    for augment in (False, True):
        first, last = (data(batch_size=8, augment=augment, channels_last=c) for c in (False, True))
        raw = next(iter(first.train_dataloader()))
        plain, _ = first.prepare(raw, training=True, epoch=1)
        other, _ = last.prepare(raw, training=True, epoch=1)
        assert torch.equal(plain, other)
        channels, height, width = plain.shape[1:]
        assert plain.stride()[1:] == (height * width, width, 1)
        assert other.stride()[1:] == (1, width * channels, channels)
    module = al.ResNetAL(10, other.shape[1], image_size=int(height), depth=8, target_dim=8, optimizer=SGD)
    trainer(max_steps=2, max_epochs=-1).fit(module, last)
    assert torch.isfinite(module(other)).all()


def test_double_precision(trainer: Make) -> None:
    module = al_module()
    x, y = next(iter(loader()))
    data = DataLoader(TensorDataset(x.double(), y), batch_size=4)
    trainer(max_epochs=1, precision="64-true").fit(module, data)
    assert {p.dtype for p in module.parameters()} == {torch.float64}


def test_bf16_mixed(trainer: Make) -> None:
    module = al_module()
    trainer(max_epochs=1, precision="bf16-mixed").fit(module, loader(), loader())
    assert all(bool(torch.isfinite(p).all()) for p in module.parameters())
