"""Fashion-MNIST (Xiao et al., 2017)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torchvision.datasets import FashionMNIST as TorchvisionFashionMNIST

from al_lightning.data.images.download import open_or_download
from al_lightning.data.images.module import ImageDataModule


class FashionMNIST(ImageDataModule):
    """70,000 grey 28x28 images of 10 kinds of clothing (Xiao et al., 2017): 60,000 to train, 10,000 to test.

    Looked for as ``root/FashionMNIST/raw``, and downloaded there if it is missing. VGG needs ``image_size=32``, which
    pads with zeros.
    """

    num_classes = 10
    class_names = (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    in_channels = 1
    native_size = 28
    mean = (0.2860,)
    std = (0.3530,)

    def prepare_data(self) -> None:
        """Download the files if they are missing; Lightning calls it on one process per node."""
        self._open(train=True)

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
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
