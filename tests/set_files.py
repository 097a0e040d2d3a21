"""Tiny files of data sets, as their publishers write them, and of a user."""

from __future__ import annotations

import csv
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from al_lightning.data import CIFAR10

POSITIVE, NEGATIVE = "a good film , really good", "bad"


def write_cifar(root: Path, n: int = 20) -> dict[str, Tensor]:
    """CIFAR-10's python pickles, tiny."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    images = {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels = generator.integers(0, 256, (n, 3072), dtype=np.uint8)
        images[name] = torch.from_numpy(pixels).view(n, 3, 32, 32)
        with open(folder / name, "wb") as file:
            pickle.dump({"data": pixels, "labels": [i % 10 for i in range(n)]}, file)
    with open(folder / "batches.meta", "wb") as file:
        pickle.dump({"label_names": CIFAR10().class_names}, file)
    return images


def write_fashion(root: Path, n: int = 20) -> Tensor:
    """Fashion-MNIST's idx files, tiny."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = np.arange(n, dtype=np.uint8) % 10
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, n, 28, 28) + pixels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, n) + labels.tobytes())
    return torch.from_numpy(pixels)


def draw(path: Path, value: int, size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), value, dtype=np.uint8)).save(path)


def write(folder: str, rows: dict[str, list[dict[str, Any]]], kind: str = "parquet") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for split, content in rows.items():
        table = pa.Table.from_pylist(content)
        if kind == "parquet":
            pq.write_table(table, f"{folder}/{split}-00000-of-00001.parquet")
        else:
            with open(f"{folder}/{split}.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, content[0].keys())
                writer.writeheader()
                writer.writerows(content)


def reviews(n: int) -> list[dict[str, Any]]:
    return [
        {"text": f"{POSITIVE if k % 2 else NEGATIVE} number {k}" + " long" * (k % 9), "label": k % 2} for k in range(n)
    ]
