"""CIFAR-10 (Krizhevsky, 2009)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10 as TorchvisionCIFAR10

from al_lightning.data.images.download import open_or_download
from al_lightning.data.images.module import ImageDataModule


class CIFAR10(ImageDataModule):
    """60,000 colour 32x32 images of 10 classes (Krizhevsky, 2009): 50,000 to train, the official 10,000 to test.

    Looked for as ``root/cifar-10-batches-py``, and downloaded there if it is missing; the md5 sum of every file is
    checked. Training images are augmented by default.
    """

    num_classes = 10
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    in_channels = 3
    native_size = 32
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    default_augment = True

    def prepare_data(self) -> None:
        """Download the files if they are missing; Lightning calls it on one process per node."""
        self._open(train=True)

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Images (N, 3, 32, 32) uint8 and labels of an official split."""
        opened = self._open(train=split == "train")
        images = torch.from_numpy(opened.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(opened.targets)

    def _open(self, train: bool) -> TorchvisionCIFAR10:
        return open_or_download(
            lambda download: TorchvisionCIFAR10(self.root, train=train, download=download),
            self.root,
            TorchvisionCIFAR10.base_folder,
            TorchvisionCIFAR10.url,
        )
