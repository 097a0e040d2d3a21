"""`al-lightning reproduce`: what it writes, that it goes on, and what it refuses."""

from __future__ import annotations

import csv
import json
import logging
import re
import shutil
import statistics
from pathlib import Path

import pytest
import yaml

from al_lightning.cli import reproduce as experiments
from al_lightning.cli.main import main
from al_lightning.cli.messages import sentence
from al_lightning.configs import find_config
from al_lightning.experiments.results import Result
from al_lightning.experiments.side_by_side import Job, cores
from al_lightning.experiments.spec import load_experiment

SMALL = ["--data.train_samples=200", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]


@pytest.fixture
def small() -> str:
    Path("small.yaml").write_text(
        yaml.safe_dump(
            {
                "title": "Small",
                "seeds": [0, 1],
                "note": "The paper says nothing.",
                "data": "half of the digits",
                "runs": [
                    {
                        "name": "MLP-AL",
                        "config": "digits/mlp_al.yaml",
                        "arguments": SMALL,
                        "paper": {"2": [91.5], "full": [92.25, 0.75]},
                    },
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
    for text in (
        "Small",
        "MLP-AL",
        "MLP-BP",
        "(full)",
        "±",
        "The paper says nothing.",
        "Data: half of the digits.",
        "92.25",
        "0.75",
        "91.50",
    ):
        assert text in printed
    folder = Path("results/small")
    document = json.loads((folder / "results.json").read_text())
    assert [(r["name"], r["seed"]) for r in document["results"]] == [
        ("MLP-AL", 0),
        ("MLP-AL", 1),
        ("MLP-BP", 0),
        ("MLP-BP", 1),
    ]
    about = {"torch", "lightning", "python", "processor", "cores", "threads", "date", "al_lightning"}
    assert all(about <= set(run["environment"]) for run in document["results"])
    assert document["data"] == "half of the digits"
    assert document["paper"] == {"MLP-AL": {"2": [91.5], "full": [92.25, 0.75]}}
    first = document["results"][0]
    assert first["command"].startswith("al-lightning fit --config configs/digits/mlp_al.yaml --seed_everything 0")
    readouts = {f"test_acc_{way}{k}" for way in ("path", "codes", "mean") for k in (1, 2, 3)}
    assert {"test_acc", *readouts} == set(first["test"])
    assert len(first["curve"]) == first["epochs"] == 2
    assert first["training_parameters"] > first["inference_parameters"]
    best = max(first["curve"], key=lambda row: row["val_acc"])
    assert first["best_epoch"] == best["epoch"] + 1
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 10 + 2 * 1
    assert (folder / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
    mean = statistics.mean(100 * r["test"]["test_acc"] for r in document["results"][:2])
    assert f"{mean:.2f}" in printed

    def never(*args: object) -> None:
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(experiments, "train_run", never)
    main(["reproduce", small])
    assert json.loads((folder / "results.json").read_text())["results"] == document["results"]
    with pytest.raises(AssertionError, match="trained again"):
        main(["reproduce", small, "--seeds", "[7]"])


def test_an_interrupted_experiment_goes_on(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, trained = experiments.train_run, []

    def interrupted(job: Job) -> Result:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append((job.name, job.seed))
        return train(job)

    monkeypatch.setattr(experiments, "train_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(["reproduce", small])
    seen: list[tuple[str, int]] = []

    def counted(job: Job) -> Result:
        seen.append((job.name, job.seed))
        return train(job)

    monkeypatch.setattr(experiments, "train_run", counted)
    main(["reproduce", small])
    assert seen == [("MLP-AL", 1), ("MLP-BP", 0), ("MLP-BP", 1)]


def test_a_configuration_may_lie_anywhere(tmp_path: Path) -> None:
    shutil.copy(find_config("configs/digits/mlp_al.yaml"), "mine.yaml")
    wanted = str(tmp_path / "mine.yaml")
    runs = [{"name": "a", "config": wanted}, {"name": "b", "config": "digits/mlp_al.yaml", "recipes": ["paper"]}]
    Path("o.yaml").write_text(yaml.safe_dump({"title": "a", "seeds": [0], "runs": runs[:1]}))
    (run,) = load_experiment("o.yaml").runs
    assert run.config_of("tuned") == wanted
    Path("o.yaml").write_text(yaml.safe_dump({"title": "a", "seeds": [0], "runs": runs}))
    with pytest.raises(ValueError, match="the run b in o.yaml .* there is no configs/paper/digits/mlp_al.yaml"):
        load_experiment("o.yaml")


def test_mistakes_get_a_sentence() -> None:
    with pytest.raises(ValueError, match="no 'tabel1'. Shipped are: .*digits"):
        main(["reproduce", "tabel1"])
    run = {"name": "a", "config": "digits/mlp_al.yaml", "paper": {"best": [1.0]}}
    Path("paper.yaml").write_text(yaml.safe_dump({"title": "a", "seeds": [0], "runs": [run]}))
    with pytest.raises(ValueError, match="`--processes` to be at least 1, but got 0"):
        main(["reproduce", "digits", "--processes", "0"])
    with pytest.raises(ValueError, match="a path's number, 'full' or 'train', but got best"):
        main(["reproduce", "paper.yaml"])
    Path("absent.yaml").write_text(
        yaml.safe_dump({"title": "a", "seeds": [0], "runs": [{"name": "a", "config": "b.yaml"}]})
    )
    with pytest.raises(ValueError, match="the run a in absent.yaml .* there is no configs/b.yaml"):
        main(["reproduce", "absent.yaml"])
    Path("wrong.yaml").write_text("title: a\nseeds: [0]\nrun: []\n")
    with pytest.raises(ValueError, match="wrong.yaml to hold title, runs .* and seeds"):
        main(["reproduce", "wrong.yaml"])
    Path("type.yaml").write_text("title: a\nseeds: zero\nruns: []\n")
    with pytest.raises(ValueError, match="type.yaml") as raised:
        main(["reproduce", "type.yaml"])
    assert re.match(r"Expected type\.yaml to hold .*seeds.*zero", sentence(raised.value))  # what the console prints


def test_configurations_are_written_as_in_commands(small: str) -> None:
    document = yaml.safe_load(Path(small).read_text())
    plain = load_experiment(small)
    for run in document["runs"]:
        run["config"] = f"configs/{run['config']}"
    Path("commands.yaml").write_text(yaml.safe_dump(document))
    assert load_experiment("commands.yaml") == plain


def test_side_by_side_is_as_one_after_the_other(small: str) -> None:
    """The same numbers, whoever trains them; each process has the threads that were asked for."""
    one = main(["reproduce", small, "--output", "one"])
    document = yaml.safe_load(Path(small).read_text())
    Path("both.yaml").write_text(yaml.safe_dump({**document, "threads_per_run": 1}))
    both = main(["reproduce", "both.yaml"])
    asked = main(["reproduce", small, "--output", "asked", "--processes", "2", "--seeds", "[0]"])
    assert [r.test for r in asked] == [r.test for r in one if r.seed == 0]
    assert {r.environment["threads"] for r in asked} == {max(1, cores() // 2)}
    assert [(r.name, r.seed, r.test, r.curve, r.best_epoch) for r in one] == [
        (r.name, r.seed, r.test, r.curve, r.best_epoch) for r in both
    ]
    assert len(list(Path("results/both/runs").glob("*.json"))) == 4
    wrong = {**document, "threads_per_run": 1, "seeds": [0]}
    wrong["runs"] = [wrong["runs"][0], {"name": "Bad", "config": "digits/mlp_al.yaml", "arguments": ["--model.norm=x"]}]
    Path("wrong.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(ValueError, match="The run Bad, seed 0, failed"):
        main(["reproduce", "wrong.yaml", "--output", "results/both"])
