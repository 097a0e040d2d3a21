"""Fashion-MNIST's files."""

from __future__ import annotations

from pathlib import Path

import torch
from set_files import write_fashion

from al_lightning.data import FashionMNIST


def test_fashion_mnist_parser(tmp_path: Path) -> None:
    pixels = write_fashion(tmp_path)
    data = FashionMNIST(root=str(tmp_path), image_size=32)
    images = data.dataset("test").images
    assert images.shape == (20, 1, 32, 32)
    assert torch.equal(images[:, 0, 2:30, 2:30], pixels)
    assert data.dataset("test").labels.tolist() == [i % 10 for i in range(20)]
