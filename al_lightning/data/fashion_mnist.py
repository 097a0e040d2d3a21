"""Fashion-MNIST (Xiao et al., 2017)."""

from __future__ import annotations

from torch import Tensor
from torchvision.datasets import FashionMNIST as TorchvisionFashionMNIST
from typing_extensions import Unpack

from al_lightning.data.base import Split
from al_lightning.data.download import open_or_download
from al_lightning.data.image import ImageDataModule, ImageOptions


class FashionMNIST(ImageDataModule):
    """70,000 grey 28x28 images of 10 kinds of clothing; the official 10,000 test images.

    Args:
        root: folder with ``FashionMNIST/raw``; downloaded there if it is missing.
        batch_size: samples a batch and process.
        val_fraction: share of the 60,000 training images held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise, order and augmentation.
        augment: crop, flip and change brightness.
        image_size: height and width of a batch; 32 pads with zeros, which VGG needs.
        options: see :class:`~al_lightning.data.ImageDataModule`.
    """

    num_classes = 10
    in_channels = 1
    native_size = 28
    mean = (0.2860,)
    std = (0.3530,)

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool = False,
        image_size: int = 28,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, augment=augment, image_size=image_size, **options
        )
        self.class_names = [
            "T-shirt/top", "trouser", "pullover", "dress", "coat",
            "sandal", "shirt", "sneaker", "bag", "ankle boot",
        ]  # fmt: skip

    def prepare_data(self) -> None:
        """Look for the files, and download them if they are not there; one process does it for all."""
        self._open(train=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images (N, 1, 28, 28) uint8 and labels of an official split."""
        opened = self._open(train=split == "train")
        return opened.data.unsqueeze(1), opened.targets.long()

    def _open(self, train: bool) -> TorchvisionFashionMNIST:
        return open_or_download(
            lambda download: TorchvisionFashionMNIST(self.root, train=train, download=download),
            self.root,
            "FashionMNIST/raw",
            TorchvisionFashionMNIST.mirrors[0],
        )
