"""LightningDataModules: what a batch ``(x, y)`` is and where it comes from."""

from al_lightning.data.base import BaseDataModule
from al_lightning.data.images.cifar10 import CIFAR10
from al_lightning.data.images.digits import Digits
from al_lightning.data.images.fashion_mnist import FashionMNIST
from al_lightning.data.images.image_folder import ImageFolder
from al_lightning.data.images.image_table import ImageTable
from al_lightning.data.images.module import ImageDataModule, ImageOptions
from al_lightning.data.options import DataOptions
from al_lightning.data.tables.diabetes import Diabetes
from al_lightning.data.tables.module import TableDataModule
from al_lightning.data.tables.table import Table
from al_lightning.data.texts.ag_news import AGNews
from al_lightning.data.texts.dbpedia import DBpedia
from al_lightning.data.texts.imdb import IMDB
from al_lightning.data.texts.module import TextDataModule, TextOptions
from al_lightning.data.texts.sst2 import SST2
from al_lightning.data.texts.text_classification import TextClassification
from al_lightning.data.texts.text_table import TextTable

__all__ = [
    "CIFAR10",
    "IMDB",
    "SST2",
    "AGNews",
    "BaseDataModule",
    "DBpedia",
    "DataOptions",
    "Diabetes",
    "Digits",
    "FashionMNIST",
    "ImageDataModule",
    "ImageFolder",
    "ImageOptions",
    "ImageTable",
    "Table",
    "TableDataModule",
    "TextClassification",
    "TextDataModule",
    "TextOptions",
    "TextTable",
]
