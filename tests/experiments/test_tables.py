"""The paper's tables as experiments: which cells are trained, by whose recipe, and what is measured beside them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import yaml

import al_lightning as al
from al_lightning.cli import reproduce as experiments
from al_lightning.cli.main import main
from al_lightning.data import Digits
from al_lightning.experiments.environment import multiplies_bf16
from al_lightning.experiments.measure import TestCurve, measure
from al_lightning.experiments.reproduce import config_hash
from al_lightning.experiments.results import Result
from al_lightning.experiments.side_by_side import Job
from al_lightning.experiments.spec import load_experiment, shipped_experiments

Make = Callable[..., pl.Trainer]
TABLES = [name for name in shipped_experiments() if name.startswith(("table", "figure"))]
TINY = ["--data.train_samples=200", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]


def fake(job: Job) -> Result:
    """A run that reaches what its seed says, without training."""
    test = {"test_acc": 0.5 + job.seed / 100, "test_acc_path1": 0.4, "test_acc_path2": 0.5 + job.seed / 100,
            "test_acc_codes1": 0.3, "test_acc_codes2": 0.7, "test_acc_mean1": 0.3, "test_acc_mean2": 0.6}  # fmt: skip
    samples = next((int(a.split("=")[1]) for a in job.command if a.startswith("--data.train_samples")), None)
    curve = [{"epoch": e, "val_acc": 0.5, "val_acc_path1": 0.4, "val_layer1_associated": 2e-5} for e in (0.0, 1.0)]
    tested = [{"epoch": e, "test_acc": 0.5, "train_acc": 0.6} for e in (0.0, 1.0)] if job.test_curve else []
    return Result(job.name, job.seed, "", test, 2, 2, 1000, 900, 1.0, curve, recipe=job.recipe, readout="path2",
                  train_samples=samples, train={"acc": 0.625} if job.train_accuracy else {}, test_curve=tested,
                  machine="a machine")  # fmt: skip


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Every run that was trained, in order."""
    jobs: list[Job] = []

    def run(job: Job) -> Result:
        jobs.append(job)
        return fake(job)

    monkeypatch.setattr(experiments, "train_run", run)
    # In this process, where the list can be told.
    monkeypatch.setattr("al_lightning.experiments.reproduce.processes", lambda threads: 0)
    return jobs


@pytest.mark.parametrize("name", TABLES)
def test_tables_run_to_their_end(name: str, trained: list[Job]) -> None:
    main(["reproduce", name, "--seeds", "1"])
    experiment = load_experiment(name)
    assert sorted(job.name for job in trained) == sorted(run.name for run in experiment.runs)
    costs = {run.name: run.cost for run in experiment.runs}
    assert [costs[job.name] for job in trained] == sorted(costs.values())
    assert Path(f"results/{name}/results.md").read_text().count("|") > 20


def test_only_some_cells(trained: list[Job]) -> None:
    main(["reproduce", "table4", "--only", "fashion_mnist", "--seeds", "2", "--train_samples", "10000"])
    assert {job.name for job in trained} == {f"Fashion-MNIST, {n}" for n in ("CNN-AL", "CNN", "VGG-AL", "VGG")}
    assert sorted({job.seed for job in trained}) == [0, 1]
    assert all("--data.train_samples=10000" in job.command for job in trained)
    written = Path("results/table4/results.md").read_text()
    assert written.count("10,000 samples") == 4  # every run says what it was trained on
    both = main(["reproduce", "table4", "--only", "cifar10/cnn_bp", "--seeds", "2", "--train_samples", "10000"])
    assert {result.name for result in both} == {"CIFAR-10, CNN"}
    assert Path("results/table4/results.md").read_text().count("10,000 samples") == 5  # beside what was there
    trained.clear()
    main(["reproduce", "table1", "--only", "sst2/lstm_al,dbpedia", "--seeds", "[3]"])
    assert [job.name for job in trained] == [
        "SST-2, LSTM-AL", "DBpedia, Transformer-AL", "DBpedia, Transformer", "DBpedia, LSTM-AL", "DBpedia, LSTM"
    ]  # fmt: skip
    trained.clear()
    main(["reproduce", "table4", "--only", "[vgg_al, cifar10/cnn_bp]", "--seeds", "1"])
    assert {job.name for job in trained} == {"Fashion-MNIST, VGG-AL", "CIFAR-10, VGG-AL", "CIFAR-10, CNN"}


