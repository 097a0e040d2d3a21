"""Rows that a user got wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from set_files import reviews, write

from al_lightning.data import IMDB, TextClassification


def broken(kind: str) -> None:
    rows = reviews(20)
    if kind == "column":
        rows = [{"review": r["text"], "label": r["label"]} for r in rows]
    if kind == "label":
        rows[7]["label"] = 5
    if kind == "no label":
        rows[6]["label"] = None
    if kind == "numbers":
        rows = [{"text": k, "label": k % 2} for k in range(20)]
    if kind != "nothing":
        write("data/imdb", {"train": rows, "test": rows})
    if kind == "cut":
        path = Path("data/imdb/train-00000-of-00001.parquet")
        path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("column", "Expected columns text, label in the train split of imdb, but 'text' is not among review, label"),
        ("label", "Expected labels among negative, positive, or 0 to 1, but row 7 of the train split of imdb has '5'"),
        ("no label", "Expected a label in every row, but row 6 of the train split"),
        ("numbers", "Expected texts in column 'text' of imdb, but row 0 .* holds 0"),
        ("cut", "Expected readable files, but data/imdb/train-.* cannot be read"),
    ],
)
def test_broken_files_get_a_sentence(kind: str, message: str) -> None:
    broken(kind)
    with pytest.raises(ValueError, match=message):
        IMDB().dataset("train")


def test_mixed_encodings_name_the_line() -> None:
    Path("mine.csv").write_bytes("text,label\nété,0\n".encode() + "été,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"Expected mine.csv to be utf-8 text, but line 3 is not: encodings are mixed"):
        TextClassification(source="mine.csv")


def test_without_network_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        FileNotFoundError, match=r"train-\*.parquet or train.csv in data/imdb, .*Couldn't reach.* Fetch"
    ):
        IMDB().dataset("train")
    Path("empty").mkdir()
    with pytest.raises(
        FileNotFoundError, match="there is none. Name the file of this split so, or name one file as the source"
    ):
        TextClassification(source="empty")
