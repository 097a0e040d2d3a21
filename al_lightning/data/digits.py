"""Handwritten digits that come with scikit-learn: nothing to download."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.base import Split, stratified_split
from al_lightning.data.image import ImageDataModule, ImageOptions

#: Share of the 1,797 images that is the test split, and the seed that names it for ever.
TEST_FRACTION, TEST_SEED = 0.2, 0


class Digits(ImageDataModule):
    """1,797 grey 8x8 images of 10 digits (UCI; Alpaydin and Kaynak, 1998); test is a fixed, stratified 20 %.

    Args:
        root: not used; there for the sake of a common interface.
        batch_size: samples a batch and process.
        val_fraction: share of the training split held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise and order.
        augment: crop, flip and change brightness; makes little sense for digits.
        image_size: height and width of a batch; larger than 8 pads with zeros.
        options: see :class:`~al_lightning.data.ImageDataModule`.
    """

    num_classes = 10
    in_channels = 1
    native_size = 8
    pixel_range = 16.0
    mean = (0.305,)
    std = (0.376,)

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool = False,
        image_size: int = 8,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, augment=augment, image_size=image_size, **options
        )
        self.class_names = [str(digit) for digit in range(10)]

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images (N, 1, 8, 8) uint8 in 0..16 and labels of a split."""
        bundle = load_digits()
        images = torch.as_tensor(bundle.images).to(torch.uint8).unsqueeze(1)
        labels = torch.as_tensor(bundle.target).long()
        train, test = stratified_split(labels, TEST_FRACTION, TEST_SEED, "the test share")
        kept = train if split == "train" else test
        return images[kept], labels[kept]
