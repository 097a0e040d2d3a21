"""Which folders of a user's images are classes, and which are splits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from set_files import draw

from al_lightning.cli.main import main
from al_lightning.data import ImageFolder

N = 10


def folders(root: Path, *names: str, n: int = N) -> Path:
    for value, name in enumerate(names):
        for i in range(n):
            draw(root / name / f"{i}.png", 20 * value + i, size=4)
    return root


def build(root: Path, **arguments: Any) -> ImageFolder:
    return ImageFolder(root=str(root), image_size=4, val_fraction=0, batch_size=4, **arguments)


def sizes(data: ImageFolder) -> tuple[int, int]:
    return len(data.dataset("train").images), len(data.dataset("test").images)


def pixels(data: ImageFolder, split: Any) -> list[int]:
    return sorted(data.dataset(split).images[:, 0, 0, 0].tolist())


@pytest.mark.parametrize(
    "names", [("plane", "train"), ("plane", "test", "train"), ("plane", "test"), ("test", "train")]
)
def test_classes_called_train_and_test(names: tuple[str, ...], tmp_path: Path) -> None:
    data = build(folders(tmp_path, *names))
    assert data.class_names == list(names)
    assert sizes(data) == (8 * len(names), 2 * len(names))
    assert data.dataset("test").labels.tolist() == [k for k in range(len(names)) for _ in range(2)]
    assert sorted(pixels(data, "train") + pixels(data, "test")) == [
        20 * k + i for k in range(len(names)) for i in range(N)
    ]


def test_a_class_called_train_with_images_and_folders(tmp_path: Path) -> None:
    data = build(folders(tmp_path, "plane", "train", "train/steam"))
    assert data.class_names == ["plane", "train"]
    assert sum(sizes(data)) == 3 * N


def test_a_stray_image_beside_the_classes_of_train(tmp_path: Path) -> None:
    """The classes would be called train and test without a word."""
    root = folders(tmp_path, "train/a", "train/b", "test/a", "test/b")
    draw(root / "train" / "cover.png", 0)
    with pytest.raises(ValueError, match="train to hold either images or one folder .* got both. Move the images out"):
        build(root)
    assert build(root, class_names=["test", "train"]).num_classes == 2
    (root / "train" / "cover.png").rename(root / "train" / ".cover.png")
    assert build(root).class_names == ["a", "b"]


def test_a_split_without_test_images(tmp_path: Path) -> None:
    data = build(folders(tmp_path, "train/a", "train/b"), test_fraction=0.3)
    assert data.class_names == ["a", "b"]
    assert sizes(data) == (14, 6)
    assert sorted(pixels(data, "train") + pixels(data, "test")) == [*range(N), *range(20, 20 + N)]


def test_test_images_without_one_of_the_classes(tmp_path: Path) -> None:
    root = folders(tmp_path, "train/a", "train/b", "train/c", "test/a", "test/c")
    (root / "test" / "b").mkdir()
    data = build(root)
    assert sizes(data) == (3 * N, 2 * N)
    assert data.dataset("test").labels.tolist() == [0] * N + [2] * N


def test_test_images_of_an_unknown_class(tmp_path: Path) -> None:
    root = folders(tmp_path, "train/a", "train/b", "test/a", "test/zebra", "test/yak")
    with pytest.raises(ValueError, match="every class of .*test to be one of .*train, but got yak, zebra in addition"):
        build(root)
    with pytest.raises(ValueError, match="but got yak, zebra in addition"):
        build(root, class_names=["a", "b"]).setup("test")
    shutil.rmtree(root / "test" / "yak")
    shutil.rmtree(root / "test" / "zebra")
    (root / "test" / "empty").mkdir()
    assert sizes(build(root)) == (2 * N, N)


def test_classes_may_be_left_out(tmp_path: Path) -> None:
    root = folders(tmp_path, "train/a", "train/b", "train/c", "test/a", "test/b", "test/c")
    assert sizes(build(root, class_names=["c", "a"])) == (2 * N, 2 * N)


def test_test_images_in_no_folder(tmp_path: Path) -> None:
    """As in competitions that keep the classes of their test images."""
    data = build(folders(tmp_path, "train/a", "train/b", "test"))
    assert len(data.dataset("train").images) == 2 * N
    with pytest.raises(FileNotFoundError, match="folders of images called a, b in .*test, but .*`predict_from`"):
        data.setup("test")


def test_nothing_but_test_images(tmp_path: Path) -> None:
    """A checkpoint knows the classes, so that testing needs no training images."""
    root = folders(tmp_path, "test/a", "test/b")
    assert len(build(root, class_names=["a", "b"]).dataset("test").images) == 2 * N
    with pytest.raises(FileNotFoundError, match="under .*train, but found 0"):
        build(root)
    with pytest.raises(ValueError, match="but got b in addition"):
        build(root, class_names=["a", "z"]).setup("test")


@pytest.mark.parametrize("parent", [".", "train"])
def test_hidden_folders_and_files_are_no_classes(parent: str, tmp_path: Path) -> None:
    root = folders(tmp_path / ".data", f"{parent}/a", f"{parent}/b")
    folders(
        root, f"{parent}/.ipynb_checkpoints", f"{parent}/__MACOSX", f"{parent}/a/.ipynb_checkpoints", "__MACOSX/train/a"
    )
    folders(root, f"{parent}/a/__MACOSX/deep")
    (root / parent / "a" / "._0.png").write_text("no image")
    data = build(root)
    assert data.class_names == ["a", "b"]
    assert sum(sizes(data)) == 2 * N


def test_a_folder_of_hidden_images_is_empty(tmp_path: Path) -> None:
    root = folders(tmp_path, "a", "b")
    folders(root, "c/.ipynb_checkpoints")
    with pytest.raises(FileNotFoundError, match="folder with image files .* at .*c, but found none"):
        build(root).setup("fit")


def test_numbers_as_class_names(tmp_path: Path) -> None:
    root = folders(tmp_path, "0", "1", "2")
    for names in ([2, 0], ["2", 0], (2, 0), np.array([2, 0])):
        data = build(root, class_names=names)
        assert data.class_names == ["2", "0"]
        assert sum(sizes(data)) == 2 * N
        assert set(pixels(data, "train") + pixels(data, "test")) == {*range(40, 40 + N), *range(N)}


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("ab", TypeError, "`class_names` to be a list of names, but got 'ab'"),
        ([True, False], TypeError, r"but got \[True, False\]. Write names in quotation marks"),
        ([1.5, 2.5], TypeError, r"but got \[1.5, 2.5\]"),
        (["0", 0], ValueError, r"at least two different names, but got \['0', '0'\]"),
        ([], ValueError, r"at least two different names, but got \[\]"),
    ],
)
def test_class_names_that_are_none(names: Any, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        build(tmp_path, class_names=names)


@pytest.mark.parametrize("written", ['[1, 0, "007"]', '["1", "0", "007"]'])
def test_numbers_as_class_names_on_the_command_line(written: str, tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", "0", "1", "007")
    network = ["--model", "MLPAL", "--model.hidden_dims", "[4]", "--model.norm", "null"]
    images = ["--data", "ImageFolder", "--data.root", str(root), "--data.image_size", "4", "--data.batch_size", "4"]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "1"]
    fitted = main(["fit", *network, *images, *quiet, "--data.class_names", written])
    assert fitted is not None
    assert fitted.datamodule.class_names == ["1", "0", "007"]
    checkpoint = str(fitted.trainer.checkpoint_callback.best_model_path)  # type: ignore[union-attr]
    assert ImageFolder.load_from_checkpoint(checkpoint).class_names == ["1", "0", "007"]
    predicted = main(["test", "--ckpt_path", checkpoint, *quiet[:4]])
    assert predicted is not None
    assert predicted.datamodule.class_names == ["1", "0", "007"]