def test_both_recipes_stand_side_by_side(
    trained: list[Job], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("al_lightning.experiments.reproduce.multiplies_bf16", lambda: True)
    cell = ["reproduce", "table4", "--only", "fashion_mnist/cnn_al", "--seeds", "2"]
    main([*cell, "--recipe", "paper"])
    assert {job.command[2] for job in trained} == {"configs/paper/fashion_mnist/cnn_al.yaml"}
    main(cell)
    assert [job.recipe for job in trained] == ["paper", "paper", "tuned", "tuned"]
    half = ["--trainer.precision=bf16-mixed" in job.command for job in trained]
    assert half == [False, False, True, True]  # of ours alone
    full = next(line for line in Path("results/table4/results.md").read_text().splitlines() if "2 (full)" in line)
    cells = [cell.strip() for cell in full.strip("|").split("|")]
    assert cells[2:7] == ["92.07 ± 0.18", "50.50 ± 0.71", "50.50 ± 0.71*", "70.00 ± 0.00", "60.00 ± 0.00"]
    kept = capsys.readouterr().out
    assert "Fashion-MNIST, CNN-AL, paper recipe, seed 1: kept from" in kept  # by the second command
    main([*cell, "--recipe", "both"])
    assert len(trained) == 4
    with pytest.raises(ValueError, match="runs with the recipe 'paper', but this selection has none. Known are: tuned"):
        main(["reproduce", "digits", "--recipe", "paper"])


@pytest.mark.parametrize(
    ("about", "fast"),
    [
        ("model name\t: A\nflags\t\t: fpu avx2 avx512f\n", False),
        ("model name\t: A\nflags\t\t: fpu avx512_bf16\n", True),
        ("model name\t: A\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        (None, False),  # not Linux
    ],
)
def test_our_settings_train_in_bf16_where_it_is_multiplied(
    about: str | None, fast: bool, trained: list[Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr("al_lightning.experiments.environment.CPUINFO", tmp_path / "cpuinfo")
    if about is not None:
        (tmp_path / "cpuinfo").write_text(about)
    main(["reproduce", "table4", "--only", "fashion_mnist/cnn_al", "--seeds", "1"])
    assert ("--trainer.precision=bf16-mixed" in trained[0].command) == fast
    assert "--data.channels_last=true" in trained[0].command


@pytest.mark.parametrize("native", [True, False])
def test_an_accelerator_multiplies_bf16_by_its_own_units_or_not_at_all(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert multiplies_bf16() == native


def test_a_column_of_training_accuracy_and_one_of_associated_losses(trained: list[Job]) -> None:
    main(["reproduce", "table5", "--seeds", "1"])
    first = next(line for line in Path("results/table5/results.md").read_text().splitlines() if "2 (full)" in line)
    assert "| 85.16 |" in first  # the paper's test accuracy
    assert "| 96.26 | 62.50 |" in first  # the paper's training accuracy, and ours
    main(["reproduce", "table9", "--only", "ag_news/lstm_al", "--seeds", "1"])
    assert "| 2.00e-05 |" in Path("results/table9/results.md").read_text()


def test_a_kept_run_without_training_accuracy_leaves_its_cell_empty(trained: list[Job]) -> None:
    main(["reproduce", "table5", "--only", "cifar10/cnn_al", "--seeds", "1"])
    for kept in Path("results/table5/runs").iterdir():
        kept.write_text(kept.read_text().replace('"acc": 0.625', ""))
    main(["reproduce", "table5", "--only", "cifar10/cnn_al", "--seeds", "1"])
    first = next(line for line in Path("results/table5/results.md").read_text().splitlines() if "2 (full)" in line)
    assert "| 96.26 |  |" in first


def test_comments_are_no_part_of_a_configuration() -> None:
    Path("a.yaml").write_text("# one\ntrainer: {max_epochs: 3}\n")
    Path("b.yaml").write_text("trainer:\n  max_epochs: 3  # two\n")
    Path("c.yaml").write_text("trainer: {max_epochs: 4}\n")
    first, second, third = map(config_hash, ("a.yaml", "b.yaml", "c.yaml"))
    assert first == second != third


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["table4", "--only", "cifar10/vgg"],
            "nothing answers to 'cifar10/vgg'. Its cells are: fashion_mnist/cnn_al, ",
        ),
        (["table7"], "there is no 'table7'. Shipped are: .*table4"),
        (["table4", "--seeds", "0"], "`--seeds` to be a number above 0, or a list of seeds from 0, but got 0"),
        (["table4", "--seeds", "[-1]"], r"`--seeds` to be .* but got \[-1\]"),
    ],
)
def test_what_does_not_exist_is_named(arguments: list[str], sentence: str, trained: list[Job]) -> None:
    with pytest.raises(ValueError, match=sentence):
        main(["reproduce", *arguments])
    assert not trained


@pytest.mark.parametrize("damage", ["truncated", "newer"])
def test_a_result_that_cannot_be_read_is_named_and_left(damage: str, trained: list[Job]) -> None:
    cell = ["reproduce", "table4", "--only", "fashion_mnist/cnn_al", "--seeds", "1"]
    main(cell)
    kept = trained[0].kept
    text = kept.read_text()
    changed = text[:100] if damage == "truncated" else json.dumps({**json.loads(text), "colour": "blue"})
    kept.write_text(changed)
    with pytest.raises(ValueError, match=r"to hold a finished run.*Move the file away"):
        main(cell)
    assert kept.read_text() == changed
    assert len(trained) == 1


def test_measures_equal_those_of_a_trainer(trainer: Make) -> None:
    data = Digits(train_samples=200, label_noise=0.5, batch_size=32)
    module = al.MLPAL(10, 1, 8, hidden_dims=[16, 16], readout="codes")
    fitted = trainer(max_epochs=1)
    fitted.fit(module, data)
    (tested,) = fitted.test(module, data, verbose=False)
    found = measure(fitted, module, data, data.test_dataloader())
    assert {f"test_{name}": value for name, value in found.items()} == pytest.approx(
        {name: value for name, value in tested.items() if name != "test_loss"}
    )
    found = measure(fitted, module.train(), data, data.train_evaluation_dataloader())
    assert module.training
    samples = data.indices("train")
    x, y = data.prepare(data.dataset("train")[samples])
    right = (module.eval()(x).argmax(-1) == y).float().mean()
    assert found["acc"] == pytest.approx(float(right))
    clean = Digits(train_samples=200).dataset("train").labels[samples]
    assert (clean != y).float().mean() > 0.3  # by the labels that were trained


def test_a_test_curve_changes_nothing(trainer: Make) -> None:
    ends = []
    for callbacks in ([], [TestCurve(train=True)]):
        torch.manual_seed(0)
        module = al.CNNAL(10, 1, 8, target_dim=8)
        module.run_seed = 0
        trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=False).fit(module, Digits(train_samples=100))
        ends.append(module.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    rows = callbacks[0].rows
    assert [row["epoch"] for row in rows] == [0, 1]
    assert {"test_acc", "test_acc_path4", "train_acc", "train_acc_mean4"} <= set(rows[0])


def test_curves_and_training_accuracy_of_a_real_run() -> None:
    run: dict[str, Any] = {"name": "MLP-AL", "config": "digits/mlp_al.yaml", "arguments": TINY}
    document = {"title": "t", "seeds": [0], "runs": [run], "train_accuracy": True, "test_curve": True}
    Path("small.yaml").write_text(yaml.safe_dump(document))
    (result,) = main(["reproduce", "small.yaml"])
    assert result.readout == "path3"
    assert result.train_samples == 200
    assert len(result.config_hash) == 16
    assert len(result.test_curve) == 2
    best = result.test_curve[result.best_epoch - 1]
    assert result.test["test_acc"] == pytest.approx(best["test_acc"])
    assert result.train["acc"] == pytest.approx(best["train_acc"])
    assert dataclasses.asdict(result)["machine"]
