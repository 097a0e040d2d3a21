"""What the benchmarks of shortcuts and early exits count, on a network that trains in a moment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from scripts import script

import al_lightning as al
from al_lightning.cli.main import main


def test_the_share_of_a_shortcut_is_that_of_its_multiplications() -> None:
    for name in ("saved_bytes", "step"):
        script(name)
    shortcuts = script("shortcuts")
    row = shortcuts.measure("MLP", 2, None, seconds=0.0)
    module = al.MLPAL(10)
    each = [
        sum(part.weight.numel() for part in module.path(k).modules() if isinstance(part, torch.nn.Linear))
        for k in (1, None)
    ]
    assert row.share == pytest.approx(each[0] / each[1])
    assert row.of_expected == pytest.approx(row.first_ms / (row.share * row.full_ms + row.empty_ms))
    assert row.faster == pytest.approx(row.full_ms / row.first_ms)


def test_divisions_are_judged_by_samples_that_chose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("saved_bytes", "step"):
        script(name)
    exits = script("exits")
    monkeypatch.setattr("al_lightning.inspection.calibrate.SECONDS", 0.01)
    network = ["--model", "MLPAL", "--data", "Digits", "--data.val_fraction=0.4", "--trainer.max_epochs=8"]
    path = main(["fit", *network, "--trainer.accelerator=cpu"]).trainer.checkpoint_callback.best_model_path
    given = [path, "--max_loss=10", "--confidence=0.8", "--divisions=4", "--output=exits.json"]
    monkeypatch.setattr(sys, "argv", ["exits.py", *given, "--arguments=--trainer.accelerator=cpu"])
    exits.main()
    document = json.loads(Path("exits.json").read_text())
    assert len(document["rows"]) == 4
    for row in document["rows"]:
        assert row["broken"] == (row["lost"] > 10)
        assert row["promised"] <= 10
        assert sum(row["left"]) == pytest.approx(1)
    assert document["rows"][0]["left"][0] > 0.1
    assert [row["times_faster"] is None for row in document["rows"]] == [False, False, False, True]
    assert "0.1" in document["environment"]["compaction"]
