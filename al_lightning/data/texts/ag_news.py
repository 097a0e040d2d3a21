"""News of four topics (Zhang et al., 2015)."""

from __future__ import annotations

from al_lightning.data.texts.module import TextDataModule


class AGNews(TextDataModule):
    """News of four topics, title and description (Zhang et al., 2015): 120,000 to train, 7,600 to test.

    No text is longer than 500 tokens.
    Looked for as ``root/ag_news/<split>-*.parquet``, then on the Hub as ``fancyzhx/ag_news``.
    """

    folder = "ag_news"
    hub = "fancyzhx/ag_news"
    num_classes = 4
    class_names = ("World", "Sports", "Business", "Sci/Tech")
