"""Labels and texts from files are strings, and class names come from one place for all splits."""

from __future__ import annotations

import csv
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from al_lightning.cli.main import main
from al_lightning.data import IMDB, TextClassification
from al_lightning.data.texts.labels import class_number, sorted_names


def rows(
    path: str, labels: list[Any], texts: list[str] | None = None, header: tuple[str, str] = ("text", "label")
) -> None:
    """A csv file as a user's spreadsheet writes it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(zip(texts or [f"word{k} film" for k in range(len(labels))], labels))


def named(data: TextClassification, split: Any = "test") -> list[str]:
    """The name of every row's class, in the file's order."""
    return [data.class_names[k] for k in data.dataset(split).labels.tolist()]


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        (["1", "2", "3", "other"], ["1", "2", "3"], ["1", "2", "3", "other"]),
        (["True", "False", "Maybe"], ["True", "False"], ["False", "Maybe", "True"]),
        ([f"{k}.0" for k in range(11)], ["10.0", "2.0"], [f"{k}.0" for k in range(11)]),
        (["001", "010"], ["010"], ["001", "010"]),
        (["1", "01"], ["01", "1"], ["01", "1"]),
        (["null", "NA", "None", "nan"], ["NA", "nan"], ["NA", "None", "nan", "null"]),
        (["-1", "1"], ["1"], ["-1", "1"]),
        (["2020-01-02", "2020-01-01"], ["2020-01-02"], ["2020-01-01", "2020-01-02"]),
        (["yes ", "no"], ["yes "], ["no", "yes "]),
        (["1e3", "20"], ["20"], ["20", "1e3"]),
    ],
)
def test_a_label_is_its_own_name_in_every_split(train: list[str], test: list[str], names: list[str]) -> None:
    rows("mine/train.csv", train * 4)
    rows("mine/test.csv", test)
    data = TextClassification(root=".", source="mine", val_fraction=0)
    assert sorted(data.class_names) == sorted(names)
    assert data.class_names == sorted_names(names)
    assert named(data) == test
    assert named(data, "train") == train * 4
    again = TextClassification(
        root=".", source="mine", val_fraction=0, class_names=data.class_names
    )  # as a checkpoint builds it
    assert named(again) == test


def test_words_far_down_the_file_are_read() -> None:
    rows("mine.csv", [str(k % 2) for k in range(10_500)] + ["word"] * 40)
    data = TextClassification(source="mine.csv")
    assert data.class_names == ["0", "1", "word"]
    rows("titles.csv", ["a", "b"] * 5_300, ["" if k < 10_400 else "a title" for k in range(10_600)])
    titles = TextClassification(source="titles.csv")
    assert int((titles.dataset("train").lengths == 2).sum()) == 200


def test_words_that_mean_nothing_elsewhere_are_words() -> None:
    words = ["null", "NA", "None", "nan", "N/A", "", "#N/A", "007", "1.50", "true"]
    rows("mine.csv", ["a", "b"] * 5, words)
    data = TextClassification(source="mine.csv", val_fraction=0)
    assert {"null", "na", "none", "nan", "007", "true"} <= set(data.vocabulary)
    assert data.dataset("train").lengths.tolist()[5] == 0
    assert (data.dataset("train").lengths > 0).sum() == 9


def test_names_for_numbers_and_names_as_numbers() -> None:
    rows("mine.csv", [0, 1] * 20)
    data = TextClassification(source="mine.csv", class_names=["bad", "good"])
    assert data.dataset("train").labels.tolist() == [0, 1] * 20
    assert TextClassification(source="mine.csv", class_names=[1, 0]).dataset("train").labels.tolist() == [1, 0] * 20
    rows("spaced.csv", [" 0", " 1 "] * 20)
    spaced = TextClassification(source="spaced.csv", class_names=["bad", "good"])
    assert spaced.dataset("train").labels.tolist() == [0, 1] * 20
    with pytest.raises(
        ValueError,
        match="Expected labels among 1, 2, but row 0 of the train split of mine.csv has '0'. Correct the row",
    ):
        TextClassification(source="mine.csv", class_names=["1", "2"]).dataset("train")
    rows("padded.csv", ["001", "010"] * 20)
    with pytest.raises(ValueError, match="among 1, 8, but row 0 .* has '001'.* names such as 001 in quotation marks"):
        TextClassification(source="padded.csv", class_names=[1, 8]).dataset("train")  # what YAML reads in [001, 010]


@given(st.lists(st.text(min_size=1), min_size=2, unique=True))
def test_a_name_is_always_its_own_class(names: list[str]) -> None:
    assert [class_number(name, names) for name in names] == list(range(len(names)))
    assert sorted(sorted_names(names)) == sorted(names)


# ---------------------------------------------------------------------- parquet


def parquet(path: str, labels: pa.Array) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": [f"film {k}" for k in range(len(labels))], "label": labels}), path)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (pa.array([datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)] * 10), ["2020-01-01", "2021-01-01"]),
        (pa.array([Decimal("1.50"), Decimal("0.25")] * 10), ["0.25", "1.50"]),
        (pa.array([True, False] * 10), ["False", "True"]),
        (pa.array([2.0, 10.0] * 10), ["2.0", "10.0"]),
        (pa.array([0.1, 0.25] * 10, pa.float32()), ["0.1", "0.25"]),
        (pa.array([10, 9, 2, 7] * 5, pa.uint8()), ["2", "7", "9", "10"]),
        (pa.array(["b", "a"] * 10).dictionary_encode(), ["a", "b"]),
        (pa.array(["b", "a"] * 10, pa.large_string()), ["a", "b"]),
    ],
)
def test_parquet_labels_of_any_single_value(labels: pa.Array, names: list[str]) -> None:
    parquet("mine.parquet", labels)
    data = TextClassification(source="mine.parquet", val_fraction=0)
    assert data.class_names == names
    assert named(data, "train") == [str(round(v, 5) if isinstance(v, float) else v) for v in labels.to_pylist()]


@pytest.mark.parametrize("label", [None, "", " ", float("nan")])
def test_rows_without_a_label_are_refused(label: Any) -> None:
    parquet("mine.parquet", pa.array([1.5 if isinstance(label, float) else "a", label]))
    with pytest.raises(ValueError, match="Expected a label in every row, but row 1 of the train split"):
        TextClassification(source="mine.parquet")


@pytest.mark.parametrize(
    "labels", [pa.array([["a"], ["b"]] * 5), pa.array([b"a", b"b"] * 5), pa.array([{"a": 1}] * 10)]
)
def test_parquet_labels_of_several_values_are_refused(labels: pa.Array) -> None:
    parquet("mine.parquet", labels)
    with pytest.raises(
        ValueError, match="Expected one label in every row, but row 0 of the train split of mine.parquet"
    ):
        TextClassification(source="mine.parquet")


def test_two_splits_may_number_the_same_names_differently() -> None:
    import datasets

    for split, names in (("train", ["bad", "good"]), ("test", ["good", "bad"])):
        Path("mine").mkdir(exist_ok=True)
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
        content = {"text": [f"film {k}" for k in range(20)], "label": ["bad", "good"] * 10}
        datasets.Dataset.from_dict(content, features).to_parquet(f"mine/{split}-0.parquet")
    data = TextClassification(root=".", source="mine")
    assert named(data) == named(data, "train") == ["bad", "good"] * 10
    mine = TextClassification(root=".", source="mine", class_names=["negative", "positive"])
    assert mine.dataset("train").labels.tolist() == [0, 1] * 10


# ---------------------------------------------------------------------- files that are not as they should be


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\n" + "a film, really,good\n" * 5,
            r"Expected 2 fields in every row of mine.csv.* but row 0 has 3: 'a film, really,good'. Put a text",
        ),
        ("text,label\na,x\nb,y\na film, really,good\n", "but row 2 has 3: 'a film"),
        ("text,label\na,x\nb\n", "but row 1 has 1: 'b'. Complete the row"),
        (
            "text;label\na;x\n",
            "Expected columns text, label in mine.csv, but 'text' is not among text;label. Its fields are separated by semicolons",
        ),
        ("text,text,label\na,b,x\n", "each column of mine.csv once, but 'text' stands there twice"),
        ("", "Expected mine.csv to begin with the names of its columns, but it is empty"),
        ("text,label\n", "Expected at least one row in the train split of mine.csv, but there is none"),
        ("text,label\na,\n", "Expected a label in every row, but row 0"),
    ],
)
def test_a_broken_csv_names_the_row(content: str, message: str) -> None:
    Path("mine.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        TextClassification(source="mine.csv")


def test_csv_as_programs_write_it() -> None:
    """A byte order mark, quotes around commas and line breaks, Windows line ends, an ending in capitals."""
    text = '\ufefftext,note,label\r\n"one, two\nthree ""four""",,b\r\nfive,x,a\r\n' + "six,y,a\r\nseven,z,b\r\n" * 4
    Path("MINE.CSV").write_bytes(text.encode())
    data = TextClassification(source="MINE.CSV", val_fraction=0)
    assert data.class_names == ["a", "b"]
    assert {"one", "two", "three", "four", "five"} <= set(data.vocabulary)
    Path("latin.csv").write_bytes("text,label\nété,a\nhiver,b\n".encode("latin-1") * 1 + b"x,a\ny,b\n" * 3)
    assert "été" in TextClassification(source="latin.csv", encoding="latin-1").vocabulary


