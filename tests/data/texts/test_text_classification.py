"""A user's own texts."""

from __future__ import annotations

import pytest
import torch
from set_files import write

from al_lightning.cli.main import main
from al_lightning.data import TextClassification


def test_own_csv_by_arguments_alone() -> None:
    rows = [{"head": "good", "body": f"film {k}", "mood": ("sad", "glad")[k % 2]} for k in range(40)]
    write("mine", {"reviews": rows}, "csv")
    data = TextClassification(source="mine/reviews.csv", text_columns=["head", "body"], label_column="mood")
    assert data.class_names == ["glad", "sad"]
    assert len(data.indices("train")) + len(data.indices("val")) == 32
    assert len(data.indices("test")) == 8
    assert not set(data.indices("test").tolist()) & {*data.indices("train").tolist(), *data.indices("val").tolist()}
    assert torch.equal(TextClassification(source="mine/reviews.csv", text_columns=["body"], label_column="mood", seed=5)
                       .indices("test").sort().values, data.indices("test").sort().values)  # fmt: skip
    _, _, y = data.dataset("test")[torch.tensor([3])]
    assert y.item() == 0  # glad


def test_own_folder_with_numbers_from_one() -> None:
    rows = [{"text": f"t {k}", "label": 1 + k % 3} for k in range(30)]
    write("mine", {"train": rows, "test": rows[:4]}, "csv")
    data = TextClassification(root=".", source="mine")
    assert data.class_names == ["1", "2", "3"]
    assert data.dataset("test").labels.tolist() == [0, 1, 2, 0]


def test_a_set_without_a_source_gets_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--model", "LSTMBP", "--data", "TextClassification"])
    assert "Expected `source` of TextClassification to be given, but it is not." in capsys.readouterr().err
