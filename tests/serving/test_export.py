"""What an export leaves alone, what it refuses, and what becomes of files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import K, hand_layers
from exported import load
from networks import build, inputs, with_dropout
from target_kinds import Numbers
from torch import Tensor, nn

import al_lightning as al
from al_lightning.nn.inputs import ImageCheck, TokenCheck, VectorCheck
from al_lightning.serving import export_path, onnx_format
from al_lightning.targets.base import Calibration


def test_a_module_is_left_as_it_was() -> None:
    module = with_dropout().double()
    module.layers[0].eval()
    module.layers[1].f.requires_grad_(False)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    learns = [p.requires_grad for p in module.parameters()]
    random = torch.get_rng_state()
    export_path(module, "network.pt2", input_shape=(6,))
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert [part.training for part in module.modules()] == modes
    assert [p.requires_grad for p in module.parameters()] == learns
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(p.dtype == torch.float32 for p in module.parameters())
    x = torch.randn(5, 6)
    said = load("network.pt2")(x)
    assert said["scores"].dtype == torch.float32
    torch.testing.assert_close(said["scores"], module.eval()(x).float(), atol=1e-5, rtol=1e-5)


def test_half_precision_is_written_as_float32() -> None:
    module = al.ALModule(hand_layers(2), K).bfloat16()
    exported = export_path(module, "network.pt2", input_shape=(6,))
    assert exported.difference <= 1e-5
    assert {port.dtype for port in (*exported.files[0][1].inputs, *exported.files[0][1].outputs)} == {"float32"}


def test_compiled_layers_are_exported_as_they_were_written() -> None:
    module = build("MLPAL", compile_layers=True)
    export_path(module, "network.pt2")
    x = inputs("MLPAL", 3)
    torch.testing.assert_close(load("network.pt2")(x)["scores"], build("MLPAL").eval()(x), atol=1e-5, rtol=1e-5)


class Doubled(Calibration):
    """Reads scores otherwise than classes are."""

    def read(self, scores: Tensor, readout: int) -> Tensor:
        return (2 * scores).sum(-1)


class Sums(Numbers):
    def calibration(self, readouts: int) -> Calibration:
        return Doubled(readouts)


@pytest.mark.parametrize("file", ["network.pt2", "network.onnx"])
def test_other_kinds_say_what_their_scores_mean(file: str) -> None:
    module: Any = al.MLPAL(target=Sums(2), in_features=5, hidden_dims=[8])
    exported = export_path(module, file)
    assert [port.shape for port in exported.files[0][1].outputs] == [("batch", 2), ("batch",)]
    x = torch.randn(3, 5)
    torch.testing.assert_close(load(file)(x)["predictions"], 2 * module.eval()(x).sum(-1), atol=1e-5, rtol=1e-5)


def test_files_that_are_there_stay() -> None:
    module = build("MLPAL")
    export_path(module, "new/network.pt2")
    before = Path("new/network.pt2").read_bytes()
    with pytest.raises(FileExistsError, match=r"new files, but new/network\.pt2 exists\. Move it away, or pass"):
        export_path(module, "new/network.pt2", path_length=1)
    assert Path("new/network.pt2").read_bytes() == before
    export_path(module, "new/network.pt2", path_length=1, force=True)
    assert json.loads(Path("new/network.pt2.json").read_text())["path_length"] == 1
    assert sorted(path.name for path in Path("new").iterdir()) == ["network.pt2", "network.pt2.json"]
    Path("folder.pt2").mkdir()
    with pytest.raises(ValueError, match=r"a file to write to, but folder\.pt2 is a folder"):
        export_path(module, "folder.pt2")


def test_large_weights_lie_beside_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build("MLPAL")
    monkeypatch.setattr(onnx_format, "LARGEST", 1000)
    exported = export_path(module, "network.onnx")
    assert Path("network.onnx.data").stat().st_size > 0
    assert exported.size == sum(Path(name).stat().st_size for name in ("network.onnx", "network.onnx.data"))
    x = inputs("MLPAL", 3)
    torch.testing.assert_close(load("network.onnx")(x)["scores"], module.eval()(x), atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(onnx_format, "LARGEST", 2**31)
    export_path(module, "network.onnx", force=True)
    assert not Path("network.onnx.data").exists()


def off_by_a_little(read: Callable[..., Any], change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    def changed(self: Any, file: Path, unit: Any) -> Any:
        run = read(self, file, unit)
        return lambda x: tuple(map(change, run(x)))

    return changed


@pytest.mark.parametrize("change", [lambda x: x + 2e-5, lambda x: x * torch.nan, lambda x: x[:1]])
def test_a_file_that_says_something_else_gets_no_name(
    change: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = al.serving.formats.TorchFormat  # type: ignore[attr-defined]
    read = kind.read
    monkeypatch.setattr(kind, "read", off_by_a_little(read, change))
    Path("network.pt2").write_text("of before")
    with pytest.raises(ValueError, match=r"answer as the module does, to 1e-05, but it is off by .* look into"):
        export_path(build("MLPAL"), "network.pt2", force=True)
    assert Path("network.pt2").read_text() == "of before"
    assert not Path("network.pt2.json").exists()
    (kept,) = Path().glob(".network.pt2.*.tmp/network.pt2")
    assert kept.stat().st_size > 1000
    monkeypatch.setattr(kind, "read", read)
    export_path(build("MLPAL"), "network.pt2", force=True)
    assert sorted(path.name for path in Path().iterdir()) == ["network.pt2", "network.pt2.json"]


class Branches(nn.Module):
    """Does what no graph holds."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize("file", ["network.pt2", "network.onnx"])
