"""Networks of a user's own, small enough to be quick; commands and checkpoints name their builders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(out)) + x)


class SmallResNet(nn.Module):
    """A stem, residual blocks, global pooling and a Linear: as users write it, without an nn.Sequential of it all."""

    def __init__(self, in_channels: int = 1, width: int = 4, blocks: int = 3, classes: int = 7, p: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(blocks))
        self.dropout = nn.Dropout(p)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = self.dropout(block(x))
        return self.fc(x.mean((2, 3)))


def small_resnet(**arguments):  # type: ignore[no-untyped-def]  # as users write it
    return SmallResNet(**arguments)


class Functional(nn.Module):
    """Weights that are no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(8, 8))
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(torch.tanh(x @ self.first) @ self.second))


def small_functional() -> nn.Module:
    return Functional()


def small_mlp(inputs: int = 6, width: int = 8, outputs: int = 3, p: float = 0.0, norm: bool = True) -> nn.Module:
    def unit(a: int) -> nn.Module:
        normalise = [nn.BatchNorm1d(width)] if norm else []
        return nn.Sequential(nn.Linear(a, width), *normalise, nn.Tanh(), nn.Dropout(p))

    return nn.Sequential(unit(inputs), unit(width), unit(width), nn.Linear(width, outputs))


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


def sequence(*, inplace: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=inplace), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def tiny_bert(vocab_size: int, layers: int = 2, dim: int = 8, positions: int = 40, dropout: float = 0.0) -> nn.Module:
    """A BERT of Hugging Face's, built from its configuration."""
    from transformers import BertConfig, BertModel  # here: it takes a second

    config = BertConfig(
        vocab_size=vocab_size, hidden_size=dim, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=2 * dim,
        max_position_embeddings=positions, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, initializer_range=0.3,
    )  # fmt: skip
    return BertModel(config, add_pooling_layer=False)
