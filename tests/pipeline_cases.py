"""Networks, data and Trainer arguments that pipelines are tested with; for ``pipeline_worker.py``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import ReduceLROnPlateau
from small_networks import small_resnet, tiny_bert
from target_kinds import Numbers
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from train_worker import INPUTS, K, make, samples

import al_lightning as al
from al_lightning.callbacks import LayerAccumulation
from al_lightning.data import CIFAR10, SST2, FashionMNIST
from al_lightning.targets import LabelTarget

Case = tuple[pl.LightningModule, Any, dict[str, Any]]
#: Samples of a training batch.
BATCH = 4
adam = functools.partial(torch.optim.Adam, lr=1e-2)
accumulation = functools.partial(LayerAccumulation, start=2, max_validations=1)
stop = functools.partial(EarlyStopping, "train_loss", patience=0, min_delta=0.05)


class Read(TensorDataset):
    """Counts the samples that are read."""

    count = 0

    def __getitem__(self, index: Any) -> Any:
        self.count += 1
        return super().__getitem__(index)


class Stream(IterableDataset[Any]):
    """Samples without a length."""

    def __iter__(self) -> Iterator[Any]:
        x, y = samples(64, 0).tensors
        yield from zip(x, y)


class Grow(pl.Callback):
    """Uses another layer from the second epoch on."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            pl_module.active_depth = 3  # type: ignore[assignment]


def mlp(data: Any = None, *, trainer: dict[str, Any] | None = None, **options: Any) -> Case:
    """Three layers with batch norm and dropout on a user's own shuffled loader."""
    module = make("AL", True, 0.3, **{"optimizer": adam, **options})
    loader = DataLoader(Read(*samples(64, 0).tensors), BATCH, shuffle=True) if data is None else data
    return module, loader, trainer or {}


def ended(number: int, *, seed: int = 3) -> al.ALModule:
    """Three layers for numbers as targets."""
    torch.manual_seed(seed)
    layers = [
        al.ALLayer(
            f=nn.Sequential(nn.Linear(INPUTS if i == 0 else 8, 8), nn.Tanh()),
            b=nn.Linear(8, 5),
            g=nn.Linear(number if i == 0 else 5, 5),
            h=nn.Linear(5, number if i == 0 else 5),
        )
        for i in range(3)
    ]
    return al.ALModule(layers, target=Numbers(number), optimizer=adam)


def numbers() -> Case:
    """A target without classes: one row per sample travels."""
    x, _ = samples(64, 0).tensors
    return ended(2), DataLoader(TensorDataset(x, x[:, :2]), BATCH, shuffle=True), {}


def labels() -> Case:
    """Any number of labels for each sample."""
    x, y = samples(64, 0).tensors
    torch.manual_seed(3)
    blocks = [nn.Sequential(nn.Linear(INPUTS if i == 0 else 8, 8), nn.Tanh()) for i in range(3)]
    layers = al.to_al_layers(blocks, 2, torch.zeros(2, INPUTS), 5, reconstruction_loss="binary_cross_entropy")
    there = torch.stack([y % 2, (y > 1).long()], 1)
    module = al.ALModule(layers, target=LabelTarget(2), optimizer=adam)
    return module, DataLoader(TensorDataset(x, there), BATCH, shuffle=True), {}


def classifiers() -> Case:
    """Each bridge a classifier, on targets that stay one-hot."""
    torch.manual_seed(3)
    layers = [
        al.ALLayer(
            f=nn.Sequential(nn.Linear(INPUTS if i == 0 else 8, 8), nn.Tanh()),
            b=nn.Linear(8, K),
            g=nn.Identity(),
            h=nn.Identity(),
            association="cross_entropy",
        )
        for i in range(3)
    ]
    return al.ALModule(layers, K, optimizer=adam), DataLoader(samples(64, 0), BATCH, shuffle=True), {}


