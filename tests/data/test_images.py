"""Splits, noise, augmentation and each parser of images, on data made here."""

from __future__ import annotations

import csv
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor

from al_lightning import MLPAL, MLPBP
from al_lightning.callbacks import PredictionWriter
from al_lightning.data import CIFAR10, Digits, FashionMNIST, ImageFolder
from al_lightning.data.image import BRIGHTNESS, ImageBatch, augment
from al_lightning.training import randomness

# ---------------------------------------------------------------------- augmentation


def augment_reference(image: Tensor, index: int, seed: int, epoch: int) -> Tensor:
    """One image at a time, pixel by pixel."""
    top, left, flip, light = randomness.uniform(4, torch.tensor([index]), seed, epoch)[0].tolist()
    channels, height, width = image.shape
    out = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            source = (width - 1 - column) if flip < 0.5 else column
            y, x = row + int(top * 9) - 4, source + int(left * 9) - 4
            if 0 <= y < height and 0 <= x < width:
                out[:, row, column] = image[:, y, x]
    return out + (2 * light - 1) * BRIGHTNESS


def test_augmentation_equals_the_reference() -> None:
    images = torch.rand(12, 3, 7, 7)
    index = torch.arange(100, 112)
    batch = augment(images, index, seed=4, epoch=2)
    for n in range(12):
        torch.testing.assert_close(batch[n], augment_reference(images[n], 100 + n, 4, 2))
    assert torch.equal(augment(images[[3, 1]], index[[3, 1]], 4, 2), batch[[3, 1]])
    assert not torch.equal(augment(images, index, 4, 3), batch)


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


# ---------------------------------------------------------------------- splits and noise


def test_validation_split_is_seeded_and_stratified() -> None:
    a, b, c = Digits(seed=0), Digits(seed=0), Digits(seed=1)
    for data in (a, b, c):
        data.setup("fit")
    assert torch.equal(a.indices("val"), b.indices("val"))
    assert not torch.equal(a.indices("val"), c.indices("val"))
    assert len(a.indices("val")) == 144
    assert not set(a.indices("val").tolist()) & set(a.indices("train").tolist())
    counts = a.dataset("val").labels[a.indices("val")].bincount()
    assert counts.max() - counts.min() <= 2
    assert len(a.indices("test")) == 360
    x, y = a.prepare(next(iter(a.train_dataloader())))
    assert abs(float(x.mean())) < 0.1
    assert abs(float(x.std()) - 1) < 0.1


@pytest.mark.parametrize("theta", [0.0, 0.4, 1.0])
def test_label_noise_redraws_over_all_classes(theta: float) -> None:
    clean, noisy = Digits(), Digits(label_noise=theta)
    kept = Digits(label_noise=theta, noisy_validation=False)
    for data in (clean, noisy, kept):
        data.setup("fit")
    changed = (clean.dataset("train").labels != noisy.dataset("train").labels).float().mean()
    assert float(changed) == pytest.approx(0.9 * theta, abs=0.03)  # one redraw in ten hits the same class
    assert torch.equal(clean.indices("val"), noisy.indices("val"))
    val = kept.indices("val")
    assert torch.equal(kept.dataset("val").labels[val], clean.dataset("val").labels[val])
    train = kept.indices("train")
    assert torch.equal(kept.dataset("train").labels[train], noisy.dataset("train").labels[train])
    assert torch.equal(clean.dataset("test").labels, noisy.dataset("test").labels)


def test_label_noise_is_uniform() -> None:
    data = Digits(label_noise=1.0)
    data.setup("fit")
    shares = data.dataset("train").labels.bincount(minlength=10) / 1437
    assert shares.tolist() == pytest.approx([0.1] * 10, abs=0.03)


def test_a_subset_of_the_training_data() -> None:
    data = Digits(train_samples=500)
    data.setup("fit")
    assert len(data.indices("train")) + len(data.indices("val")) == 500
    assert len(data.indices("test")) == 360


def test_padding_to_a_larger_size() -> None:
    data = Digits(image_size=12)
    images = data.dataset("test").images
    assert images.shape[-2:] == (12, 12)
    assert int(images[:, :, :2].sum() + images[:, :, -2:].sum()) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(val_fraction=1.0), r"`val_fraction` to be in \[0, 1\), but got 1\.0: 1 would leave nothing"),
        (dict(val_fraction=-0.1), r"`val_fraction` to be in \[0, 1\), but got -0\.1"),
        (dict(batch_size=0), "`batch_size` to be at least 1, but got 0"),
        (dict(num_workers=-1), "`num_workers` to be at least 0, but got -1"),
        (dict(seed=-1), "`seed` to be at least 0, but got -1"),
        (dict(label_noise=1.5), r"`label_noise` to be in \[0, 1\], but got 1\.5"),
        (dict(image_size=0), "`image_size` to be at least 1, but got 0"),
        (dict(train_samples=0), "`train_samples` to be at least 1, but got 0"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(**arguments)


def test_a_smaller_size_than_the_images_is_refused() -> None:
    with pytest.raises(ValueError, match="`image_size` to be at least 8, .* but got 4"):
        Digits(image_size=4).setup("fit")


def test_no_validation(trainer: Callable[..., pl.Trainer]) -> None:
    data = Digits(val_fraction=0, train_samples=200)
    fitted = trainer(max_epochs=1)
    fitted.fit(MLPAL(10, 1, 8, hidden_dims=[8]), data)
    assert "val_acc" not in fitted.callback_metrics
    assert len(data.indices("train")) == 200


def test_workers_change_nothing(trainer: Callable[..., pl.Trainer]) -> None:
    finals = []
    for workers in (0, 1):
        torch.manual_seed(0)
        module = MLPBP(10, 1, 8, hidden_dims=[8])
        trainer(max_epochs=1).fit(module, Digits(train_samples=200, num_workers=workers))
        finals.append([p.detach().clone() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*finals))


# ---------------------------------------------------------------------- files


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


def test_cifar10_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_cifar(tmp_path)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *args: True)
    data = CIFAR10(root=str(tmp_path), val_fraction=0.2)
    assert torch.equal(data.dataset("train").images, torch.cat([images[f"data_batch_{i}"] for i in range(1, 6)]))
    assert torch.equal(data.dataset("test").images, images["test_batch"])
    assert data.dataset("test").labels.tolist() == [i % 10 for i in range(20)]


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


def test_fashion_mnist_parser(tmp_path: Path) -> None:
    pixels = write_fashion(tmp_path)
    data = FashionMNIST(root=str(tmp_path), image_size=32)
    images = data.dataset("test").images
    assert images.shape == (20, 1, 32, 32)
    assert torch.equal(images[:, 0, 2:30, 2:30], pixels)
    assert data.dataset("test").labels.tolist() == [i % 10 for i in range(20)]


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


def draw(path: Path, value: int, size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), value, dtype=np.uint8)).save(path)


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


def test_pixel_range_of_predicted_files(tmp_path: Path) -> None:
    """A photo of a digit has 256 grey values, the data set 17."""
    draw(tmp_path / "in" / "a.png", 255)
    data = Digits(predict_from=str(tmp_path / "in"))
    data.setup("predict")
    assert int(data.dataset("predict").images.max()) == 16
