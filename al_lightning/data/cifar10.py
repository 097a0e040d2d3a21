"""CIFAR-10 (Krizhevsky, 2009)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10 as TorchvisionCIFAR10
from typing_extensions import Unpack

from al_lightning.data.base import Split
from al_lightning.data.download import open_or_download
from al_lightning.data.image import ImageDataModule, ImageOptions


class CIFAR10(ImageDataModule):
    """60,000 colour 32x32 images of 10 classes; the official 10,000 test images; md5 of every file is checked.

    Args:
        root: folder with ``cifar-10-batches-py``; downloaded there if it is missing.
        batch_size: samples a batch and process.
        val_fraction: share of the 50,000 training images held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise, order and augmentation.
        augment: the paper's crop, flip and brightness (section 6.6).
        image_size: height and width of a batch; larger than 32 pads with zeros.
        options: see :class:`~al_lightning.data.ImageDataModule`.
    """

    num_classes = 10
    in_channels = 3
    native_size = 32
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool = True,
        image_size: int = 32,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, augment=augment, image_size=image_size, **options
        )
        self.class_names = [
            "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
        ]  # fmt: skip

    def prepare_data(self) -> None:
        """Look for the files, and download them if they are not there; one process does it for all."""
        self._open(train=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
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
