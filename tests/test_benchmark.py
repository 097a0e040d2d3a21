"""What benchmarks count and print, which does not depend on the machine; their times are nobody's test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from scripts import script
from torch import nn

import al_lightning as al


@pytest.fixture(scope="module")
def step() -> ModuleType:
    script("saved_bytes")  # imported by the next one
    return script("step")


@pytest.fixture(scope="module")
def throughput(step: ModuleType) -> ModuleType:
    return script("throughput")  # it imports the other one


def test_bytes_of_a_known_graph(step: ModuleType) -> None:
    """Linear saves its input, tanh its output, which is the second Linear's input: each storage once."""
    net = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 5), nn.Tanh())
    count = step.SavedBytes(net)
    x = torch.randn(8, 10)
    with count.counting():
        out = net(x)
        assert count.now == 4 * 8 * (10 + 20 + 5)
        out.sum().backward()
    assert count.now == 0
    assert count.peak == 4 * 8 * (10 + 20 + 5)


def test_isolated_graphs_are_not_alive_together(step: ModuleType) -> None:
    """Two AL-like halves, one after the other: the peak is the larger half, not the sum."""
    first, second = nn.Sequential(nn.Linear(10, 20), nn.Tanh()), nn.Sequential(nn.Linear(20, 5), nn.Tanh())
    count = step.SavedBytes(nn.Sequential(first, second))
    with count.counting():
        s = first(torch.randn(8, 10))
        s.sum().backward()
        second(s.detach()).sum().backward()
    assert count.peak == 4 * 8 * (10 + 20)


def test_checkpointing_keeps_inputs_and_one_segment(step: ModuleType) -> None:
    """Backward of the second segment has the inputs of both and its own Tanh's output; the first needs less."""
    first, second = nn.Sequential(nn.Linear(10, 20), nn.Tanh()), nn.Sequential(nn.Linear(20, 40), nn.Tanh())
    net = step.Checkpointed([first, second], nn.Linear(40, 2))
    assert net.recomputed_bytes(torch.randn(8, 10)) == 4 * 8 * (10 + 20 + 40)
    data = loader(8, 8, (10,), 2)
    kept = step.saved_bytes(al.BPModule(net, 2), data)
    forward = 4 * 8 * (10 + 20 + 40) + 4 * 8 * 2  # the head's input and the logarithms of its probabilities
    assert forward <= kept < forward + 4 * 8 * 10
    deep = nn.Sequential(*(nn.Sequential(nn.Linear(20, 20), nn.Tanh()) for _ in range(9)))
    net = step.Checkpointed([first, deep], nn.Linear(20, 2))
    assert step.saved_bytes(al.BPModule(net, 2), data) == 4 * 8 * (10 + 20 + 9 * 20)


@pytest.mark.parametrize(("network", "limit"), [("CNN", 0.50), ("VGG", 0.70)])
def test_al_keeps_less_for_backward(step: ModuleType, network: str, limit: float) -> None:
    """The promise at batch 128 holds at batch 8 as well, for bytes per sample are what is counted."""
    data = step.images(8, 1)
    controls = dict(norm="batch", activation="elu")
    bp = step.saved_bytes(getattr(al, f"{network}BP")(10, **controls), data)
    coarse = step.saved_bytes(getattr(al, f"{network}AL")(10, cuts=4, **controls), data)
    fine = step.saved_bytes(getattr(al, f"{network}AL")(10, cuts=8, **controls), data)
    assert coarse <= limit * bp
    assert fine < coarse


def test_throughput_is_shown_as_ratios(throughput: ModuleType) -> None:
    rates = {("AL", 1): 30.0, ("BP", 1): 20.0, ("AL", 2): 50.0, ("AL, waiting", 2): 45.0, ("BP", 2): 40.0}
    rows = [
        throughput.Row(throughput.Setting("CNN", kind, "32-true", False), team, 1.0, rate, 4_000_000, 1_000_000)
        for (kind, team), rate in rates.items()
    ]
    columns = {column.header: list(column.cells) for column in throughput.show(rows, 64).columns}
    assert columns["of BP"] == ["1.50", "1.00", "1.25", "1.12", "1.00"]
    assert columns["of 1 process"] == ["1.00", "1.00", "1.67", "1.50", "2.00"]
    assert columns["MB reduced"] == ["4.00"] * 5


def test_throughput_refuses_teams_that_do_not_divide_the_batch(
    throughput: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["throughput.py", "--processes", "1", "3"])
    with pytest.raises(SystemExit):
        throughput.arguments()
    assert "Expected numbers of processes that divide batch_size=64, but got [3]." in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["AL", "BP"])
