"""A user's own images, in one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.images.files import image_files, read_image
from al_lightning.data.images.module import DEFAULT_SIZE, ImageDataModule, ImageOptions


class ImageFolder(ImageDataModule):
    """Images of ``root/<class>/*``, or of ``root/train/<class>/*`` and ``root/test/<class>/*`` if these exist.

    All images are decoded and resized once and stay in memory: N x C x H x W bytes.

    Args:
        root: the folder.
        batch_size: images per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains.
        seed: seed of the validation split, label noise, order and augmentation.
        augment: whether training images are cropped, flipped and changed in brightness at random.
        image_size: height and width to which images are resized (bilinear; proportions are not kept).
        in_channels: 3 for colour, 1 for grey.
        test_fraction: share of the images that is the test split where there is no ``root/test``; always the same
            images.
        mean: mean of pixels in [0, 1], per channel or one for all.
        std: standard deviation of pixels in [0, 1], per channel or one for all.
        class_names: names of the folders in the order of the class numbers; all, sorted by name, if None.
        options: see :class:`~al_lightning.data.ImageDataModule`.

    Raises:
        FileNotFoundError: if ``root`` holds no folder of images.
        ValueError: if an argument is out of its range.
    """

    class_names: Sequence[str]

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool = False,
        image_size: int = DEFAULT_SIZE,
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
        self.class_names = list(class_names or self._find_classes())
        self.num_classes = len(self.class_names)
        self.record(class_names=self.class_names)  # so that predicting needs no training images

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels of a split."""
        folder = self._folder(split)
        found = [(file, label) for label, name in enumerate(self.class_names) for file in image_files(folder / name)]
        labels = torch.tensor([label for _, label in found])
        own = self.own_part(labels, split) if folder == Path(self.root) else torch.arange(len(found))
        files = [found[i][0] for i in own.tolist()]
        with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
            images = list(pool.map(lambda f: read_image(f, self.in_channels, self.image_size), files))
        return torch.stack(images), labels[own]

    def _folder(self, split: str) -> Path:
        folder = Path(self.root) / split
        return folder if folder.is_dir() else Path(self.root)

    def _find_classes(self) -> list[str]:
        folder = self._folder("train")
        names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        if len(names) < 2:
            raise FileNotFoundError(
                f"Expected at least two folders of images, one per class, under {folder}, "
                f"but found {len(names)}. Name the right folder with `root`."
            )
        return names
