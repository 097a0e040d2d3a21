"""A user's own tables: values, labels or classes by the names of columns."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_diabetes

from al_lightning.data import Diabetes, Table
from al_lightning.targets import LabelTarget, ValueTarget

RNG = np.random.default_rng(0)
X = np.stack([RNG.normal(size=40), 1.7e9 + RNG.normal(size=40), np.full(40, 3.0)], 1)  # the second: moments in time
ROWS = [
    {"first": a, "moment": b, "flat": c, "price": 1000 + 10 * a, "hot": int(a > 0), "wet": int(b > 1.7e9),
     "kind": ("10", "9")[k % 2]}
    for k, (a, b, c) in enumerate(X.tolist())
]  # fmt: skip
FEATURES = ["first", "moment", "flat"]


def write(name: str, rows: list[dict[str, Any]] = ROWS) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), name)
    else:
        with open(name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    return name


def table(name: str = "t.csv", **arguments: Any) -> Table:
    return Table(source=name, **{"feature_columns": FEATURES, **arguments})


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_values_and_features_of_the_training_rows(name: str) -> None:
    write(name)
    data = table(name, value_columns=["price"])
    train, val, test = (data.indices(split) for split in ("train", "val", "test"))  # type: ignore[arg-type]
    assert (len(train), len(val), len(test)) == (28, 4, 8)
    assert data.num_classes is None
    assert data.in_features == 3
    prices = data.training_labels().double().numpy()
    target = data.target
    assert isinstance(target, ValueTarget)
    assert (target.names, target.mean, target.std) == (["price"], [prices.mean()], [prices.std()])
    raw = data.dataset("train").vectors[train].numpy()
    np.testing.assert_allclose(data.mean, raw.mean(0), rtol=1e-12)
    np.testing.assert_allclose(data.std, [raw[:, 0].std(), raw[:, 1].std(), 1], rtol=1e-6)
    x, y = data.prepare(data.dataset("train")[train])
    assert (x.dtype, y.dtype, y.shape) == (torch.float32, torch.float32, (28, 1))
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(0, correction=0), [1, 1, 0], atol=1e-5)
    held = np.asarray(x)[:, 0] * data.std[0] + data.mean[0]
    np.testing.assert_allclose(y[:, 0], 1000 + 10 * held, rtol=1e-5)  # features and labels of the same rows
    tested = data.dataset("test").vectors[test]
    assert not set(tested[:, 0].tolist()) & set(data.dataset("train").vectors[torch.cat([train, val])][:, 0].tolist())
    again = table(name, value_columns=["price"], seed=7)
    assert torch.equal(again.dataset("test").vectors, data.dataset("test").vectors)
    assert again.mean != data.mean


def test_labels_and_classes() -> None:
    write("t.csv")
    labels = table(label_columns=["hot", "wet"])
    assert isinstance(labels.target, LabelTarget)
    assert labels.target.label_names == ["hot", "wet"]
    _, y = labels.prepare(labels.dataset("train")[torch.tensor([0, 1])])
    assert y.shape == (2, 2)
    classes = table(class_column="kind")
    assert (classes.class_names, classes.num_classes, classes.target) == (["9", "10"], 2, None)
    assert classes.dataset("train").labels.dtype == torch.int64
    everything = Table(source="t.csv", value_columns=["price"])
    assert list(everything.feature_columns) == ["first", "moment", "flat", "hot", "wet", "kind"]


def test_a_folder_has_its_own_test_rows() -> None:
    write("set/train.csv", ROWS[:30])
    write("set/test.csv", ROWS[30:])
    data = Table(root=".", source="set", value_columns=["price"], feature_columns=FEATURES)
    assert (len(data.indices("train")), len(data.indices("val")), len(data.indices("test"))) == (27, 3, 10)
    assert data.dataset("test").vectors[:, 0].tolist() == [row["first"] for row in ROWS[30:]]
    os.remove("set/test.csv")
    assert len(Table(source="set", value_columns=["price"], feature_columns=FEATURES).indices("test")) == 6


def test_rows_to_predict_need_no_training_rows() -> None:
    write("t.csv")
    data = table(value_columns=["price"])
    recipe = data.recipe()
    assert recipe is not None
    arguments = recipe["init_args"]
    assert arguments["feature_columns"] == FEATURES
    assert arguments["mean"] == list(data.mean or ())
    os.remove("t.csv")
    write("new.csv", [{name: row[name] for name in FEATURES[::-1]} for row in ROWS[:3]])
    again = Table(**arguments, predict_from="new.csv")
    batch = next(iter(again.predict_dataloader()))
    expected = (X[:3] - data.mean) / data.std  # type: ignore[operator]
    np.testing.assert_allclose(again.prepare(batch)[0], expected, atol=1e-5)
    assert again.sample_names() == ["0", "1", "2"]
    with pytest.raises(FileNotFoundError, match="`source` to be a file or folder, but there is none at data/t.csv or"):
        again.setup("fit")


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, dict(value_columns=["pric"]), "Expected columns pric in t.csv, but 'pric' is not among first"),
        ({}, dict(value_columns=["price"], feature_columns=["frist"]), "but 'frist' is not among first"),
        ({}, dict(value_columns=["kind", "flat"], feature_columns=["first"]), "'flat' is constant"),
        ({"price": ""}, dict(value_columns=["price"]), "column 'price' of t.csv, but row 5 is empty"),
        ({"first": "much"}, dict(value_columns=["price"]), "column 'first' of t.csv, but row 5 holds 'much'"),
        ({"price": "nan"}, dict(value_columns=["price"]), "column 'price' of t.csv, but row 5 holds 'nan'"),
        ({"hot": 2}, dict(label_columns=["hot"]), "column 'hot' of t.csv, but row 5 holds '2'"),
        ({"kind": ""}, dict(class_column="kind"), "column 'kind' of t.csv, but row 5 has none"),
        ({}, dict(class_column="kind", class_names=["9", "8"]), "among 9, 8 in column 'kind' of t.csv, but row 0"),
        ({}, dict(class_column="flat", feature_columns=["first"]), "2 to 1000 different classes"),
        ({}, dict(value_columns=["price"], class_names=["a", "b"]), "`class_names` beside a `class_column` only"),
        ({}, dict(value_columns=["price"], label_columns=["hot"]), "but got value_columns and label_columns"),
        ({}, {}, "exactly one of `value_columns`, `label_columns`, `class_column`, but got none"),
        ({}, dict(value_columns=["first"]), "`feature_columns` without what is learned, but 'first' is both"),
        ({}, dict(value_columns=["price"], mean=[0.0], std=[1.0]), "a number for each of the 3 features"),
        ({}, dict(value_columns=["price"], test_fraction=1.0), r"`test_fraction` to be in \(0, 1\)"),
        ({}, dict(value_columns=["price"], label_noise=0.5), "labels that are class numbers, because label_noise"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    write("t.csv", [{**row, **(change if k == 5 else {})} for k, row in enumerate(ROWS)])
    with pytest.raises(ValueError, match=message):
        _ = table(**arguments).target


def test_what_is_no_table() -> None:
    Path("t.txt").write_text("first\n")
    with pytest.raises(ValueError, match=r"`source` to be one of .parquet, .csv, or a folder of some, but got t.txt"):
        table("t.txt", value_columns=["price"])
    Path("t.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match="readable file, but t.parquet cannot be read"):
        table("t.parquet", value_columns=["price"])
    Path("set").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train.csv or train-\*.parquet in set, but there is none"):
        table("set", value_columns=["price"])
    write("t.csv")
    data = table(value_columns=["price"], predict_from="gone.csv")
    with pytest.raises(FileNotFoundError, match="columns of the features at gone.csv, but there is none"):
        data.predict_dataloader()


def test_diabetes_comes_with_scikit_learn() -> None:
    data, bundle = Diabetes(), load_diabetes()
    assert [len(data.indices(s)) for s in ("train", "val", "test")] == [317, 36, 89]  # type: ignore[arg-type]
    assert list(data.feature_columns) == bundle.feature_names
    x, y = data.prepare(data.dataset("test")[torch.arange(89)])
    rows = {tuple(row): value for row, value in zip(bundle.data.astype(np.float32).tolist(), bundle.target)}
    assert [rows[tuple(row)] for row in x.tolist()] == y.flatten().tolist()
    target = data.target
    assert target is not None
    assert target.columns == ("progression",)
    np.testing.assert_allclose(target.encode(data.training_labels()).std(correction=0), 1, rtol=1e-5)
    assert Diabetes(seed=3).target.mean != target.mean  # type: ignore[union-attr]
    assert torch.equal(Diabetes(seed=3).dataset("test").labels, data.dataset("test").labels)
