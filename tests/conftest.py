"""Shared fixtures: small dimensions, tiny data, quiet trainers. No test needs a download."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import lightning.pytorch as pl
import pytest
import torch
from installing import build, install, shared_folder
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.data import CIFAR10, FashionMNIST
from al_lightning.data.base import Split
from al_lightning.data.texts import token_cache
from al_lightning.data.texts.rows import Rows, RowSource

torch.set_num_threads(1)  # tests run side by side, one process a core

K = 4  # classes of hand-built networks
TRAINER = dict(
    accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0
)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test works in a folder of its own and from a known seed, and leaves no variable of the environment behind.

    Lightning's launcher sets some for good, such as ``LOCAL_RANK``: the next trainer of two processes would take them for
    those of a team that somebody else has started, and wait for it.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # where it is not set, Lightning's launchers take all cores from then on
    torch.manual_seed(0)
    with warnings.catch_warnings(), mock.patch.dict(os.environ):
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 beside a newer torch
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        yield
    if torch.distributed.group.WORLD is not None:  # a strategy of several processes leaves its group open
        torch.distributed.destroy_process_group()


@pytest.fixture
def trainer() -> Callable[..., pl.Trainer]:
    def make(**arguments: Any) -> pl.Trainer:
        return pl.Trainer(**{**TRAINER, "enable_checkpointing": "callbacks" in arguments, **arguments})

    return make


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Folder of the sdist and the wheel from it."""
    return build(shared_folder(tmp_path_factory, worker_id))


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Path:
    """Folder in which the wheel is installed; it comes before this environment's own copy."""
    return install(wheel.parent.parent, wheel)


def hand_layers(
    depth: int = 3, *, inputs: int = 6, width: int = 8, target: int = 5, **options: Any
) -> list[al.ALLayer]:
    """A small stack of fully connected AL layers, built by hand."""
    layers = []
    for i in range(depth):
        layers.append(
            al.ALLayer(
                f=nn.Sequential(nn.Linear(inputs if i == 0 else width, width), nn.Tanh()),
                b=nn.Linear(width, target),
                g=nn.Sequential(nn.Linear(K if i == 0 else target, target), nn.Tanh()),
                h=nn.Linear(target, K if i == 0 else target),
                **options,
            )
        )
    return layers


def loader(
    n: int = 64, batch_size: int = 8, shape: tuple[int, ...] = (6,), classes: int = K, seed: int = 0
) -> DataLoader[Any]:
    """Random samples whose class shows in them, in a fixed order."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    prototypes = torch.randn((classes, *shape), generator=generator)
    x = prototypes[y] + 0.3 * torch.randn((n, *shape), generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, generator=generator)


@pytest.fixture
def tiny_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """See :func:`make_sets_tiny`."""
    make_sets_tiny(monkeypatch)


def make_sets_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10 and Fashion-MNIST of 120 + 20 images, text sets of 280 + 28 rows, without files."""

    def rows(source: RowSource) -> Rows:
        n = 280 if source.split == "train" else 28
        classes = {"ag_news": 4, "dbpedia_14": 14}.get(source.name, 2)
        labels = [k % classes for k in range(n)]
        return Rows([f"word{y} and some more , no {k % 7}" + " again" * (k % 5) for k, y in enumerate(labels)],
                    [str(label) for label in labels], None, 0)  # fmt: skip

    monkeypatch.setattr(token_cache, "read_rows", rows)
    make_images_tiny(monkeypatch)


def make_images_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10 and Fashion-MNIST of 120 + 20 images, without files."""

    def load(size: int, channels: int) -> Callable[[Any, Split], tuple[Tensor, Tensor]]:
        def tiny(self: Any, split: Split) -> tuple[Tensor, Tensor]:
            n = 120 if split == "train" else 20
            generator = torch.Generator().manual_seed(n)
            y = torch.arange(n) % 10
            x = torch.randint(0, 110, (n, channels, size, size), generator=generator) + 13 * y.view(-1, 1, 1, 1)
            return x.to(torch.uint8), y

        return tiny

    for data, size, channels in ((CIFAR10, 32, 3), (FashionMNIST, 28, 1)):
        monkeypatch.setattr(data, "load", load(size, channels))
        monkeypatch.setattr(data, "prepare_data", lambda self: None)
