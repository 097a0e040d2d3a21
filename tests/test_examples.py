"""The projects below examples/, as an outside user keeps them: their READMEs' commands, with the installed wheel."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from installing import CHECKOUT, environment
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TUMOURS = CHECKOUT / "examples" / "tumours"
#: Trained as the README says, so that what it reaches can be judged.
TRAINED = "al-lightning fit --config configs/al.yaml"


def commands(readme: Path) -> list[str]:
    """The lines of a README's bash blocks, without what installs and without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("pip install")]


def run(line: str, folder: Path, variables: dict[str, str]) -> str:
    """Run a line as a shell does, and end all that it started if that takes too long; returns what it prints."""
    started = subprocess.Popen(
        ["bash", "-c", line], cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        printed, _ = started.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        raise
    assert started.returncode == 0, f"{line}\n{printed}"
    return printed


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, as it would be downloaded."""
    folder = tmp_path_factory.mktemp("project") / "tumours"
    shutil.copytree(TUMOURS, folder, ignore=shutil.ignore_patterns("lightning_logs", "__pycache__", "predictions.csv"))
    return folder


@pytest.fixture(scope="module")
def printed(project: Path, installed: Path) -> dict[str, str]:
    """What each command of the README prints, in its order."""
    variables = environment(installed, project)
    where = run(
        "python -c 'import al_lightning, tumours; print(al_lightning.__file__, tumours.__file__)'", project, variables
    )
    assert where.split() == [str(installed / "al_lightning/__init__.py"), str(project / "tumours/__init__.py")]
    return {line: run(shortened(line), project, variables) for line in commands(project / "README.md")}


def shortened(line: str) -> str:
    """A command that takes less time."""
    if line.startswith("al-lightning fit") and line != TRAINED:
        return f"{line} --trainer.max_epochs 2"
    return f"{line} --epochs 2 --seeds 0" if line.startswith("python train.py") else line


def said(printed: dict[str, str], *words: str) -> str:
    """What the command with some words in it printed."""
    (found,) = [line for line in printed if all(word in line for word in words)]
    return printed[found]


def table(file: Path) -> tuple[list[list[float]], list[str]]:
    """Measurements, and what stands in the column behind them."""
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    features = [name for name in rows[0] if name != "diagnosis"]
    return [[float(row[name]) for name in features] for row in rows], [row.get("diagnosis", "") for row in rows]


def diagnoses_of(measured: list[list[float]]) -> list[str]:
    """The diagnosis of rows whose column for it was left out, by what scikit-learn bundles."""
    bundle = load_breast_cancer()
    known = {
        f"{row[0]:.6g} {row[1]:.6g} {row[2]:.6g}": bundle.target_names[y] for row, y in zip(bundle.data, bundle.target)
    }
    return [str(known[f"{row[0]:.6g} {row[1]:.6g} {row[2]:.6g}"]) for row in measured]


def test_the_csv_files_are_what_their_script_writes(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "make_data.py", tmp_path)
    (tmp_path / "data").mkdir()
    run(f"{sys.executable} make_data.py", tmp_path, dict(os.environ))
    for name in ("tumours.csv", "new.csv"):
        assert (tmp_path / "data" / name).read_bytes() == (project / "data" / name).read_bytes()
        assert (project / "data" / name).stat().st_size < 100_000


def test_training_reaches_what_a_logistic_regression_does(project: Path, printed: dict[str, str]) -> None:
    """On rows that nobody has seen, without their diagnosis; 2 of 40 may be chance."""
    with (project / "predictions.csv").open(newline="") as opened:
        predictions = list(csv.DictReader(opened))
    measured, nothing = table(project / "data" / "new.csv")
    assert set(nothing) == {""}
    truth = diagnoses_of(measured)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(
        *table(project / "data" / "tumours.csv")
    )
    right = sum(row["class"] == true for row, true in zip(predictions, truth, strict=True))
    assert right >= sum(regression.predict(measured) == truth) - 2
    assert right > max(map(truth.count, truth)) + 4  # than one class for all
    assert all(0.5 <= float(row["probability"]) <= 1 for row in predictions)


def test_what_the_test_rows_say(printed: dict[str, str]) -> None:
    """Every path is there, and so is what the project's own callback counts."""
    tested = said(printed, "al-lightning test")
    numbers = {name: float(value) for name, value in re.findall(r"(test_\w+)\W+([\d.]+)", tested)}
    assert {"test_acc_path1", "test_acc_path2", "test_acc_path3", "test_missed"} <= numbers.keys()
    assert numbers["test_acc"] == numbers["test_acc_path3"] >= 0.92
    assert 0 <= numbers["test_missed"] <= 0.15


def test_two_processes_train(project: Path, printed: dict[str, str]) -> None:
    """They share the rows, and log one share of missed tumours."""
    assert "distributed_backend=gloo" in said(printed, "--trainer.strategy ddp")
    logged = sorted((project / "lightning_logs").glob("version_*/metrics.csv"))
    tables = [csv.DictReader(file.read_text().splitlines()) for file in logged]
    alone, sibling, both = (max(int(row["step"]) for row in rows) + 1 for rows in tables)
    assert (alone / 40, sibling / 2, both / 2) == (11, 11, 6)  # batches of 32 from 338 rows


def test_the_sibling_and_the_script(printed: dict[str, str]) -> None:
    assert "Best val_acc" in said(printed, "configs/bp.yaml")
    lines = said(printed, "python train.py").splitlines()
    names = ("Associated Learning", "backpropagation", "logistic regression")
    found = [next(line for line in lines if line.startswith(name)) for name in names]
    accuracies = [float(re.findall(r"accuracy ([\d.]+)", line)[0]) for line in found]
    assert min(accuracies) > 0.6
    assert accuracies[2] > 0.9
    assert "path1" in found[0]


def test_the_exported_file_is_served_without_the_library(project: Path, printed: dict[str, str]) -> None:
    """From the json beside it, it predicts what `predict` wrote."""
    file = project / "lightning_logs/version_0/checkpoints/best.pt2"
    assert str(file.relative_to(project)) in said(printed, "al-lightning export")
    about = json.loads(Path(f"{file}.json").read_text())
    prepared = about["preparation"]
    measured, _ = table(project / "data" / "new.csv")
    x = (torch.tensor(measured, dtype=torch.float64) - torch.tensor(prepared["mean"])) / torch.tensor(prepared["std"])
    network = torch.export.load(file).module()
    probabilities, classes = network(x.float())["predictions"].max(1)
    with (project / "predictions.csv").open(newline="") as opened:
        predictions = list(csv.DictReader(opened))
    assert [about["target"]["class_names"][k] for k in classes] == [row["class"] for row in predictions]
    assert probabilities.tolist() == pytest.approx([float(row["probability"]) for row in predictions], abs=1e-3)


def test_a_measurement_that_is_none_is_refused(project: Path, installed: Path, tmp_path: Path) -> None:
    """Rows to predict are read as those to train on are; the answer is one sentence."""
    lines = (project / "data" / "new.csv").read_text().splitlines()
    lines[3] = "-9" + lines[3][lines[3].index(",") :]
    (tmp_path / "wrong.csv").write_text("\n".join(lines))
    source = f"from pathlib import Path; from tumours import Tumours; data = Tumours('data', source='tumours.csv', class_column='diagnosis'); data.read_features(Path({str(tmp_path / 'wrong.csv')!r}))"
    with pytest.raises(
        AssertionError, match="in column 'mean_radius' of .*wrong.csv, but row 2 holds -9. Measure again"
    ):
        run(f'python -c "{source}"', project, environment(installed, project))
