"""Files that are missing or damaged, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torchvision
from set_files import write_cifar, write_fashion

from al_lightning.data import CIFAR10, FashionMNIST


@pytest.mark.parametrize("data", [CIFAR10, FashionMNIST])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_missing_or_damaged_files_without_a_network(
    data: Any, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network")

    for module in (torchvision.datasets.cifar, torchvision.datasets.mnist):
        monkeypatch.setattr(module, "download_and_extract_archive", offline)
    if damage == "cut":
        write = write_cifar if data is CIFAR10 else write_fashion
        write(tmp_path)
        target = next(p for p in sorted(tmp_path.rglob("*")) if p.name in ("data_batch_1", "train-images-idx3-ubyte"))
        target.write_bytes(target.read_bytes()[:100])
    with pytest.raises(
        FileNotFoundError, match="missing or damaged there .* could not be downloaded .* name another `root`"
    ):
        data(root=str(tmp_path)).prepare_data()
