"""Searches and probes on Digits: what they train, what they keep, and that they start again where they stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from test_benchmark import script

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.chdir(BENCHMARKS.parent)
    return script("search")


def experiment(path: Path, runs: list[tuple[str, str, list[str]]]) -> Path:
    runs_of = [{"name": name, "config": config, "arguments": arguments} for name, config, arguments in runs]
    path.write_text(yaml.safe_dump({"title": "t", "note": "n", "seeds": [0], "runs": runs_of}))
    return path


def call(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["script", *arguments])
    module.main()


def test_a_search_keeps_finished_trials(search: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = ["--trainer.max_epochs", "1"]
    output, runs = tmp_path / "out.json", [("AL", "digits/mlp_al.yaml", short), ("BP", "digits/mlp_bp.yaml", short)]
    call(search, monkeypatch, str(experiment(tmp_path / "s.yaml", runs[:1])), "--output", str(output))
    first = json.loads(output.read_text())["trials"]
    assert set(first[0]["val"]) >= {"val_acc", "val_acc_path1", "val_acc_codes1"}
    monkeypatch.setattr(search, "train", counted := Counted(search.train))
    call(search, monkeypatch, str(experiment(tmp_path / "s.yaml", runs)), "--output", str(output))
    document = json.loads(output.read_text())
    assert document["trials"][0] == first[0]
    assert [trial["name"] for trial in document["trials"]] == ["AL", "BP"]
    assert counted.calls == 1
    assert (
        "--config configs/digits/mlp_bp.yaml --seed_everything 0 --data.seed=0 --trainer"
        in document["trials"][1]["command"]
    )


def test_trials_side_by_side_are_as_one_after_the_other(
    search: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ["--trainer.max_epochs", "1"]
    runs = [("AL", "digits/mlp_al.yaml", short), ("BP", "digits/mlp_bp.yaml", short)]
    path, one, both = experiment(tmp_path / "s.yaml", runs), tmp_path / "one.json", tmp_path / "both.json"
    call(search, monkeypatch, str(path), "--output", str(one))
    command = [sys.executable, "benchmarks/search.py", str(path), "--output", str(both), "--processes", "2"]
    subprocess.run(command, check=True, cwd=BENCHMARKS.parent, capture_output=True)
    told = [{t["name"]: t["val"] for t in json.loads(file.read_text())["trials"]} for file in (one, both)]
    assert list(told[1]) == ["AL", "BP"]
    for name, expected in told[0].items():  # not bit by bit: threads, and so the order of sums, may differ
        assert told[1][name] == pytest.approx(expected, abs=0.01)


def test_arguments_after_the_last_option_reach_every_trial(
    search: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = experiment(tmp_path / "s.yaml", [("AL", "digits/mlp_al.yaml", [])])
    call(
        search, monkeypatch, str(path), "--output", str(tmp_path / "o.json"), "--arguments", "--trainer.max_epochs", "1"
    )
    assert json.loads((tmp_path / "o.json").read_text())["trials"][0]["command"].endswith("--trainer.max_epochs 1")


def test_a_probe_trains_behind_the_first_run(
    search: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, options in {"al": {"hidden": [8]}, "frozen": {"head": [8]}}.items():
        network = {"al": "levers.LeverCNN", "frozen": "levers.FrozenCNNBP"}[name]
        model = {"class_path": network, "init_args": {"image_size": 8, "in_channels": 1, **options}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({
            "trainer": {"max_epochs": 1, "accelerator": "cpu"}, "model": model, "data": {"class_path": "Digits"},
        }))  # fmt: skip
    runs = [("AL", str(tmp_path / "al.yaml"), []), ("f_1", str(tmp_path / "frozen.yaml"), ["--model.frozen", "1"])]
    probe = script("probe")
    monkeypatch.setattr(probe, "arguments_of", lambda run, seed: ["--config", run.config, *run.arguments])
    call(probe, monkeypatch, str(experiment(tmp_path / "p.yaml", runs)), "--output", str(tmp_path / "o.json"))
    trials = json.loads((tmp_path / "o.json").read_text())["trials"]
    assert [trial["name"] for trial in trials] == ["AL", "f_1"]
    assert trials[1]["command"].endswith("--model.frozen 1 --model.weights AL.pt")
    assert 0 <= trials[1]["val"]["val_acc"] <= 1
    assert trials[1]["training_parameters"] > 0


class Counted:
    def __init__(self, train: object) -> None:
        self.train, self.calls = train, 0

    def __call__(self, command: list[str]) -> object:
        self.calls += 1
        return self.train(command)  # type: ignore[operator]
