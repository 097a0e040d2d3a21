"""Every exported network at a size at which it is quick, small stacks built by hand, and batches that fit them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from conftest import K, hand_layers, loader
from small_networks import small_resnet, tiny_bert
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
import al_lightning.modules
from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.text import TextModule

#: Sizes at which each architecture is quick.
SMALL: dict[str, dict[str, Any]] = {
    "ALModule": {},
    "BPModule": {},
    "ConvertedAL": dict(in_channels=1, image_size=4, target_dim=8),
    "ConvertedBP": dict(head=functools.partial(nn.Linear, 8), in_channels=1, image_size=4),
    "MLPAL": dict(in_channels=1, image_size=4, hidden_dims=[8, 8], target_dim=8),
    "MLPBP": dict(in_channels=1, image_size=4, hidden_dims=[8, 8]),
    "CNNAL": dict(in_channels=1, image_size=8, target_dim=8),
    "CNNBP": dict(in_channels=1, image_size=8),
    "VGGAL": dict(in_channels=1, image_size=16, target_dim=8),
    "VGGBP": dict(in_channels=1, image_size=16),
    "ResNetAL": dict(in_channels=1, image_size=8, depth=8, target_dim=8),
    "ResNetBP": dict(in_channels=1, image_size=8, depth=8),
    "LSTMAL": dict(vocab_size=20, embedding_dim=6, hidden_dims=[4, 5], target_dim=8),
    "LSTMBP": dict(vocab_size=20, embedding_dim=6, hidden_dims=[4, 5]),
    "TransformerAL": dict(vocab_size=20, embedding_dim=6, feedforward_dims=[8, 8], heads=2, target_dim=8),
    "TransformerBP": dict(vocab_size=20, embedding_dim=6, feedforward_dims=[8, 8], heads=2),
    "ConvertedTextAL": dict(network=tiny_bert, vocab_size=20, target_dim=8),
    "ConvertedTextBP": dict(network=tiny_bert, vocab_size=20),
    "ConvertedAL of a network": dict(network=small_resnet, in_channels=1, image_size=4, cuts=3, target_dim=8),
    "ConvertedBP of a network": dict(network=small_resnet, in_channels=1, image_size=4),
}


def kind(name: str) -> Any:
    """The class of a network, which may be built in more than one way."""
    return getattr(al, name.split(maxsplit=1)[0])


CLASSES = [
    n
    for n in al_lightning.modules.__all__
    if inspect.isclass(getattr(al, n)) and issubclass(getattr(al, n), SupervisedModule)
]
MODULES = [*CLASSES, *(n for n in SMALL if n not in CLASSES)]
#: Built from parts that no checkpoint of plain types holds.
PARTS = {"ALModule": ["layers"], "BPModule": ["net"], "ConvertedAL": ["blocks"], "ConvertedBP": ["blocks", "head"]}
ARCHITECTURES = [n for n in CLASSES if n not in PARTS]
TEXT = [n for n in CLASSES if issubclass(getattr(al, n), TextModule)]
IMAGE = [n for n in ARCHITECTURES if n not in TEXT]
AL = [n for n in MODULES if issubclass(kind(n), al.ALModule)]


def blocks() -> list[nn.Module]:
    return [
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ELU()),
        nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ELU()),
    ]


def arguments(name: str) -> dict[str, Any]:
    """Constructor arguments, parts built anew."""
    chosen = dict(SMALL[name])
    if name == "ALModule":
        chosen["layers"] = hand_layers(3, inputs=16)
        chosen["layers"][0].f.insert(0, nn.Flatten())
    if name == "BPModule":
        chosen["net"] = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    if name in ("ConvertedAL", "ConvertedBP"):
        chosen["blocks"] = blocks()
    return chosen


def build(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(name)(**{"num_classes": 4, **arguments(name), **options})


def shape(name: str) -> tuple[int, ...]:
    size = SMALL[name].get("image_size", 4)
    return (1, size, size)


def inputs(name: str, n: int = 5) -> torch.Tensor:
    if name not in TEXT:
        return torch.randn(n, *shape(name))
    x = torch.randint(1, 20, (n, 7))
    return x * (torch.arange(7) < torch.arange(n).unsqueeze(1) % 7 + 1)


def batches(name: str, n: int = 24, batch_size: int = 8) -> Any:
    if name not in TEXT:
        return loader(n, batch_size, shape(name))
    y = torch.arange(n) % 4
    torch.manual_seed(n)
    x = torch.cat([4 + y.unsqueeze(1), inputs(name, n)], 1)  # the first word says the class
    return DataLoader(TensorDataset(x, y), batch_size=batch_size)


def al_module(depth: int = 2, **options: Any) -> al.ALModule:
    torch.manual_seed(0)
    return al.ALModule(hand_layers(depth), K, **options)


def with_dropout() -> al.ALModule:
    """A stack with dropout in the encoders."""
    layers = hand_layers(2)
    for layer in layers:
        layer.f.append(nn.Dropout(0.5))
    return al.ALModule(layers, K)


def bp_module(**options: Any) -> al.BPModule:
    torch.manual_seed(0)
    return al.BPModule(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, K)), K, **options)


def sgd(lr: float) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)
