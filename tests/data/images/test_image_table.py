"""A user's own images, named in a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from set_files import draw

from al_lightning.data import ImageTable
from al_lightning.targets import LabelTarget, ValueTarget

ROWS = [{"file": f"{'deep/' if k % 2 else ''}{k}.png", "light": 10.0 * k, "odd": k % 2, "big": int(k > 9)}
        for k in range(20)]  # fmt: skip


def write(name: str, rows: list[dict[str, Any]]) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def photos() -> None:
    for row in ROWS:
        draw(Path("photos", row["file"]), int(row["light"]))
    write("photos/t.csv", ROWS)


def test_images_and_what_is_learned_of_them(photos: None) -> None:
    data = ImageTable("photos", table="t.csv", value_columns=["light"], image_size=6, in_channels=1)
    assert [len(data.indices(split)) for split in ("train", "val", "test")] == [14, 2, 4]  # type: ignore[arg-type]
    for split in ("train", "test"):
        images, values, _ = data.dataset(split)[data.indices(split)]  # type: ignore[arg-type]
        assert images.shape[1:] == (1, 6, 6)
        assert images[:, 0, 0, 0].tolist() == values[:, 0].tolist()  # each pixel is as light as the table says
    target = data.target
    assert isinstance(target, ValueTarget)
    assert target.mean == pytest.approx([float(data.training_labels().mean())])
    labels = ImageTable("photos", table="photos/t.csv", label_columns=["odd", "big"])
    assert isinstance(labels.target, LabelTarget)
    assert labels.dataset("train").labels.dtype == torch.uint8


def test_a_folder_of_tables_has_its_own_test_rows(photos: None) -> None:
    write("tables/train.csv", ROWS[:15])
    write("tables/test.csv", ROWS[15:])
    data = ImageTable("photos", table="tables", value_columns=["light"])
    assert data.dataset("test").labels.flatten().tolist() == [row["light"] for row in ROWS[15:]]
    assert len(data.indices("train")) + len(data.indices("val")) == 15


def test_mistakes_are_named(photos: None) -> None:
    Path("photos/deep/3.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"of photos/t.csv, but there is none at photos/deep/3.png, which row 3"
    ):
        ImageTable("photos", table="t.csv", value_columns=["light"]).setup("fit")
    with pytest.raises(ValueError, match="Expected columns name, light in photos/t.csv, .* Set `file_column`"):
        ImageTable("photos", table="t.csv", file_column="name", value_columns=["light"]).setup("fit")
    with pytest.raises(ValueError, match="exactly one of `value_columns`, `label_columns`, but got none"):
        ImageTable("photos", table="t.csv")
    with pytest.raises(FileNotFoundError, match="`table` to be a file or folder, but there is none at photos/u.csv"):
        ImageTable("photos", table="u.csv", value_columns=["light"]).setup("fit")
    with pytest.raises(ValueError, match="`in_channels` to be 1 or 3, but got 2"):
        ImageTable("photos", table="t.csv", value_columns=["light"], in_channels=2)  # type: ignore[arg-type]