@pytest.mark.parametrize(
    "source", ["review.csv", "./reviews", "some/where/reviews.parquet", "reviews.jsonl", "~/x", "/no/x"]
)
def test_a_path_is_never_looked_for_on_the_hub(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: pytest.fail("asked the Hub"))
    rows("reviews.csv", ["a", "b"])
    with pytest.raises(FileNotFoundError, match="Expected `source` to be a file or folder") as said:
        TextClassification(source=source)
    if source == "review.csv":
        assert "Did you mean 'reviews.csv'?" in str(said.value)


# ---------------------------------------------------------------------- predictions


def test_predicting_the_texts_of_a_csv_file(imdb: None) -> None:
    rows("new.csv", ["?", "?"], ["a good film, really", "bad"], header=("text", "other"))
    fitted = main(["fit", "--model", "LSTMBP", "--model.embedding_dim", "4", "--model.hidden_dims", "[3]", "--data", "IMDB",
                   "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"])  # fmt: skip
    path = fitted.trainer.checkpoint_callback.last_model_path
    main(["predict", "--ckpt_path", path, "--data.predict_from", "new.csv", "--trainer.enable_progress_bar", "false"])
    with open("predictions.csv", newline="") as file:
        assert [row["sample"] for row in csv.DictReader(file)] == ["a good film, really", "bad"]
    Path("other.csv").write_text("words\na\n")
    with pytest.raises(
        ValueError, match="Expected columns text in .*other.csv, .* not among words. Name the columns as"
    ):
        IMDB(predict_from="other.csv").indices("predict")
    Path("other.csv").write_text("text\n")
    with pytest.raises(ValueError, match="Expected at least one row in other.csv, but there is none"):
        IMDB(predict_from="other.csv").indices("predict")
    with open("new.parquet", "wb") as file:
        pq.write_table(pa.table({"text": ["good", "bad"]}), file)
    assert IMDB(predict_from="new.parquet").dataset("predict").labels.tolist() == [0, 0]
    assert torch.equal(IMDB(predict_from="new.csv").indices("predict"), torch.arange(2))


