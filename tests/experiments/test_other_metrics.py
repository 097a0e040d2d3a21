"""Tables and figures of a metric that is no accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from al_lightning import MLPAL
from al_lightning.cli.main import main
from al_lightning.data import Diabetes
from al_lightning.experiments import figure
from al_lightning.experiments.measure import measure


def test_an_experiment_on_values(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    drawn = figure._draw_split

    def watched(axes: Any, *arguments: Any) -> None:
        drawn(axes, *arguments)
        limits.append(axes.get_ylim())

    monkeypatch.setattr(figure, "_draw_split", watched)
    small = ["--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--model.hidden_dims=[8]"]
    runs = [{"name": f"MLP-{k.upper()}", "config": f"diabetes/mlp_{k}.yaml", "arguments": small} for k in ("al", "bp")]
    Path("values.yaml").write_text(yaml.safe_dump({"title": "Values", "seeds": [0], "runs": runs}))
    results = main(["reproduce", "values.yaml"])
    printed = capsys.readouterr().out
    assert "test r2: mean" in " ".join(printed.split())
    assert "%" not in printed
    for result in results:
        assert result.metric == "r2"
        assert f"{result.test['test_r2']:.4f}" in printed
    lowest = min(row["val_r2"] for result in results for row in result.curve)
    assert lowest < 0  # nothing is learned in two epochs
    assert limits[0][0] <= lowest


def test_what_is_measured_is_in_the_labels_units(trainer: Any) -> None:
    data = Diabetes(val_fraction=0)
    module = MLPAL(target=data.target, in_features=10, hidden_dims=[8], target_dim=8)
    measured = measure(trainer(), module, data, data.test_dataloader())
    x, y = data.prepare(data.dataset("test")[data.indices("test")])
    answers = module.eval().answer(x).detach()
    assert measured["mae"] == pytest.approx(float((answers - y).abs().mean()), rel=1e-5)
    assert measured["rmse"] == pytest.approx(float((answers - y).square().mean().sqrt()), rel=1e-5)
    assert torch.isfinite(torch.tensor(measured["r2"]))