def test_what_cannot_be_exported_is_named(file: str) -> None:
    layers = hand_layers(2)
    layers[1].f = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Tanh(), Branches()))
    module = al.ALModule(layers, K)
    match = r"its part path\.encoders\.1\.1\.1 \(Branches\) cannot: Could not guard on data-dependent expression"
    with pytest.raises(ValueError, match=match):
        export_path(module, file, input_shape=(6,))
    assert not list(Path().iterdir())
    export_path(module, file, path_length=1, input_shape=(6,))


class Shifted(al.MLPAL):
    """Whose scores are not those of its path."""

    def forward(self, x: Any, path_length: int | None = None, readout: Any = None) -> Tensor:
        return super().forward(x + 1, path_length, readout)


def test_a_forward_of_ones_own_is_not_lost_silently() -> None:
    module = Shifted(K, in_features=6, hidden_dims=[8])
    with pytest.raises(ValueError, match=r"`forward` of Shifted to compute its path and nothing else"):
        export_path(module, "network.pt2")
    assert module.training


def test_shapes_that_are_not_known_or_not_the_modules() -> None:
    module = al.ALModule(hand_layers(2), K)
    with pytest.raises(ValueError, match=r"to know what ALModule reads, .* such as `--input_shape '\[3, 32, 32\]'`"):
        export_path(module, "network.pt2")
    with pytest.raises(ValueError, match=r"`input_shape` to be whole numbers above 0, .* but got \[0\]"):
        export_path(module, "network.pt2", input_shape=[0])
    with pytest.raises(ValueError, match=r"Expected images of shape \(B, 1, 4, 4\)"):
        export_path(build("MLPAL"), "network.pt2", input_shape=[6])
    export_path(build("MLPAL"), "network.pt2", input_shape=[1, 4, 4])


def test_other_bad_arguments() -> None:
    module = build("MLPAL")
    for arguments, match in (
        ({"path_length": 3}, r"`path_length` to be in 1\.\.2, the number of active AL layers, but got 3"),
        ({"readout": "nearest"}, "`readout` to be 'decoder' or 'codes' or 'mean' for a ClassTarget, but got 'nearest'"),
        ({"format": "tf"}, "`format` to be 'torch' or 'onnx', but got 'tf'"),
        ({"format": "onnx"}, r"of format 'onnx' to end in \.onnx, but got network\.pt2"),
        ({"opset": 18}, "`opset` together with the format 'onnx'"),
    ):
        with pytest.raises(ValueError, match=match):
            export_path(module, "network.pt2", **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`format` to be 'torch' or 'onnx', but got none"):
        export_path(module, "network.bin")
    for asked in ({"path_length": 1}, {"readout": "codes"}):
        with pytest.raises(ValueError, match=f"AL layers for `{next(iter(asked))}`, but MLPBP has one path"):
            export_path(build("MLPBP"), "network.pt2", **asked)  # type: ignore[arg-type]
    assert not list(Path().iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_packages_that_are_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=rf"but {package} cannot be imported\. Run `pip install 'al-lightning\[onnx\]'`"
    ):
        export_path(build("MLPAL"), "network.onnx")
    export_path(build("MLPAL"), "network.pt2")


def test_a_torch_that_cannot_write_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(ImportError, match=r"torch 2.7 or newer for the format 'onnx', but got 2.6.0\+cpu"):
        export_path(build("MLPAL"), "network.onnx")


def test_examples_are_what_networks_read() -> None:
    generator = torch.Generator().manual_seed(0)
    for check in (ImageCheck(3, 4), VectorCheck(5), TokenCheck(9)):
        for samples, length in ((1, 1), (1, 6), (7, 6)):
            x = check.example(samples, length, generator)
            check(x)
            assert len(x) == samples
    assert (x[0] > 0).all()
    assert not x[-1].any()
    assert x.max() <= 8
