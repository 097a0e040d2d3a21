"""The json beside a file is all that a server needs, and says what is in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from networks import build
from torchtext.data.utils import get_tokenizer

import al_lightning as al
from al_lightning.data import Digits, Table
from al_lightning.serving import export_path

WORDS = ["<pad>", "<unk>", "a", "what", "film", "!", "dull"]


def test_raw_text_is_served_from_the_json_alone() -> None:
    module = al.LSTMAL(
        2,
        vocabulary=WORDS,
        class_names=["bad", "good"],
        max_length=4,
        embedding_dim=6,
        hidden_dims=[4, 5],
        target_dim=8,
    )
    torch.nn.init.normal_(module.layers[0].f.embedding.weight)  # type: ignore[union-attr,arg-type]
    texts = ["What a film!", "dull, dull, dull ... but what a film", "", "A FILM"]
    export_path(module, "network.onnx", readout="codes")
    about = json.loads(Path("network.onnx.json").read_text())
    read = about["preparation"]
    assert (read["kind"], read["tokenizer"]) == ("text", "basic_english")
    numbers = {word: number for number, word in enumerate(read["vocabulary"])}
    split = get_tokenizer(read["tokenizer"])
    rows = [[numbers.get(word, read["unknown"]) for word in split(text)][: read["max_length"]] for text in texts]
    tokens = np.full((len(rows), max(map(len, rows))), read["padding"], np.int64)
    for row, own in zip(tokens, rows):
        row[: len(own)] = own
    (file,) = about["files"]
    session = onnxruntime.InferenceSession(file["file"])
    (predictions,) = session.run(["predictions"], {file["inputs"][0]["name"]: tokens})
    module.readout = "codes"
    expected = module.predict_text(texts)
    assert [about["target"]["class_names"][k] for k in predictions.argmax(1)] == [name for name, _ in expected]
    assert predictions.max(1).tolist() == pytest.approx([p for _, p in expected], abs=1e-5)
    assert len({round(p, 4) for _, p in expected}) > 2


def test_images_are_prepared_as_in_training() -> None:
    data = Digits(train_samples=100)
    module = al.MLPBP(10, in_channels=1, image_size=8, hidden_dims=[8])
    export_path(module, "network.pt2", data=data)
    about = json.loads(Path("network.pt2.json").read_text())
    assert about["files"][0]["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]
    assert about["files"][0]["outputs"][0] == {"name": "scores", "dtype": "float32", "shape": ["batch", 10]}
    assert (about["network"], about["path_length"], about["readout"]) == ("al_lightning.MLPBP", None, "head")
    assert about["parameters"] == module.inference_parameters()
    read = about["preparation"]
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    mean, std = (np.array(read[name]).reshape(-1, 1, 1) for name in ("mean", "std"))
    x = (batch.images.numpy() / read["pixel_range"] - mean) / std
    torch.testing.assert_close(torch.from_numpy(x).float(), data.prepare(batch)[0])
    assert x.shape[1:] == (read["in_channels"], read["image_size"], read["image_size"])


@pytest.mark.parametrize("name", ["ALModule", "LSTMAL"])
def test_what_is_not_known_is_null(name: str) -> None:
    module: Any = build(name)
    given: dict[str, Any] = {"input_shape": [1, 4, 4]} if name == "ALModule" else {}
    about = json.loads(export_path(module, "network.pt2", path_length=1, **given).description.read_text())
    assert about["target"]["class_names"] == ["0", "1", "2", "3"]
    if name == "LSTMAL":
        assert about["preparation"]["vocabulary"] is None
        assert about["preparation"]["max_length"] is None
    else:
        assert about["preparation"] is None


def test_tables_are_prepared_as_in_training() -> None:
    rows = np.random.default_rng(0).normal([3, 500], [2, 100], (40, 2))
    lines = ["a,b,y", *(f"{a},{b},{a + b}" for a, b in rows)]
    Path("rows.csv").write_text("\n".join(lines))
    data = Table(source="rows.csv", value_columns=["y"])
    module = al.MLPAL(target=data.target, in_features=2, hidden_dims=[8])
    export_path(module, "network.pt2", data=data)
    about = json.loads(Path("network.pt2.json").read_text())
    assert about["target"] == {"kind": "ValueTarget", "width": 1, "columns": ["y"]}
    read = about["preparation"]
    assert read["columns"] == ["a", "b"]
    batch = next(iter(data.test_dataloader()))
    raw = data.dataset("test").vectors[data.indices("test")].numpy()
    x = (raw - read["mean"]) / read["std"]
    torch.testing.assert_close(torch.from_numpy(x).float(), data.prepare(batch)[0])
    assert float(np.abs(x).max()) < 5
    said = torch.export.load("network.pt2").module()(torch.from_numpy(x).float())["predictions"]
    torch.testing.assert_close(said, module.predictions(module.eval()(data.prepare(batch)[0])).detach())
