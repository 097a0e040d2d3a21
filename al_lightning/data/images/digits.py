"""Handwritten digits that come with scikit-learn: nothing to download."""

from __future__ import annotations

from typing import Literal

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from al_lightning.data.images.module import ImageDataModule


class Digits(ImageDataModule):
    """1,797 grey 8x8 images of 10 handwritten digits (Alpaydin and Kaynak, 1998), bundled with scikit-learn.

    The test split is always the same 20 % of the images, stratified by digit. ``root`` is not read.
    """

    num_classes = 10
    class_names = tuple("0123456789")
    in_channels = 1
    native_size = 8
    pixel_range = 16.0
    mean = (0.305,)
    std = (0.376,)
    test_fraction = 0.2

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Images (N, 1, 8, 8) uint8 in 0..16 and labels of a split."""
        bundle = load_digits()
        images = torch.as_tensor(bundle.images).to(torch.uint8).unsqueeze(1)
        labels = torch.as_tensor(bundle.target).long()
        own = self.own_part(labels, split)
        return images[own], labels[own]
