"""Titles and abstracts of 14 kinds of things (Zhang et al., 2015)."""

from __future__ import annotations

from typing_extensions import Unpack

from al_lightning.data.textdata import TextDataModule, TextOptions

CLASSES = (
    "Company", "EducationalInstitution", "Artist", "Athlete", "OfficeHolder", "MeanOfTransportation", "Building",
    "NaturalPlace", "Village", "Animal", "Plant", "Album", "Film", "WrittenWork",
)  # fmt: skip


class DBpedia(TextDataModule):
    """Titles and abstracts of 14 kinds of things (Zhang et al., 2015): 560,000 to train, 70,000 to test.

    The text is title and content. Paper, section 6.5.1: at most 500 tokens.
    Looked for as ``root/dbpedia_14/<split>-*.parquet``, then on the Hub as ``fancyzhx/dbpedia_14``.

    Args:
        root: folder that is searched for the data before the Hub is.
        batch_size: texts a batch and process.
        val_fraction: share of the training split held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise and order.
        max_length: most tokens of a text; the rest is cut off and counted.
        options: see :class:`~al_lightning.data.TextDataModule`.
    """

    folder = "dbpedia_14"
    hub = "fancyzhx/dbpedia_14"
    text_columns = ("title", "content")
    num_classes = 14

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 64,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        max_length: int = 500,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, max_length=max_length, **options)
        self.class_names = list(CLASSES)
