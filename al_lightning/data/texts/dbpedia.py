"""Titles and abstracts of 14 kinds of things (Zhang et al., 2015)."""

from __future__ import annotations

from al_lightning.data.texts.module import TextDataModule


class DBpedia(TextDataModule):
    """Titles and abstracts of 14 kinds of things (Zhang et al., 2015): 560,000 to train, 70,000 to test.

    A text is title and content, cut to 500 tokens as in section 6.5.1 of the paper.
    Looked for as ``root/dbpedia_14/<split>-*.parquet``, then on the Hub as ``fancyzhx/dbpedia_14``.
    """

    folder = "dbpedia_14"
    hub = "fancyzhx/dbpedia_14"
    text_columns = ("title", "content")
    num_classes = 14
    class_names = (
        "Company", "EducationalInstitution", "Artist", "Athlete", "OfficeHolder", "MeanOfTransportation", "Building",
        "NaturalPlace", "Village", "Animal", "Plant", "Album", "Film", "WrittenWork",
    )  # fmt: skip
