"""A user's own images."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from set_files import draw

from al_lightning import MLPAL
from al_lightning.callbacks import PredictionWriter
from al_lightning.data import ImageFolder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, name in enumerate(("cat", "dog", "emu")):
        for n in range(12):
            draw(tmp_path / "photos" / name / f"{n:02}.png", 40 + 80 * label + n)
    return tmp_path / "photos"


def test_image_folder(photos: Path) -> None:
    data = ImageFolder(root=str(photos), image_size=8, val_fraction=0.25, batch_size=4)
    assert data.class_names == ["cat", "dog", "emu"]
    train, test = data.dataset("train"), data.dataset("test")
    assert train.images.shape[1:] == (3, 8, 8)
    assert len(train.images) + len(test.images) == 36
    for part in (train, test):
        assert torch.equal((part.images[:, 0, 0, 0].long() - 40) // 80, part.labels)
    pixels = sorted(train.images[:, 0, 0, 0].tolist() + test.images[:, 0, 0, 0].tolist())
    assert pixels == sorted(40 + 80 * k + n for k in range(3) for n in range(12))
    grey = ImageFolder(root=str(photos), image_size=8, in_channels=1)
    assert grey.dataset("test").images.shape[1:] == (1, 8, 8)


def test_image_folder_with_its_own_test_split(tmp_path: Path) -> None:
    for split, n in (("train", 6), ("test", 3)):
        for name in ("a", "b"):
            for i in range(n):
                draw(tmp_path / split / name / f"{i}.png", i)
    data = ImageFolder(root=str(tmp_path), image_size=8, val_fraction=0)
    assert (len(data.dataset("train").images), len(data.dataset("test").images)) == (12, 6)


def test_image_folder_errors(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="at least two folders of images"):
        ImageFolder(root=str(tmp_path / "nowhere"))
    (photos / "emu" / "99.png").write_text("no image")
    with pytest.raises(ValueError, match=r"readable image, but .*99\.png is not one"):
        ImageFolder(root=str(photos)).setup("fit")
    for file in (photos / "cat").glob("*.png"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match="folder with image files"):
        ImageFolder(root=str(photos)).setup("fit")
    with pytest.raises(ValueError, match="`mean` and `std` to hold 1 or 3 numbers"):
        ImageFolder(root=str(photos), mean=[0.1, 0.2])


def test_too_few_images_to_split(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(tmp_path / name / "0.png", 1)
    with pytest.raises(ValueError, match="enough samples of every class to split off test_fraction=0.2"):
        ImageFolder(root=str(tmp_path)).setup("fit")


def test_predictions_of_files(photos: Path, trainer: Callable[..., pl.Trainer]) -> None:
    """A folder of images outside the data set: class names, calibrated probabilities, nothing overwritten."""
    data = ImageFolder(root=str(photos), image_size=8, batch_size=8, mean=[0.5], std=[0.3])
    module = MLPAL(3, 3, 8, hidden_dims=[16], class_names=data.class_names, norm=None)
    fitted = trainer(max_epochs=30)
    fitted.fit(module, data)
    draw(photos.parent / "new" / "light.png", 210, size=30)
    draw(photos.parent / "new" / "deep" / "dark.png", 45, size=5)
    data.predict_from = str(photos.parent / "new")
    writer = PredictionWriter("out/table.csv")
    results = trainer(callbacks=[writer]).predict(module, data)
    with open("out/table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(r["sample"]).name for r in rows] == ["dark.png", "light.png"]
    assert [r["class"] for r in rows] == ["cat", "emu"]
    assert [float(r["probability"]) for r in rows] == pytest.approx(torch.cat(results).amax(-1).tolist(), abs=1e-4)
    with pytest.raises(FileExistsError, match="exists. Move it away or pass `--predictions.path`"):
        trainer(callbacks=[writer]).predict(module, data)
    data.predict_from = str(photos.parent / "empty")
    with pytest.raises(FileNotFoundError, match="folder with image files"):
        trainer(callbacks=[PredictionWriter("other.csv")]).predict(module, data)
    assert not list(Path.cwd().glob("*other*"))
