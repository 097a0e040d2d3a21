"""A user's own images, one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.base import Split, stratified_split
from al_lightning.data.image import ImageDataModule, ImageOptions, image_files, read_image

#: Seed of the test split, apart from ``seed``, so that the test images stay the same for every run.
TEST_SEED = 0


class ImageFolder(ImageDataModule):
    """Images of ``root/<class>/*``, or of ``root/train/<class>/*`` and ``root/test/<class>/*`` if these exist.

    All images are decoded and resized once and stay in memory: N x C x H x W bytes.

    Args:
        root: the folder.
        batch_size: samples a batch and process.
        val_fraction: share of the training split held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise, order and augmentation.
        augment: crop, flip and change brightness.
        image_size: height and width to which images are resized (bilinear; proportions are not kept).
        in_channels: 3 for colour, 1 for grey.
        test_fraction: share of ``root/<class>/*`` that is the test split, where there is no ``root/test``.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        class_names: the classes in the order of their labels; the sorted folder names if None.
        options: see :class:`~al_lightning.data.ImageDataModule`.

    Raises:
        FileNotFoundError: if ``root`` holds no folder of images.
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool = False,
        image_size: int = 32,
        in_channels: Literal[1, 3] = 3,
        test_fraction: float = 0.2,
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.5,),
        class_names: list[str] | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, augment=augment, image_size=image_size, **options
        )
        if in_channels not in (1, 3):
            raise ValueError(f"Expected `in_channels` to be 1 or 3, but got {in_channels}.")
        if not 0 < test_fraction < 1:
            raise ValueError(f"Expected `test_fraction` to be in (0, 1), but got {test_fraction}.")
        if len(mean) not in (1, in_channels) or len(std) != len(mean) or min(std) <= 0:
            raise ValueError(
                f"Expected `mean` and `std` to hold 1 or {in_channels} numbers each, std above 0, "
                f"but got {list(mean)} and {list(std)}."
            )
        self.in_channels = in_channels
        self.test_fraction = test_fraction
        self.mean, self.std = tuple(mean), tuple(std)
        self.class_names = class_names or self._find_classes()
        self.num_classes = len(self.class_names)
        self.record(class_names=self.class_names)  # predicting needs no training images

    def _folder(self, split: Split) -> Path:
        folder = Path(self.root) / split
        return folder if folder.is_dir() else Path(self.root)

    def _find_classes(self) -> list[str]:
        folder = self._folder("train")
        names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        if len(names) < 2:
            raise FileNotFoundError(
                f"Expected at least two folders of images, one a class, under {folder}, "
                f"but found {len(names)}. Name the right folder with `root`."
            )
        return names

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels of a split."""
        folder = self._folder(split)
        found = [(file, label) for label, name in enumerate(self.class_names) for file in image_files(folder / name)]
        labels = torch.tensor([label for _, label in found])
        kept = torch.arange(len(found))
        if folder == Path(self.root):
            train, test = stratified_split(labels, self.test_fraction, TEST_SEED, "test_fraction")
            kept = train if split == "train" else test
        files = [found[i][0] for i in kept.tolist()]
        with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
            images = list(pool.map(lambda f: read_image(f, self.in_channels, self.image_size), files))
        return torch.stack(images), labels[kept]
