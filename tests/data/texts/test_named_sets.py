"""The four named text sets."""

from __future__ import annotations

import pytest
import torch
from set_files import write

from al_lightning.data import IMDB, SST2, AGNews, DBpedia, TextDataModule


@pytest.mark.parametrize(
    ("data", "classes", "columns", "test"),
    [(IMDB, 2, ["text"], "test"), (AGNews, 4, ["text"], "test"), (SST2, 2, ["sentence"], "validation"),
     (DBpedia, 14, ["title", "content"], "test")],
)  # fmt: skip
def test_named_sets_read_the_hubs_columns(
    data: type[TextDataModule], classes: int, columns: list[str], test: str
) -> None:
    rows = [{**{c: f"{c} {k}" for c in columns}, "label": k % classes} for k in range(10 * classes)]
    folder = {AGNews: "ag_news", DBpedia: "dbpedia_14"}.get(data, data.__name__.lower())
    write(f"data/{folder}", {"train": rows, test: rows[: 2 * classes]})
    module = data()
    assert module.num_classes == len(module.class_names) == classes
    assert len(module.dataset("test")) == 2 * classes
    x, _, _ = module.dataset("test")[torch.tensor([3])]
    assert [module.vocabulary[token] for token in x[0]] == " ".join(f"{c} 3" for c in columns).split()
    if data is SST2:
        assert "test is the official validation set" in (SST2.__doc__ or "").split("\n")[0]