def cnn(association: Any) -> Case:
    """Batch norm and dropout in every layer, images augmented."""
    torch.manual_seed(3)
    module = al.CNNAL(10, target_dim=8, association=association, optimizer=functools.partial(torch.optim.Adam, lr=1e-3))
    for layer in module.layers:
        layer.f = nn.Sequential(layer.f, nn.Dropout(0.2))
    return module, CIFAR10(batch_size=6), {"max_steps": 50}


def lstm(association: Any) -> Case:
    """Variable lengths, dropout."""
    torch.manual_seed(3)
    data = SST2(batch_size=16, val_fraction=0.3)
    module = al.LSTMAL(
        2, vocab_size=data.vocab_size, embedding_dim=6, hidden_dims=[4, 5], target_dim=8, dropout=0.3,
        association=association, gradient_clip_norm=1.0, optimizer=adam,
    )  # fmt: skip
    return module, data, {"max_steps": 50}


def network() -> Case:
    """A network of a user's own, cut into three, with batch norm and dropout."""
    torch.manual_seed(3)
    module = al.ConvertedAL(network=small_resnet, network_args={"p": 0.2}, num_classes=10, in_channels=1, image_size=28, cuts=3,
                            target_dim=8, optimizer=adam)  # fmt: skip
    return module, FashionMNIST(batch_size=6), {"max_steps": 8}


def encoder() -> Case:
    """A BERT, whose embedding rests."""
    torch.manual_seed(3)
    data = SST2(batch_size=16, val_fraction=0.3)
    module = al.ConvertedTextAL(
        tiny_bert, 2, vocab_size=data.vocab_size, network_args={"dropout": 0.2}, target_dim=8, optimizer=adam
    )
    module.layers[0].f.requires_grad_(False)
    return module, data, {"max_steps": 8}


def frozen() -> Case:
    """The last layer does not learn."""
    module, data, options = mlp()
    module.layers[2].requires_grad_(False)
    return module, data, options


def last_channels() -> Case:
    """Images whose channels come last in memory, in bf16."""
    torch.manual_seed(3)
    data = FashionMNIST(batch_size=8, channels_last=True)
    return al.CNNAL(10, 1, 28, target_dim=8), data, {"max_steps": 8, "precision": "bf16-mixed"}


plateau = functools.partial(ReduceLROnPlateau, monitor="train_loss", patience=0, factor=0.5)
linear = functools.partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=15)
CASES: dict[str, Callable[[], Case]] = {
    "mse": functools.partial(mlp, association="mse"),
    "contrast": functools.partial(mlp, association="contrast", readout="codes"),
    "classifiers": classifiers,
    "numbers": numbers,
    "labels": labels,
    "accumulated": functools.partial(mlp, accumulate_grad_batches=3, gradient_clip_norm=0.5, lr_scheduler=linear, lr_scheduler_interval="step"),
    "plateau": functools.partial(mlp, lr_scheduler=plateau),
    "bf16": functools.partial(mlp, trainer={"precision": "bf16-mixed"}),
    "adagrad": functools.partial(mlp, optimizer=torch.optim.Adagrad),
    "frozen": frozen,
    "growing": functools.partial(mlp, active_depth=2, trainer={"callbacks": [Grow]}),
    "accumulating": functools.partial(mlp, trainer={"callbacks": [accumulation]}),
    "accumulating, frozen": functools.partial(
        mlp, trainer={"callbacks": [functools.partial(accumulation, freeze=True)]}
    ),
    "without a length": functools.partial(mlp, DataLoader(Stream(), BATCH)),
    "ends in an epoch": functools.partial(mlp, DataLoader(Stream(), BATCH), trainer={"max_steps": 20}),
    "stopped": functools.partial(mlp, trainer={"callbacks": [stop]}),
    "cnn mse": functools.partial(cnn, "mse"),
    "cnn contrast": functools.partial(cnn, "contrast"),
    "lstm mse": functools.partial(lstm, "mse"),
    "lstm contrast": functools.partial(lstm, "contrast"),
    "network": network,
    "encoder": encoder,
    "channels last": last_channels,
}  # fmt: skip
#: Cases that three stages train too.
THREE = ["contrast", "accumulated", "without a length", "cnn contrast", "lstm mse"]
