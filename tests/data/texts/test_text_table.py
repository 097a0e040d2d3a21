"""A user's own texts with values or labels in columns beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from set_files import write

from al_lightning.cli.main import main
from al_lightning.data import TextClassification, TextTable
from al_lightning.targets import LabelTarget, ValueTarget

ROWS = [
    {"text": f"word{k % 3} and more", "stars": 1 + k % 5 / 4, "long": k % 2, "rude": int(k % 3 == 0), "label": k % 2}
    for k in range(30)
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_beside_texts(kind: str) -> None:
    write("mine", {"train": ROWS[:20], "test": ROWS[20:]}, kind)
    values = TextTable(source="mine", value_columns=["stars", "long"])
    stars = np.array([[row["stars"], row["long"]] for row in ROWS], np.float32)
    assert values.dataset("test").labels.tolist() == stars[20:].tolist()
    x, y = values.prepare(values.dataset("train")[torch.tensor([3, 7])])
    assert y.tolist() == stars[[3, 7]].tolist()
    assert x.lengths.tolist() == [3, 3]
    target = values.target
    assert isinstance(target, ValueTarget)
    np.testing.assert_allclose(target.mean, stars[values.indices("train")].astype(np.float64).mean(0))
    labels = TextTable(source="mine", label_columns=["long", "rude"])
    assert isinstance(labels.target, LabelTarget)
    assert labels.dataset("train").labels.tolist() == [[row["long"], row["rude"]] for row in ROWS[:20]]
    assert (labels.num_classes, labels.class_names) == (None, None)
    caches = [p for p in Path("data/.al_lightning").iterdir() if p.is_dir()]
    assert len(caches) == 3  # two splits of values, one of labels, each with columns of its own
    assert TextClassification(source="mine").dataset("train").labels.tolist() == [row["label"] for row in ROWS[:20]]
    again = TextTable(source="mine", value_columns=["stars", "long"])
    assert torch.equal(again.dataset("test").labels, values.dataset("test").labels)


def test_mistakes_are_named() -> None:
    write("mine", {"train": [{**row, "stars": "many" if k == 4 else "1"} for k, row in enumerate(ROWS)]}, "csv")
    with pytest.raises(ValueError, match="column 'stars' of the train split of mine, but row 4 holds 'many'"):
        _ = TextTable(source="mine", value_columns=["stars"]).target
    with pytest.raises(ValueError, match="Expected columns text, moons in .* 'moons' is not among .* `label_columns`"):
        _ = TextTable(source="mine", label_columns=["moons"]).target
    with pytest.raises(ValueError, match="exactly one of `value_columns`, `label_columns`, but got none"):
        TextTable(source="mine")


@pytest.mark.parametrize(("model", "columns"), [("LSTMAL", "value"), ("LSTMBP", "label")])
def test_fit_and_predict_by_arguments_alone(model: str, columns: str) -> None:
    write("mine", {"train": ROWS, "test": ROWS[20:]}, "csv")
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
    cli: Any = main(["fit", "--model", model, "--model.embedding_dim=6", "--model.hidden_dims=[4,5]", "--data",
                     "TextTable", "--data.source=mine", f"--data.{columns}_columns=[long,rude]", *quiet,
                     "--trainer.max_epochs=1", *(["--model.target_dim=8"] if model == "LSTMAL" else [])])  # fmt: skip
    for file in Path("mine").iterdir():
        file.unlink()
    for cache in Path("data/.al_lightning").rglob("*.npy"):
        cache.unlink()
    Path("new.txt").write_text("word1 and\nword2\n")
    path = str(cli.trainer.checkpoint_callback.best_model_path)
    again: Any = main(["predict", "--ckpt_path", path, "--data.predict_from=new.txt", *quiet])
    header, *rows = Path("predictions.csv").read_text().splitlines()
    assert header == ("sample,long,rude" if columns == "value" else "sample,labels,long,rude")
    said = again.model.predict_text(["word1 and", "word2"])
    assert [float(row.split(",")[-1]) for row in rows] == pytest.approx([row[-1] for row in said], abs=1e-4)
