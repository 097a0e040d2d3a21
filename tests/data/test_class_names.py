"""Names of classes as users give them, in Python and in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from set_files import draw, write

from al_lightning.cli.main import main
from al_lightning.data import TextClassification
from al_lightning.data.class_names import checked_names


def test_given_names_become_strings() -> None:
    assert checked_names([0, 1, "two", "010"]) == ["0", "1", "two", "010"]
    assert checked_names(("a", "b")) == ["a", "b"]
    assert checked_names(np.arange(3)) == ["0", "1", "2"]
    assert checked_names(np.array(["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([False, True], r"list of names, but got \[False, True\]. Write names in quotation marks"),
        ([None, "NA"], r"list of names, but got \[None, 'NA'\]"),
        ([1.0, 2.0], "list of names, but got"),
        ("ab", "list of names, but got 'ab'"),
        (False, "list of names, but got False"),
        ({"a", "b"}, "list of names, but got {"),
        ({"a": 0, "b": 1}, "list of names, but got {"),
        ([], "at least two different names, but got"),
        (["a"], "at least two different names, but got"),
        (["a", ""], "at least two different names, but got"),
        ([1, "1"], "at least two different names, but got"),
    ],
)
def test_wrong_names_get_a_sentence(names: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        checked_names(names)


def fit(kind: str, names: str) -> Any:
    """Train on texts or images whose classes are called 001, 1, no and null."""
    labels = ["001", "1", "no", "null"]
    if kind == "TextClassification":
        write("mine", {"all": [{"text": f"text {k}", "label": labels[k % 4]} for k in range(80)]}, "csv")
        source, model = "source: mine/all.csv", "LSTMBP, init_args: {embedding_dim: 4, hidden_dims: [3]}"
    else:
        for label in labels:
            for k in range(20):
                draw(Path("mine", label, f"{k}.png"), 5 * k)
        source, model = "root: mine, image_size: 4", "MLPBP, init_args: {hidden_dims: [3]}"
    Path("run.yaml").write_text(
        f"model: {{class_path: {model}}}\n"
        f"data: {{class_path: {kind}, init_args: {{{source}, class_names: {names}}}}}\n"
        "trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false}\n"
    )
    return main(["fit", "--config", "run.yaml"])


@pytest.mark.parametrize("kind", ["TextClassification", "ImageFolder"])
@pytest.mark.parametrize("written", ["[no, yes]", "[null, a]", "[1.0, 2.0]", "no", "some"])
def test_names_without_quotation_marks_get_a_sentence(kind: str, written: str) -> None:
    with pytest.raises(
        (TypeError, ValueError),
        match="Expected `class_names` to be a list of names, but got .* Write names in quotation marks that YAML",
    ):
        fit(kind, written)


@pytest.mark.parametrize("kind", ["TextClassification", "ImageFolder"])
def test_names_that_look_like_something_else_travel_in_a_checkpoint(kind: str) -> None:
    fitted = fit(kind, '["no", 1, "null", "001"]')
    names = ["no", "1", "null", "001"]
    assert fitted.datamodule.class_names == fitted.model.target.class_names == names
    checkpoint = fitted.trainer.checkpoint_callback.last_model_path
    kept = torch.load(checkpoint, weights_only=True)["al_lightning"]
    assert [str(name) for name in kept["data"]["init_args"]["class_names"]] == names
    for also in ([], ["--config", "run.yaml"]):
        tested = main(["test", "--ckpt_path", checkpoint, *also])
        assert tested is not None
        assert tested.datamodule.class_names == names


def test_an_empty_list_of_names_is_no_wish_to_find_them() -> None:
    write("mine", {"all": [{"text": "a", "label": k} for k in range(2)]}, "csv")
    with pytest.raises(ValueError, match=r"at least two different names, but got \[\]"):
        TextClassification(source="mine/all.csv", class_names=[])
