"""Where rows are looked for, and what a misspelt name is answered."""

from __future__ import annotations

import datasets
import pytest
from set_files import reviews, write

from al_lightning.data import TextClassification


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(path: str, **_: object) -> None:
        raise ConnectionError(f"the Hub was asked for {path}")

    monkeypatch.setattr(datasets, "load_dataset", asked)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("reviws.csv", r"none at data/reviws\.csv or reviws\.csv\. Did you mean 'reviews\.csv'\? Name one"),
        ("REVIEWS.CSV", r"Did you mean 'reviews\.csv'\?"),
        ("mine/tran.csv", r"Did you mean 'mine/train\.csv'\?"),
        ("mnie/train.csv", r"Did you mean 'mine'\?"),
        ("mine/other", r"none at data/mine/other or mine/other\. mine holds test\.csv, train\.csv\. Name one"),
        ("reviews.parquet", r"Did you mean 'reviews\.csv'\?"),
        *[(f"x/y.{end}", "Expected `source` to be a file or folder, but there is none at data/x/y")
          for end in ("csv", "tsv", "txt", "parquet", "json", "jsonl", "arrow", "zip", "csv.gz", "xlsx", "JSON")],
        ("/nowhere/mine", r"none at /nowhere/mine\. "),
        ("./mine2", "Did you mean 'mine'"),
        ("../mine2", "Expected `source` to be a file or folder"),
        ("~/no such folder", "none at /.*/no such folder"),
        ("a/b/c", "none at data/a/b/c or a/b/c"),
        ("my reviews", "none at data/my reviews or my reviews"),
        (r"C:\mine\reviews", "Expected `source` to be a file or folder"),
    ],
)  # fmt: skip
def test_a_misspelt_path_is_refused_at_once(source: str, message: str) -> None:
    write("mine", {"train": reviews(20), "test": reviews(4)}, "csv")
    write(".", {"reviews": reviews(20)}, "csv")
    with pytest.raises(FileNotFoundError, match=message):
        TextClassification(source=source)


@pytest.mark.parametrize("source", ["imdb", "stanfordnlp/imdb", "owner/name-2.0_x", "owner/c4.en"])
def test_names_of_the_hub_are_asked_for(source: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"the Hub was asked for {source}"):
        TextClassification(source=source)


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected `source` to name a file, a folder or a set of the Hub"):
        TextClassification(source="")


def test_a_folder_without_a_split_gets_a_sentence() -> None:
    write("mine", {"reviews": reviews(20)}, "csv")
    with pytest.raises(
        FileNotFoundError, match=r"train-\*.parquet or train.csv in mine, .* mine holds reviews.csv. Name"
    ):
        TextClassification(source="mine")
    write("mine", {"train": reviews(20)}, "csv")
    data = TextClassification(source="mine")
    with pytest.raises(FileNotFoundError, match=r"test.csv in mine, .* set `test_split` to None"):
        data.dataset("test")
    assert len(TextClassification(source="mine", test_split=None).indices("test")) == 4


def test_a_source_may_be_gone_when_nothing_is_read(tmp_path: object) -> None:
    """A checkpoint knows classes and vocabulary; it predicts other texts without the training data."""
    data = TextClassification(source="gone/reviews.csv", class_names=["a", "b"], vocabulary=["<pad>", "<unk>", "good"])
    assert data.class_names == ["a", "b"]
    with pytest.raises(FileNotFoundError, match="none at data/gone/reviews.csv"):
        data.dataset("train")


def test_a_source_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    write("home", {"reviews": reviews(20)}, "csv")
    monkeypatch.setenv("HOME", "home")
    assert TextClassification(source="~/reviews.csv").class_names == ["0", "1"]


def test_a_misspelt_file_to_predict_names_the_closest() -> None:
    write("mine", {"train": reviews(20), "test": reviews(4)}, "csv")
    data = TextClassification(source="mine", predict_from="mine/tests.csv")
    with pytest.raises(
        FileNotFoundError, match=r"file at mine/tests.csv, .* Did you mean 'mine/test.csv'\? Correct `pred"
    ):
        data.setup("predict")


def test_a_split_that_the_hub_lacks_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(path: str, split: str) -> None:
        raise ValueError(f'Unknown split "{split}". Should be one of ["train"].')

    monkeypatch.setattr(datasets, "load_dataset", lacks)
    data = TextClassification(source="owner/name", class_names=["a", "b"], vocabulary=["<pad>", "<unk>"])
    with pytest.raises(
        FileNotFoundError, match=r"other splits .Unknown split .* Set `test_split` to one of these, or to None"
    ):
        data.dataset("test")
