"""LightningDataModules: what a batch ``(x, y)`` is and where it comes from."""

from al_lightning.data.ag_news import AGNews
from al_lightning.data.base import ClassificationDataModule
from al_lightning.data.cifar10 import CIFAR10
from al_lightning.data.dbpedia import DBpedia
from al_lightning.data.digits import Digits
from al_lightning.data.fashion_mnist import FashionMNIST
from al_lightning.data.image import ImageDataModule, ImageOptions
from al_lightning.data.image_folder import ImageFolder
from al_lightning.data.imdb import IMDB
from al_lightning.data.sst2 import SST2
from al_lightning.data.text_classification import TextClassification
from al_lightning.data.textdata import TextDataModule, TextOptions

__all__ = [
    "CIFAR10",
    "IMDB",
    "SST2",
    "AGNews",
    "ClassificationDataModule",
    "DBpedia",
    "Digits",
    "FashionMNIST",
    "ImageDataModule",
    "ImageFolder",
    "ImageOptions",
    "TextClassification",
    "TextDataModule",
    "TextOptions",
]
