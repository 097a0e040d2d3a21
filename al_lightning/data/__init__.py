"""LightningDataModules: what a batch ``(x, y)`` is and where it comes from."""

from al_lightning.data.base import ClassificationDataModule
from al_lightning.data.cifar10 import CIFAR10
from al_lightning.data.digits import Digits
from al_lightning.data.fashion_mnist import FashionMNIST
from al_lightning.data.image import ImageDataModule, ImageOptions
from al_lightning.data.image_folder import ImageFolder

__all__ = [
    "CIFAR10",
    "ClassificationDataModule",
    "Digits",
    "FashionMNIST",
    "ImageDataModule",
    "ImageFolder",
    "ImageOptions",
]
