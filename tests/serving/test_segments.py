"""Chains of segments: early exits outside of Python are those of the module, for every read-out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from exported import some_inputs
from networks import build
from target_kinds import Numbers
from torch import Tensor

import al_lightning as al
from al_lightning.nn.path import READOUTS, Readout
from al_lightning.serving import export_segments


def serve(folder: str, x: Any) -> tuple[Any, Any]:
    """What a server does that has numpy, onnxruntime and the folder: predictions, and where each sample left."""
    about = json.loads(Path(folder, "segments.json").read_text())
    sessions = [onnxruntime.InferenceSession(f"{folder}/{file['file']}") for file in about["files"]]
    place = np.arange(len(x))
    answers, lengths = np.zeros((len(x), about["target"]["width"]), np.float32), np.zeros(len(x), np.int64)
    given = {about["files"][0]["inputs"][0]["name"]: x}
    for number, (session, file) in enumerate(zip(sessions, about["files"]), 1):
        names = [port["name"] for port in file["inputs"]]
        said = dict(
            zip([port["name"] for port in file["outputs"]], session.run(None, {name: given[name] for name in names}))
        )
        leaves = said["confidence"] > file["threshold"] if number < len(sessions) else np.ones(len(place), bool)
        answers[place[leaves]], lengths[place[leaves]] = said["predictions"][leaves], number
        place = place[~leaves]
        if not len(place):
            break
        given = {name: value[~leaves] for name, value in said.items()}
    return answers, lengths


def widest_gap(confidence: Tensor) -> Tensor:
    """Between the samples that are surer and the others, so that no rounding moves one."""
    own = confidence.sort().values[len(confidence) // 4 : -len(confidence) // 4]
    widest = int(own.diff().argmax())
    return own[widest : widest + 2].mean()


@torch.no_grad()
@pytest.mark.parametrize(("name", "readout"), [("MLPAL", "decoder"), ("MLPAL", "mean"), ("LSTMAL", "codes")])
def test_early_exits_outside_of_python(name: str, readout: Readout) -> None:
    module = build(name).eval()
    if name == "LSTMAL":
        module.layers[0].f.embedding.weight.normal_()  # so that texts differ
    module.calibration.temperatures.copy_(torch.linspace(0.1, 0.3, len(module.calibration.temperatures)))
    x = some_inputs(name, 24, 9)
    thresholds = [
        widest_gap(module.predictions(scores, k, readout).amax(-1))
        for k, scores in enumerate(module.forward_paths(x, readout), 1)
    ]
    module.exits.keep(torch.stack(thresholds), 0.002, 0.9, READOUTS.index(readout))
    exported = export_segments(module, "chain", format="onnx")
    assert exported.difference <= 1e-5
    answers, lengths = serve("chain", x.numpy())
    scores, expected = module.forward_adaptive(x)
    assert set(expected.tolist()) == set(range(1, module.active_depth + 1))
    assert lengths.tolist() == expected.tolist()
    for k in set(expected.tolist()):
        own = module.predictions(scores[expected == k], k, readout)
        torch.testing.assert_close(torch.from_numpy(answers[lengths == k]), own, atol=1e-5, rtol=0)


def test_a_chain_in_the_format_of_torch() -> None:
    module = build("TransformerAL").eval()
    exported = export_segments(module, "chain", format="torch", path_length=2, readout="mean")
    assert [file.name for file, _ in exported.files] == ["segment1.pt2", "segment2.pt2"]
    x = some_inputs("TransformerAL", 3, 4)
    first, second = (torch.export.load(file).module() for file, _ in exported.files)
    said = first(x)
    torch.testing.assert_close(said["scores"], module(x, 1, "mean"), atol=1e-5, rtol=1e-5)
    said = second(*(said[port.name] for port in exported.files[1][1].inputs))
    torch.testing.assert_close(said["scores"], module(x, 2, "mean"), atol=1e-5, rtol=1e-5)
    expected = {id(p): p.numel() for k in (1, 2) for p in module.path(k, "mean").parameters()}
    assert exported.parameters == sum(expected.values()) + 2 * 4 * 8  # codes of 4 classes of 8 numbers


def test_thresholds_of_another_read_out_are_no_part_of_it() -> None:
    module = build("MLPAL")
    export_segments(module, "none", format="torch")
    module.exits.keep(torch.tensor([0.4, 0.5]), 0.002, 0.9, READOUTS.index("codes"))
    export_segments(module, "other", format="torch", readout="decoder")
    export_segments(module, "own", format="torch")
    for folder, expected in (("none", None), ("other", None), ("own", 0.4)):
        about = json.loads(Path(folder, "segments.json").read_text())
        assert about["files"][0].get("threshold") == (None if expected is None else pytest.approx(expected))
        assert about["readout"] == ("codes" if folder == "own" else "decoder")


def test_a_kind_that_is_never_sure_has_no_confidence() -> None:
    module: Any = al.MLPAL(target=Numbers(2), in_channels=1, image_size=4, hidden_dims=[8, 8])
    exported = export_segments(module, "chain", format="torch")
    assert [port.name for port in exported.files[1][1].outputs] == ["scores", "predictions"]
    assert json.loads(exported.description.read_text())["target"]["columns"] == ["first", "last"]


def test_who_has_no_segments() -> None:
    with pytest.raises(ValueError, match="AL layers for segments, but MLPBP has none"):
        export_segments(build("MLPBP"), "chain", format="torch")
    Path("file").write_text("")
    with pytest.raises(ValueError, match="a folder for segments, but file is a file"):
        export_segments(build("MLPAL"), "file", format="torch")
