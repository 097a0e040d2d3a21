"""``al-lightning export``: from a checkpoint to files, what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import TRAINER, loader

import al_lightning as al
from al_lightning.cli.main import console, main

OWN = """
import al_lightning as al
from torch import nn

class Own(al.ALModule):
    def __init__(self):
        layers = [al.ALLayer(nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(4, 5), nn.Linear(5, 4))]
        super().__init__(layers, 4)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of the command line's own."""
    folder = tmp_path_factory.mktemp("fit")
    tiny = ["--data", "Digits", "--data.train_samples=200", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]
    main(["fit", "--model", "MLPAL", *tiny, f"--trainer.default_root_dir={folder}"])
    return str(next(folder.rglob("best.ckpt")))


def test_a_path_of_a_checkpoint(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    exported = main(["export", "--ckpt_path", trained, "--format=torch", "--path_length=2", "--readout=codes"])
    file = Path(trained).with_name("best-path2-codes.pt2")
    printed = capsys.readouterr().out
    module = al.MLPAL.load_from_checkpoint(trained)
    for said in (
        f"{file}\n",
        "in  x (batch, 1, 8, 8) float32",
        "out scores (batch, 10) float32",
        "out predictions (batch, 10) float32",
        f"{file.stat().st_size / 1e6:.2f} MB, {module.inference_parameters(2, 'codes'):,} parameters",
        f"{file}.json",
        f"off by {exported.difference:.1e} at most",
    ):
        assert said in printed
    x = torch.randn(3, 1, 8, 8)
    names: dict[str, Any] = {"torch": torch, "x": x}
    first, second = printed.strip().splitlines()[-2:]
    exec(first, names)
    exec(second, names)
    expected = module.probabilities(module(x, 2, "codes"), 2, "codes")
    torch.testing.assert_close(names["said"]["predictions"], expected, atol=1e-5, rtol=0)
    about = json.loads(Path(f"{file}.json").read_text())
    assert about["preparation"]["pixel_range"] == 16.0


def test_onnx_and_segments(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", "--ckpt_path", trained, "--output=a/n.onnx", "--opset=20"])
    printed = capsys.readouterr().out.strip().splitlines()
    module = al.MLPAL.load_from_checkpoint(trained)
    x = torch.randn(3, 1, 8, 8)
    names: dict[str, Any] = {"x": x.numpy()}
    for line in printed[-2:]:
        exec(line, names)
    expected = module.probabilities(module(x))
    torch.testing.assert_close(torch.from_numpy(names["predictions"]), expected, atol=1e-5, rtol=0)
    import onnx

    (version,) = onnx.load("a/n.onnx").opset_import
    assert version.version == 20
    main(["export", "--ckpt_path", trained, "--segments", "--format=torch"])
    folder = Path(trained).with_name("best-segments-torch")
    assert [file["file"] for file in json.loads((folder / "segments.json").read_text())["files"]] == [
        "segment1.pt2",
        "segment2.pt2",
        "segment3.pt2",
    ]


def test_a_checkpoint_of_parts_needs_the_class(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path("own_network.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = __import__("own_network").Own()
    trainer = pl.Trainer(**TRAINER, max_epochs=1, enable_checkpointing=False)  # type: ignore[arg-type]
    trainer.fit(own, loader())
    trainer.save_checkpoint("own.ckpt")
    with pytest.raises(ValueError, match=r"to know what Own reads"):
        main(["export", "--ckpt_path=own.ckpt", "--format=torch"])
    main(["export", "--ckpt_path=own.ckpt", "--format=torch", "--input_shape=[6]"])
    assert Path("own.pt2").is_file()
    checkpoint = torch.load("own.ckpt", weights_only=True)
    checkpoint["al_lightning"]["model"] = None
    torch.save(checkpoint, "parts.ckpt")
    with pytest.raises(ValueError, match=r"parts\.ckpt to say how its model was built, .* Pass `--model yourmodule"):
        main(["export", "--ckpt_path=parts.ckpt", "--format=torch"])
    main(["export", "--ckpt_path=parts.ckpt", "--format=torch", "--input_shape=[6]", "--model=own_network.Own"])
    x = torch.randn(2, 6)
    said = torch.export.load("parts.pt2").module()(x)
    torch.testing.assert_close(said["scores"], own.eval()(x), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"Expected no `--model`, because own\.ckpt says"):
        main(["export", "--ckpt_path=own.ckpt", "--format=torch", "--model=own_network.Own"])


def test_data_that_cannot_be_built_here(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = torch.load(trained, weights_only=True)
    checkpoint["al_lightning"]["data"]["class_path"] = "gone.Data"
    torch.save(checkpoint, "moved.ckpt")
    main(["export", "--ckpt_path=moved.ckpt", "--format=torch"])
    assert "will not stand in the description, because the data cannot be built" in capsys.readouterr().out
    assert json.loads(Path("moved.pt2.json").read_text())["preparation"] is None


def test_what_is_refused(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    form = ["--ckpt_path", trained, "--format=torch"]
    for arguments, match in (
        (["--format=onnx"], "`--ckpt_path` to name the checkpoint to export"),
        (["--ckpt_path", trained], "`--format` to be torch or onnx, but got None"),
        (["--ckpt_path", trained, "--format=tf"], "`--format` to be torch or onnx, but got tf"),
        ([*form, "--path_length=4"], r"`path_length` to be in 1\.\.3"),
        ([*form, "--readout=nearest"], "`readout` to be 'decoder' or 'codes' or 'mean'"),
        (
            [*form, "--input_shape=6"],
            r"`--input_shape` to be a list of whole numbers such as '\[3, 32, 32\]', but got 6",
        ),
        ([*form, "--input_shape=[x]"], r"`--input_shape` to be a list .* but got \[x\]"),
        ([*form, "--colour=red"], "arguments of `export`, but got --colour=red"),
    ):
        with pytest.raises(ValueError, match=match):
            main(["export", *arguments])
    with pytest.raises(FileNotFoundError, match=r"Expected a checkpoint file, but there is none at gone\.ckpt"):
        main(["export", "--ckpt_path=gone.ckpt", "--format=torch"])
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert re.search(r"--input_shape", capsys.readouterr().out)


def test_the_command_fails_by_a_sentence(
    trained: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(sys, "argv", ["al-lightning", "export", "--ckpt_path", trained, "--format=onnx"])
    with pytest.raises(SystemExit) as ended:
        console()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("al-lightning: Expected onnx, onnxruntime and onnxscript for the format 'onnx', but")
