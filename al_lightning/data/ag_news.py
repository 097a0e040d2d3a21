"""News of four topics, title and description (Zhang et al., 2015)."""

from __future__ import annotations

from typing_extensions import Unpack

from al_lightning.data.textdata import TextDataModule, TextOptions


class AGNews(TextDataModule):
    """News of four topics, title and description (Zhang et al., 2015): 120,000 to train, 7,600 to test.

    No text is longer than 500 tokens.
    Looked for as ``root/ag_news/<split>-*.parquet``, then on the Hub as ``fancyzhx/ag_news``.

    Args:
        root: folder that is searched for the data before the Hub is.
        batch_size: texts a batch and process.
        val_fraction: share of the training split held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise and order.
        max_length: most tokens of a text; the rest is cut off and counted.
        options: see :class:`~al_lightning.data.TextDataModule`.
    """

    folder = "ag_news"
    hub = "fancyzhx/ag_news"
    num_classes = 4

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
        self.class_names = ["World", "Sports", "Business", "Sci/Tech"]
