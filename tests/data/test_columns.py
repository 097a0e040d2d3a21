"""Columns of a table as numbers, and sentences about what is none."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
import torch

from al_lightning.data.columns import chosen_columns, numbers, truths
from al_lightning.targets import LabelTarget, ValueTarget


def test_numbers_however_they_are_written() -> None:
    assert numbers(["1", " 2.5 ", "-1e-7", "1234567"], "x", "t.csv").tolist() == [1, 2.5, -1e-7, 1234567]
    assert numbers([1, 2.5, True, Decimal("0.1"), np.float32(3)], "x", "t.csv").tolist() == [1, 2.5, 1, 0.1, 3]
    assert truths(["1", "0.0", "True", "false "], "x", "t.csv").tolist() == [1, 0, 1, 0]
    assert truths([1, False, 1.0], "x", "t.csv").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", ""], "column 'x' of t.csv, but row 1 is empty. Fill it in, or remove the row"),
        ([1.0, None], "but row 1 is empty"),
        (["1", "2", "much"], "column 'x' of t.csv, but row 2 holds 'much'. Correct it, or leave the column out"),
        (["1", "nan"], "row 1 holds 'nan'"),
        ([1.0, float("inf")], "row 1 holds inf"),
        (["1,5"], "row 0 holds '1,5'"),
        (["1_000"], "row 0 holds '1_000'"),
        ([[1.0]], r"row 0 holds \[1.0\]"),
    ],
)
def test_what_is_no_number_is_named(values: list[object], message: str) -> None:
    for read in (numbers, truths):
        with pytest.raises(ValueError, match=message):
            read(values, "x", "t.csv")


def test_labels_are_0_and_1() -> None:
    with pytest.raises(ValueError, match="0 or 1 in every row of column 'x' of t.csv, but row 1 holds '2'"):
        truths(["1", "2"], "x", "t.csv")


def test_columns_become_targets() -> None:
    values, labels = chosen_columns(["a", "b"], None), chosen_columns(None, ["a", "b"])
    columns = {"a": ["0", "1"], "b": ["1", "1"], "c": ["x", "y"]}
    rows = values.read(columns, "t.csv")
    assert rows.tolist() == [[0, 1], [1, 1]]
    assert (values.labels(rows).dtype, labels.labels(rows).dtype) == (torch.float32, torch.uint8)
    assert labels.read(columns, "t.csv").tolist() == rows.tolist()
    target = values.target(torch.tensor([[0.0, 1.0], [1.0, 3.0]]))
    assert isinstance(target, ValueTarget)
    assert (target.names, target.mean, target.std) == (["a", "b"], [0.5, 2.0], [0.5, 1.0])
    with pytest.raises(ValueError, match="'b' is constant"):
        values.target(values.labels(rows))
    target = labels.target(labels.labels(rows))
    assert isinstance(target, LabelTarget)
    assert target.label_names == ["a", "b"]


def test_columns_that_cannot_be_chosen() -> None:
    for values, labels, got in ((None, None, "none"), (["a"], ["b"], "value_columns and label_columns")):
        with pytest.raises(ValueError, match=f"exactly one of `value_columns`, `label_columns`, but got {got}"):
            chosen_columns(values, labels)
    for wrong in ([], ["a", "a"]):
        with pytest.raises(ValueError, match="`label_columns` to be one or more different names"):
            chosen_columns(None, wrong)
    with pytest.raises(TypeError, match="`value_columns` to be a list of names, but got 'price'"):
        chosen_columns("price", None)