def test_predicting_after_the_training_texts_are_gone() -> None:
    """Classes and vocabulary travel in the checkpoint, and so do names that look like something else."""
    names = ["null", "no", "001", "1", "NA", "1.0"]
    rows("mine/train.csv", names * 20)
    Path("new.csv").write_text('id,text\n7,"word3, and more"\n')
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    fitted = main(["fit", "--model", "LSTMBP", "--model.embedding_dim", "4", "--model.hidden_dims", "[3]", *quiet,
                   "--data", "TextClassification", "--data.source", "mine/train.csv", "--trainer.max_epochs", "1"])  # fmt: skip
    path = fitted.trainer.checkpoint_callback.last_model_path
    Path("mine").rename("gone")
    main(["predict", "--ckpt_path", path, "--data.predict_from", "new.csv", *quiet])
    with open("predictions.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["sample"] == "word3, and more"
    assert row["class"] in names
    data = TextClassification.load_from_checkpoint(path)
    assert data.class_names == sorted_names(names)
    with pytest.raises(
        FileNotFoundError, match="file or folder, but there is none at data/mine/train.csv or mine/train"
    ):
        data.dataset("train")


def test_text_columns_are_a_list() -> None:
    with pytest.raises(TypeError, match="`text_columns` to be a list of names, but got 'text'"):
        TextClassification(source="mine.csv", text_columns="text")
