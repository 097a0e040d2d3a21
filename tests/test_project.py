"""A user's project: an empty folder, the built wheel, and the README's example."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The README's code block of a language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [b for b in blocks if containing in b]
    return str(found)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed into a folder that comes before this environment's own copy."""
    target = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    return target


def al_lightning(installed: Path, folder: Path, *args: str) -> str:
    """Run the console script in a folder, as a user does; returns all that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, str(installed / "bin" / "al-lightning"), *args],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_configs_ship_inside_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {
        f"al_lightning/configs/{p.relative_to(CHECKOUT / 'configs')}" for p in (CHECKOUT / "configs").rglob("*.yaml")
    }
    assert shipped
    assert shipped <= names
    assert "al_lightning/py.typed" in names
    assert not any(name.startswith(("tests/", "benchmarks/", "data/")) for name in names)


def test_reproduce_digits_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """The README's first command; AL's full path reaches 95 %."""
    where = subprocess.run(
        [sys.executable, "-c", "import al_lightning; print(al_lightning.__file__)"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(installed))
    printed = al_lightning(installed, tmp_path, "reproduce", "digits")
    assert "(full)" in printed
    results = json.loads((tmp_path / "results/digits/results.json").read_text())["results"]
    accuracies = [r["test"]["test_acc"] for r in results if r["name"] == "MLP-AL"]
    assert len(accuracies) == 3
    assert sum(accuracies) / 3 >= 0.95
    assert all(r["test"]["test_acc_path3"] == r["test"]["test_acc"] for r in results if r["name"] == "MLP-AL")


def test_a_users_own_network(installed: Path, tmp_path: Path) -> None:
    """The README's 25 lines, trained and tested by the console script from the user's folder."""
    source = block("python", "class MyNet(ALModule)")
    assert len(source.strip().splitlines()) <= 25
    (tmp_path / "mynet.py").write_text(source)
    quick = ["--trainer.max_epochs", "2"]
    printed = al_lightning(installed, tmp_path, "fit", "--model", "mynet.MyNet", "--data", "Digits", *quick)
    (best,) = re.findall(r"--ckpt_path '(.*?)'", printed)
    tested = al_lightning(installed, tmp_path, "test", "--ckpt_path", best)
    assert "test_acc_path3" in tested
    al_lightning(installed, tmp_path, "predict", "--ckpt_path", best)
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 361


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", block("python", "pl.Trainer(")], cwd=tmp_path, check=True, capture_output=True
    )


def test_the_readmes_commands_name_what_exists() -> None:
    commands = [
        line.strip() for text in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in text.splitlines()
    ]
    named = re.findall(r"configs/[\w/]+\.yaml", "\n".join(commands))
    assert named
    for config in named:
        assert (CHECKOUT / config).is_file(), config
    for script in re.findall(r"python (\S+\.py)", "\n".join(commands)):
        assert (CHECKOUT / script).is_file(), script
