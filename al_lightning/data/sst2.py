"""Sentences of film reviews (Socher et al., 2013."""

from __future__ import annotations

from typing_extensions import Unpack

from al_lightning.data.textdata import TextDataModule, TextOptions


class SST2(TextDataModule):
    """Sentences of film reviews (Socher et al., 2013; GLUE); **test is the official validation set**.

    67,349 sentences and phrases to train, of which validation is held out; 872 to test, because the labels of the
    official test set are hidden.
    Looked for as ``root/sst2/<split>-*.parquet``, then on the Hub as ``stanfordnlp/sst2``.

    Args:
        root: folder that is searched for the data before the Hub is.
        batch_size: texts a batch and process.
        val_fraction: share of the training split held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise and order.
        max_length: most tokens of a text; the rest is cut off and counted.
        options: see :class:`~al_lightning.data.TextDataModule`.
    """

    folder = "sst2"
    hub = "stanfordnlp/sst2"
    text_columns = ("sentence",)
    test_split = "validation"
    num_classes = 2

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
        self.class_names = ["negative", "positive"]
