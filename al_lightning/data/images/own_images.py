"""A user's own images: files of any size, resized and kept in memory, whatever is learned of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.images.files import read_image
from al_lightning.data.images.module import ImageDataModule, ImageOptions


class OwnImages(ImageDataModule):
    """Abstract base of sets that a user names: a subclass says which files there are, and what is learned.

    Args:
        root: folder of the images.
        batch_size: images per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains.
        seed: seed of the validation split, label noise, order and augmentation.
        augment: whether training images are cropped, flipped and changed in brightness at random.
        image_size: height and width to which images are resized (bilinear; proportions are not kept).
        in_channels: 3 for colour, 1 for grey.
        test_fraction: share of the images that is the test split where there is none.
        mean: mean of pixels in [0, 1], per channel or one for all.
        std: standard deviation of pixels in [0, 1], per channel or one for all.
        options: see :class:`~al_lightning.data.ImageDataModule`.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        root: str,
        batch_size: int,
        val_fraction: float,
        num_workers: int,
        seed: int,
        *,
        augment: bool,
        image_size: int,
        in_channels: Literal[1, 3],
        test_fraction: float,
        mean: Sequence[float],
        std: Sequence[float],
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

    def read_images(self, files: Sequence[Path]) -> Tensor:
        """Decode and resize image files: (N, C, H, W) uint8."""
        with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
            return torch.stack(list(pool.map(lambda f: read_image(f, self.in_channels, self.image_size), files)))
