"""A user's own images, named in a table with the numbers to learn of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.columns import chosen_columns
from al_lightning.data.images.module import DEFAULT_SIZE, ImageOptions
from al_lightning.data.images.own_images import OwnImages
from al_lightning.data.table_files import read_table, table_files, table_source
from al_lightning.targets.base import Target


class ImageTable(OwnImages):
    """Images with real numbers, or any number of labels, in a csv or parquet file that names their files.

    All images are decoded and resized once and stay in memory: N x C x H x W bytes.

    Args:
        root: folder of the images: names of files are below it, or whole paths.
        batch_size: images per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains.
        seed: seed of the validation split, order and augmentation.
        table: a csv or parquet file; or a folder with ``train.csv`` and ``test.csv`` (or ``<split>-*.parquet``).
            Looked for below ``root``, then as a path.
        file_column: column of the names of the files.
        value_columns: columns of real numbers to learn; these or ``label_columns``.
        label_columns: columns of labels to learn, 0 or 1 each.
        augment: whether training images are cropped, flipped and changed in brightness at random.
        image_size: height and width to which images are resized (bilinear; proportions are not kept).
        in_channels: 3 for colour, 1 for grey.
        test_fraction: share of the images that is the test split where there is no test file; always the same images.
        mean: mean of pixels in [0, 1], per channel or one for all.
        std: standard deviation of pixels in [0, 1], per channel or one for all.
        encoding: of csv files.
        options: see :class:`~al_lightning.data.ImageDataModule`; ``predict_from`` is an image file or a folder of them.

    Raises:
        FileNotFoundError: if the table or an image is not found.
        TypeError: if columns are no lists of names.
        ValueError: if an argument or the table is not as expected.
    """

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        table: str,
        file_column: str = "file",
        value_columns: Sequence[str] | None = None,
        label_columns: Sequence[str] | None = None,
        augment: bool = False,
        image_size: int = DEFAULT_SIZE,
        in_channels: Literal[1, 3] = 3,
        test_fraction: float = 0.2,
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.5,),
        encoding: str = "utf-8",
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, augment=augment, image_size=image_size,
            in_channels=in_channels, test_fraction=test_fraction, mean=mean, std=std, **options,
        )  # fmt: skip
        self._table, self._path = table, table_source(root, table, "table")
        self._file_column = file_column
        self._targets = chosen_columns(value_columns, label_columns)
        self._encoding = encoding

    def find_target(self) -> Target:
        """Values standardised by the training images, or labels."""
        return self._targets.target(self.training_labels())

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels of a split: values (N, D) float32, or 0 and 1 (N, D) uint8."""
        tables, both = table_files(self.root, self._table, self._path, split, "table")
        wanted, images, labels = [self._file_column, *self._targets.names], [], []
        for table in tables:
            remedy = "Set `file_column` and `value_columns` or `label_columns`."
            columns = read_table(table, wanted, self._encoding, remedy)
            images += self._files(columns[self._file_column], table)
            labels.append(self._targets.labels(self._targets.read(columns, str(table))))
        everything = torch.cat(labels)
        own = self.own_part(everything, split) if both else torch.arange(len(everything))
        return self.read_images([images[n] for n in own.tolist()]), everything[own]

    def _files(self, names: Sequence[object], table: Path) -> list[Path]:
        files = [Path(self.root) / str(name) for name in names]  # of a whole path, that path
        for row, (name, file) in enumerate(zip(names, files)):
            if not file.is_file():
                raise FileNotFoundError(
                    f"Expected an image file in every row of {table}, but there is none at {file}, which row {row} "
                    f"calls {name!r}. Set `root` to the folder of the images, or remove the row."
                )
        return files
