"""`al-lightning reproduce`: what it writes, that it goes on, and what it refuses."""

from __future__ import annotations

import csv
import json
import logging
import statistics
from pathlib import Path

import pytest
import yaml

from al_lightning.cli.main import main
from al_lightning.experiments import reproduce as experiments

SMALL = ["--data.train_samples=200", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]


@pytest.fixture
def small() -> str:
    Path("small.yaml").write_text(
        yaml.safe_dump(
            {
                "title": "Small",
                "seeds": [0, 1],
                "note": "The paper says nothing.",
                "runs": [
                    {"name": "MLP-AL", "config": "digits/mlp_al.yaml", "arguments": SMALL},
                    {"name": "MLP-BP", "config": "digits/mlp_bp.yaml", "arguments": SMALL},
                ],
            }
        )
    )
    return "small.yaml"


def test_results_are_written_and_kept(
    small: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    level = logging.getLogger("lightning.pytorch").level
    main(["reproduce", small])
    assert logging.getLogger("lightning.pytorch").level == level  # a notebook goes on with its own
    printed = capsys.readouterr().out
    for text in ("Small", "MLP-AL", "MLP-BP", "(full)", "±", "The paper says nothing."):
        assert text in printed
    folder = Path("results/small")
    document = json.loads((folder / "results.json").read_text())
    assert [(r["name"], r["seed"]) for r in document["results"]] == [
        ("MLP-AL", 0),
        ("MLP-AL", 1),
        ("MLP-BP", 0),
        ("MLP-BP", 1),
    ]
    assert {"torch", "lightning", "python", "processor", "cores", "date", "al_lightning"} <= set(
        document["environment"]
    )
    first = document["results"][0]
    assert first["command"].startswith("al-lightning fit --config configs/digits/mlp_al.yaml --seed_everything 0")
    assert {"test_acc", "test_acc_path1", "test_acc_path2", "test_acc_path3"} == set(first["test"])
    assert len(first["curve"]) == first["epochs"] == 2
    assert first["training_parameters"] > first["inference_parameters"]
    best = max(first["curve"], key=lambda row: row["val_acc"])
    assert first["best_epoch"] == best["epoch"] + 1
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 + 2 * 1
    assert (folder / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
    mean = statistics.mean(100 * r["test"]["test_acc"] for r in document["results"][:2])
    assert f"{mean:.2f}" in printed

    def never(*args: object) -> None:
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(experiments, "_train", never)
    main(["reproduce", small])
    assert json.loads((folder / "results.json").read_text())["results"] == document["results"]
    with pytest.raises(AssertionError, match="trained again"):
        main(["reproduce", small, "--seeds", "[7]"])


def test_an_interrupted_experiment_goes_on(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, trained = experiments._train, []

    def interrupted(name: str, seed: int, command: list[str], folder: Path) -> experiments.Result:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append((name, seed))
        return train(name, seed, command, folder)

    monkeypatch.setattr(experiments, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(["reproduce", small])
    seen: list[tuple[str, int]] = []

    def counted(name: str, seed: int, command: list[str], folder: Path) -> experiments.Result:
        seen.append((name, seed))
        return train(name, seed, command, folder)

    monkeypatch.setattr(experiments, "_train", counted)
    main(["reproduce", small])
    assert seen == [("MLP-AL", 1), ("MLP-BP", 0), ("MLP-BP", 1)]


def test_mistakes_get_a_sentence() -> None:
    with pytest.raises(ValueError, match="no 'tabel1'. Shipped are: .*digits"):
        main(["reproduce", "tabel1"])
    Path("wrong.yaml").write_text("title: a\nseeds: [0]\nrun: []\n")
    with pytest.raises(ValueError, match="wrong.yaml to hold title, runs .* and seeds"):
        main(["reproduce", "wrong.yaml"])