def test_bytes_of_one_reduction(throughput: ModuleType, kind: str, trainer: Callable[..., pl.Trainer]) -> None:
    """One process that is its own team: what it would send is counted all the same."""
    if torch.distributed.is_initialized():
        pytest.skip("another process group is open")
    counted = throughput.ReducedBytes()
    module = al.MLPBP(4, 1, 4, hidden_dims=[8]) if kind == "BP" else al.MLPAL(4, 1, 4, hidden_dims=[8], target_dim=8)
    ddp = trainer(
        max_steps=3, max_epochs=-1, strategy="ddp", devices=1, callbacks=[counted], enable_checkpointing=False
    )
    ddp.fit(module, loader(shape=(1, 4, 4)))
    sent = 4 * module.training_parameters() if kind == "BP" else 0  # AL reduces nothing where there is nobody else
    assert counted.bytes == 3 * sent
    torch.distributed.destroy_process_group()


# ------------------------------------------------------------------ the page of all results


@pytest.fixture(scope="module")
def report() -> ModuleType:
    for name in ("markdown_table", "speed_tables", "siblings"):
        script(name)  # imported by the next one
    return script("report")


def test_pages_have_the_numbers_of_the_files(report: ModuleType) -> None:
    """Whoever adds a result file runs `python benchmarks/report.py`."""
    for path, text in report.pages(report.read(report.FOLDER)).items():
        assert path.read_text(encoding="utf-8") == text, path


def test_al_is_said_to_be_level_within_the_error_of_the_seeds(report: ModuleType) -> None:
    said = script("siblings").verdict
    assert said([90.0, 91.0, 92.0], [90.5, 90.6, 90.7]) == "+0.40, level"
    assert said([90.0, 90.1, 90.2], [91.0, 91.1, 91.2]) == "-1.00, **behind**"
    assert said([91.0, 91.1, 91.2], [90.0, 90.1, 90.2]) == "+1.00, **ahead**"
    assert said([91.0], [90.0]) == "+1.00 (one seed)"


def test_every_number_leads_to_its_file(report: ModuleType) -> None:
    written = report.page(report.read(report.FOLDER))
    for file in report.FOLDER.rglob("*.json"):
        assert f"](results/{file.relative_to(report.FOLDER).as_posix()})" in written


def test_runs_are_averaged_over_seeds_and_marked(report: ModuleType, tmp_path: Path) -> None:
    now = report.config_hash("configs/digits/mlp_al.yaml")

    def run(name: str, seed: int, accuracy: float, kept: str, arguments: str = "") -> dict[str, object]:
        command = f"al-lightning fit --config configs/digits/mlp_al.yaml --seed_everything {seed}{arguments}"
        test = {"test_acc": accuracy, "test_acc_path1": 0.5, "test_acc_path2": accuracy, "test_acc_codes2": 0.7}
        return {"name": name, "seed": seed, "command": command, "test": test, "epochs": 3, "config_hash": kept}

    runs = [run("A", 0, 0.9, now), run("A", 1, 0.92, now), run("B", 0, 0.8, "other", " --data.train_samples 50")]
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "results.json").write_text(json.dumps({"title": "T", "results": runs, "environment": {}}))
    documents = report.read(tmp_path)
    lines = report.page(documents).splitlines()
    (first,) = [line for line in lines if line.startswith("| A |")]
    assert "| 50.00 ± 0.00 / 91.00 ± 1.41 | 70.00 ± 0.00 |" in first
    assert "| whole set | 0, 1 |" in first
    assert "| as now |" in first
    (second,) = [line for line in lines if line.startswith("| B |")]
    assert "**50 training samples**" in second
    assert "**changed since**" in second
    text = report.fill(
        "before\n<!-- results:start -->\nold\n<!-- results:end -->\nafter\n", "results", report.accuracies(documents)
    )
    assert text.startswith("before\n<!-- results:start -->\n| experiment | run |")
    assert text.endswith("\n<!-- results:end -->\nafter\n")
    assert "| B † |" in text
    assert "old" not in text
    with pytest.raises(ValueError, match="a page with the lines <!-- results:start -->"):
        report.fill("no markers", "results", [])


def test_trials_are_ranked_by_validation(report: ModuleType) -> None:
    trials = [
        {"name": name, "val": {"val_acc": own, "val_acc_path1": own, "val_acc_mean1": mean}, "seconds": 1.0}
        for name, own, mean in (("a", 0.8, 0.81), ("b", 0.7, 0.9))
    ]
    rows = report.search({"trials": trials})[2:]
    assert [row.split(" | ")[:4] for row in rows] == [["| b", "1", "90.00", "mean1"], ["| a", "1", "81.00", "mean1"]]
