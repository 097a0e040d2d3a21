"""Files that are missing or damaged, without a network."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torchvision
from set_files import write_cifar, write_fashion

from al_lightning.data import CIFAR10, FashionMNIST
from al_lightning.data.images.download import open_or_download


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


def test_one_downloads_while_others_wait(tmp_path: Path) -> None:
    """Runs side by side on a machine without the files: all miss them at once."""
    file, both_miss = tmp_path / "a_set" / "file", threading.Barrier(2)
    missed: set[int] = set()

    def make(download: bool) -> Any:
        if download:
            file.parent.mkdir()  # fails if another one is at it
            time.sleep(0.1)
            file.write_text("whole")
        if not file.exists():
            if threading.get_ident() not in missed:
                missed.add(threading.get_ident())
                both_miss.wait(timeout=30)
            raise RuntimeError("missing")
        return file.read_text()

    with ThreadPoolExecutor(2) as pool:
        opened = [pool.submit(open_or_download, make, str(tmp_path), "a_set/raw", "page") for _ in range(2)]
    assert [one.result() for one in opened] == ["whole", "whole"]
