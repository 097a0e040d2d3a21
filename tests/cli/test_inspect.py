"""``al-lightning inspect``: what it prints, draws and keeps, and what it refuses."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path

import pytest
import torch

import al_lightning as al
from al_lightning.cli.main import main
from al_lightning.inspection.calibrate import throughput
from al_lightning.inspection.cost import latency

TINY = ["--data", "Digits", "--data.train_samples=200", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of both siblings, trained for a moment."""
    found = {}
    for name in ("MLPAL", "MLPBP"):
        folder = tmp_path_factory.mktemp(name)
        main(["fit", "--model", name, *TINY, "--data.val_fraction=0.4", f"--trainer.default_root_dir={folder}"])
        found[name] = str(next(folder.rglob("best.ckpt")))
    return found


@pytest.fixture
def trained(checkpoints: dict[str, str]) -> str:
    """A copy of the AL sibling's checkpoint."""
    Path("own.ckpt").write_bytes(Path(checkpoints["MLPAL"]).read_bytes())
    return "own.ckpt"


def test_layers_are_shown_and_drawn(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(trained).read_bytes()
    rows = main(["inspect", "--ckpt_path", trained, "--trainer.accelerator=cpu"])
    printed = capsys.readouterr().out
    for text in (
        "associated loss",
        "reconstruction loss",
        "acc by decoder",
        "acc by codes",
        "multiplications",
        "ms for",
    ):
        assert text in printed
    module = al.MLPAL.load_from_checkpoint(trained)
    assert [row.number for row in rows] == [1, 2, 3]
    assert [row.inference_parameters for row in rows] == [module.inference_parameters(k) for k in (1, 2, 3)]
    linear = [part for k in (1, 2, 3) for part in [module.path(k)]]
    for row, path in zip(rows, linear):
        by_hand = sum(m.weight.numel() for m in path.modules() if isinstance(m, torch.nn.Linear))
        assert row.multiplications == by_hand
    with open("own-inspect/layers.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [float(line["associated"]) for line in written] == pytest.approx([row.associated for row in rows])
    assert Path("own-inspect/layers.png").read_bytes()[:4] == b"\x89PNG"
    assert Path(trained).read_bytes() == before


def test_thresholds_are_chosen_and_kept(
    trained: str, checkpoints: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("al_lightning.inspection.calibrate.SECONDS", 0.05)
    weights = torch.load(trained, weights_only=True)["state_dict"]
    arguments = ["--calibrate", "--max_loss=30", "--confidence=0.8", "--trainer.accelerator=cpu"]
    main(["inspect", "--ckpt_path", trained, *arguments, "--beside", checkpoints["MLPBP"], checkpoints["MLPAL"]])
    printed = " ".join(capsys.readouterr().out.split())
    millions = {name: getattr(al, name).load_from_checkpoint(path) for name, path in checkpoints.items()}
    assert f"MLPAL, {millions['MLPAL'].inference_parameters() / 1e6:.3g} M" in printed
    assert f"MLPBP, {sum(p.numel() for p in millions['MLPBP'].parameters()) / 1e6:.3g} M" in printed
    accuracy = {
        name: re.search(rf"│ {name} +│ ([0-9.]+) │", printed).group(1)  # type: ignore[union-attr]
        for name in ("path 3", r"MLPAL, [0-9.]+ M")
    }
    assert len(set(accuracy.values())) == 1  # the same network, on the same samples
    assert "At most 30.0 points lost with confidence 0.8" in printed
    assert "early exits, chosen" in printed
    assert Path("own-inspect/exits.png").read_bytes()[:4] == b"\x89PNG"
    module = al.MLPAL.load_from_checkpoint(trained)
    chosen = module.exits.chosen()
    assert chosen is not None
    assert module.exits.promise.tolist() == pytest.approx([0.3, 0.8, 0.0])
    after = torch.load(trained, weights_only=True)["state_dict"]
    changed = {name for name, value in weights.items() if not torch.equal(value, after[name])}
    assert changed <= {"exits.thresholds", "exits.promise", "calibration.temperatures"}
    main(["predict", "--ckpt_path", trained, "--model.confidence=calibrated", "--trainer.accelerator=cpu"])
    assert len(Path("predictions.csv").read_text().splitlines()) > 100


def test_others_are_shown_beside_the_same_samples_only(trained: str) -> None:
    main(["fit", "--model", "MLPBP", *TINY, "--data.val_fraction=0.3", "--trainer.default_root_dir=other"])
    other, before = str(next(Path("other").rglob("best.ckpt"))), Path(trained).read_bytes()
    with pytest.raises(ValueError, match=r"validated on the same samples, but MLPBP has 60 and the other 80"):
        main(["inspect", "--ckpt_path", trained, "--calibrate", "--max_loss=30", "--beside", other])
    assert Path(trained).read_bytes() == before


def test_time_is_that_of_the_precision() -> None:
    seen = []

    def answer(x: torch.Tensor) -> None:
        seen.append(torch.is_autocast_enabled("cpu"))

    half = functools.partial(torch.autocast, "cpu", torch.bfloat16)
    throughput(answer, [torch.zeros(3, 2)], half)
    latency(answer, torch.zeros(3, 2), precision=half)
    assert all(seen)
    assert len(seen) > 10


def test_what_cannot_be_inspected(
    trained: str, checkpoints: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="`--ckpt_path` to name the checkpoint to look into"):
        main(["inspect"])
    with pytest.raises(ValueError, match="a checkpoint of AL layers, but .* holds a MLPBP"):
        main(["inspect", "--ckpt_path", checkpoints["MLPBP"]])
    with pytest.raises(ValueError, match="`--beside` together with `--calibrate`"):
        main(["inspect", "--ckpt_path", trained, "--beside", trained])
    with pytest.raises(ValueError, match=r"`--beside` to name checkpoints, but there is no file gone\.ckpt"):
        main(["inspect", "--ckpt_path", trained, "--calibrate", "--beside", trained, "gone.ckpt"])
    with pytest.raises(ValueError, match=r"`--confidence` to be above 0 and below 1, but got 1\.5"):
        main(["inspect", "--ckpt_path", trained, "--calibrate", "--confidence=1.5"])
    with pytest.raises(ValueError, match=r"`--max_loss` to be above 0 and below 100 points, but got 0\.0"):
        main(["inspect", "--ckpt_path", trained, "--calibrate", "--max_loss=0"])
    before = Path(trained).read_bytes()
    with pytest.raises(ValueError, match=r"a loss that 68 held-out samples can promise .* they promise"):
        main(["inspect", "--ckpt_path", trained, "--calibrate", "--max_loss=0.2"])
    assert Path(trained).read_bytes() == before
    with pytest.raises(SystemExit):
        main(["inspect", "--help"])
    assert "--max_loss POINTS" in capsys.readouterr().out
