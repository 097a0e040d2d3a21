"""A user's project: an empty folder, the built wheel, and the example of the docs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
import yaml
from installing import CHECKOUT, environment
from packaging.requirements import Requirement
from packaging.version import Version

import al_lightning as al

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
NETWORK = (CHECKOUT / "docs" / "own_network.md").read_text(encoding="utf-8")


def block(page: str, language: str, containing: str) -> str:
    """A page's code block of a language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (found,) = [b for b in blocks if containing in b]
    return str(found)


def al_lightning(installed: Path, folder: Path, *args: str) -> str:
    """Run the console script in a folder, as a user does; returns all that it prints."""
    done = subprocess.run(
        [sys.executable, str(installed / "bin" / "al-lightning"), *args],
        cwd=folder, env=environment(installed), capture_output=True, text=True, check=False,
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
        cwd=tmp_path, env=environment(installed), capture_output=True, text=True, check=True,
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
    """The docs' 25 lines, trained and tested by the console script from the user's folder."""
    source = block(NETWORK, "python", "class MyNet(ALModule)")
    assert len(source.strip().splitlines()) <= 25
    (tmp_path / "mynet.py").write_text(source)
    quick = ["--trainer.max_epochs", "2"]
    printed = al_lightning(installed, tmp_path, "fit", "--model", "mynet.MyNet", "--data", "Digits", *quick)
    (best,) = re.findall(r"--ckpt_path '(.*?)'", printed)
    tested = al_lightning(installed, tmp_path, "test", "--ckpt_path", best)
    assert "test_acc_path3" in tested
    al_lightning(installed, tmp_path, "predict", "--ckpt_path", best)
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 361


def test_every_command_of_the_readme_is_tried() -> None:
    """The first one above, the second by `.ci/run`; whoever adds one adds its test."""
    assert re.findall(r"```bash\n(.*?)\n```", README, re.DOTALL) == [
        "pip install -e . && al-lightning reproduce digits",
        "pip install -e '.[dev]' && pytest",
    ]
    assert "```python" not in README
    assert "`pip install -e '.[docs]' && sphinx-build docs docs/_build`" in README  # a test of the docs does so


def test_the_readme_leads_to_what_exists() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert len(linked) > 20
    for path in linked:
        assert (CHECKOUT / path).exists(), path


def test_the_sdist_holds_what_its_tests_need(dist: Path) -> None:
    """All that is under version control."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("an unpacked sdist does not say what is under version control")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()} - held == set()


def test_the_oldest_versions_are_the_lower_bounds(wheel: Path) -> None:
    """What `.ci/release` installs as the oldest versions is what the package says that it works with."""
    lines = (CHECKOUT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    tried = {r.name: r for r in map(Requirement, filter(None, (line.partition("#")[0].strip() for line in lines)))}
    (metadata,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA")]
    headers = HeaderParser().parsestr(zipfile.ZipFile(wheel).read(metadata).decode())
    asked = [Requirement(text) for text in headers.get_all("Requires-Dist", ())]
    bounds = {
        r.name: next(s.version for s in r.specifier if s.operator in (">=", "=="))
        for r in asked
        if r.marker is None or r.marker.evaluate({"extra": ""})
    }
    assert "torch" in bounds
    for name, bound in bounds.items():
        (pin,) = tried[name].specifier
        assert pin.operator == "==", name
        assert Version(pin.version.removesuffix(".*")) == Version(bound), name


def test_the_citation_is_that_of_this_version() -> None:
    cited = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "date-released"} <= cited.keys()
    assert (cited["type"], cited["title"], cited["license"]) == ("software", "al_lightning", "Apache-2.0")
    for reference in cited["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys()
        assert all({"given-names", "family-names"} == person.keys() for person in reference["authors"])
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(h for h in re.findall(r"^## \[(.*)$", changelog, re.MULTILINE) if not h.startswith("Unreleased"))
    assert newest == f"{al.__version__}] - {cited['date-released']}"
    assert str(cited["version"]) == al.__version__
