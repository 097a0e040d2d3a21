"""Movie reviews, positive or negative (Maas et al., 2011)."""

from __future__ import annotations

from al_lightning.data.texts.module import TextDataModule


class IMDB(TextDataModule):
    """Movie reviews, positive or negative (Maas et al., 2011): 25,000 to train, 25,000 to test.

    Reviews are cut to 500 tokens, as in section 6.5.1 of the paper.
    Looked for as ``root/imdb/<split>-*.parquet``, then on the Hub as ``stanfordnlp/imdb``.
    """

    folder = "imdb"
    hub = "stanfordnlp/imdb"
    num_classes = 2
    class_names = ("negative", "positive")
