"""Trains small networks in one or several processes and keeps what each process ended with; for test_parallel.py.

Run as ``python train_worker.py ARGUMENTS.json`` (or by torchrun): Lightning's launcher starts the same command for the
other ranks. One launch trains all cases, one after the other.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from small_networks import small_mlp
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.callbacks import LayerAccumulation
from al_lightning.data.samplers import BatchIndices
from al_lightning.targets import LabelTarget, ValueTarget

K, INPUTS = 4, 6
#: Samples of a training batch over all processes.
BATCH = 16


def make(kind: str, norm: bool, dropout: float, association: Any = "mse", **options: Any) -> al.ALModule | al.BPModule:
    """Three layers of 8 units, the same weights every time."""
    torch.manual_seed(3)

    def block(inputs: int) -> nn.Module:
        normalise = [nn.BatchNorm1d(8)] if norm else []
        return nn.Sequential(nn.Linear(inputs, 8), *normalise, nn.Tanh(), nn.Dropout(dropout))

    blocks = [block(INPUTS), block(8), block(8)]
    if kind == "network":
        network = {"network": small_mlp, "network_args": {"norm": norm, "p": dropout}, "in_features": INPUTS}
        return al.ConvertedAL(num_classes=K, target_dim=5, cuts=3, **network, **options)
    if kind == "values":
        layers = al.to_al_layers(blocks, 2, torch.zeros(2, INPUTS), 5, reconstruction_loss="mse")
        return al.ALModule(layers, target=ValueTarget(["a", "b"], [0.1, 0.2], [1.0, 0.5]), **options)
    if kind == "BP labels":
        return al.BPModule(nn.Sequential(*blocks, nn.Linear(8, 2)), target=LabelTarget(2), **options)
    if kind == "BP":
        return al.BPModule(nn.Sequential(*blocks, nn.Linear(8, K)), K, **options)
    layers = al.to_al_layers(blocks, K, torch.zeros(2, INPUTS), 5, association=association)
    return al.ALModule(layers, K, **options)


def samples(n: int, seed: int) -> TensorDataset:
    """Random points whose class shows in them."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(K, (n,), generator=generator)
    return TensorDataset(torch.eye(INPUTS)[y] + torch.randn((n, INPUTS), generator=generator), y)


def of_kind(data: TensorDataset, kind: str) -> TensorDataset:
    """The same points with two numbers or two labels each in place of a class."""
    x, y = data.tensors
    columns = {"values": x[:, :2] + x[:, 2:4], "BP labels": torch.stack([y % 2, (y > 1).long()], 1)}
    return TensorDataset(x, columns.get(kind, y))


class Uneven(BatchIndices):
    """Batches of 13 and 3 samples on two processes."""

    def _sizes(self) -> list[tuple[int, int]]:
        first, size = ((0, 13), (13, 3))[self.rank]
        return [(start + first, size) for start in range(0, len(self.indices), BATCH)]


class Traffic(pl.Callback):
    """Bytes of every all-reduce of each training step."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self._reduce = dist.all_reduce

    def _count(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.steps[-1].append(tensor.nbytes)
        return self._reduce(tensor, *args, **kwargs)

    def on_train_batch_start(self, *args: Any) -> None:
        self.steps.append([])
        dist.all_reduce = self._count

    def on_train_batch_end(self, *args: Any) -> None:
        dist.all_reduce = self._reduce


class Die(pl.Callback):
    """Ends this process at the third step, as the kernel's out-of-memory killer would."""

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == 3:
            os._exit(9)


class Own(pl.Callback):
    """A metric that gets better on rank 0 and worse on all others."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("val_own", float(trainer.current_epoch * (1 if trainer.global_rank == 0 else -1)))


class Validated(pl.Callback):
    """Weights and buffers right after the last validation of a fit."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":  # `validate` alone shares them anew
            self.state = {k: v.clone() for k, v in pl_module.state_dict().items()}


def run(
    devices: int,
    kind: str = "AL",
    norm: bool = False,
    dropout: float = 0.0,
    options: dict[str, Any] | None = None,
    n_val: int = 17,
    uneven: bool = False,
    steps: int = 20,
    precision: Any = "32-true",
    unlike: bool = False,
    die: int | None = None,
    grow: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, validate, and return weights, buffers, metrics and the traffic of this process."""
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    own = {"gradient_clip_norm": 7.0} if unlike and rank == 1 else {}
    optimizer = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    module = make(kind, norm, dropout, optimizer=optimizer, **{**(options or {}), **own})

    def loader(data: TensorDataset, training: bool) -> DataLoader[Any]:
        sampler = (Uneven if training and uneven and devices == 2 else BatchIndices)(
            torch.arange(len(data)), BATCH // devices, shuffle=training, rank=rank, num_replicas=devices,
            training=training,
        )  # fmt: skip
        return DataLoader(data, sampler=sampler, batch_size=None)

    traffic, validated = Traffic(), Validated()
    callbacks: list[pl.Callback] = [validated, *([traffic] if devices > 1 else [])]
    callbacks += [Die()] if die == rank else []
    callbacks += [] if grow is None else [Own(), LayerAccumulation(**grow)]
    trainer = pl.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", precision=precision,
        max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=callbacks,
    )  # fmt: skip
    os.environ["PL_GLOBAL_SEED"] = "0"
    train, val = of_kind(samples(64, 0), kind), of_kind(samples(n_val, 1), kind)
    trainer.fit(module, loader(train, True), loader(val, False))
    trainer.validate(module, loader(val, False), verbose=False)
    return {
        "state": validated.state or {k: v.clone() for k, v in module.state_dict().items()},
        "metrics": {k: float(v) for k, v in trainer.callback_metrics.items() if k != "val_own"},
        "traffic": traffic.steps,
        "step": trainer.global_step,
    }


def main(arguments: dict[str, Any]) -> None:
    """Run all cases on this rank and write ``rank{r}.pt`` beside the arguments."""
    results = {name: run(2, **case) for name, case in arguments["cases"].items()}
    torch.save(results, Path(sys.argv[1]).with_name(f"rank{os.environ.get('LOCAL_RANK', '0')}.pt"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(json.loads(Path(sys.argv[1]).read_text()))
