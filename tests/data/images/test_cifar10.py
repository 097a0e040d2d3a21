"""CIFAR-10: its files, and who is augmented."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from set_files import write_cifar

from al_lightning.data import CIFAR10
from al_lightning.data.images.module import ImageBatch


def test_only_training_batches_are_augmented(tiny_sets: None) -> None:
    data = CIFAR10(batch_size=8, val_fraction=0.25)
    raw = next(iter(data.train_dataloader()))
    assert isinstance(raw, ImageBatch)
    assert raw.images.dtype == torch.uint8
    plain, y = data.prepare(raw)
    expected = (raw.images / 255 - torch.tensor(data.mean).view(3, 1, 1)) / torch.tensor(data.std).view(3, 1, 1)
    torch.testing.assert_close(plain, expected)
    assert torch.equal(y, raw.labels)
    assert not torch.equal(data.prepare(raw, training=True)[0], plain)
    assert torch.equal(CIFAR10(augment=False).prepare(raw, training=True)[0], plain)


def test_cifar10_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_cifar(tmp_path)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *args: True)
    data = CIFAR10(root=str(tmp_path), val_fraction=0.2)
    assert torch.equal(data.dataset("train").images, torch.cat([images[f"data_batch_{i}"] for i in range(1, 6)]))
    assert torch.equal(data.dataset("test").images, images["test_batch"])
    assert data.dataset("test").labels.tolist() == [i % 10 for i in range(20)]
