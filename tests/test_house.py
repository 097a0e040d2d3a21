"""The layout of the package: imports run one way, rooms and files keep their size, and nn/ is plain torch."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import al_lightning as al

PACKAGE = Path(al.__file__).parent
#: Rooms from the ground floor up; a room imports only from lower floors. Rooms of one floor do not know each other.
FLOORS = [
    {"_version", "configs", "nn"},
    {"targets"},
    {"training", "checkpoints"},
    {"callbacks", "data"},
    {"modules", "strategies"},
    {"experiments", "inspection", "serving"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "configs" not in p.parts[len(PACKAGE.parts) :][:1])


def dotted(file: Path) -> str:
    parts = ["al_lightning", *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(file): file for file in files()}


def imported(file: Path) -> set[str]:
    """The package's own modules that a file imports, anywhere in it, as far as they are files."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{file} has a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = names & MODULES.keys()
            found |= submodules
            if submodules != names:
                found.add(node.module)
    return {name for name in found if name.split(".")[0] == "al_lightning" and name in MODULES}


GRAPH = {name: imported(file) - {name} for name, file in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in MODULES} - {"__init__"} <= set(FLOOR)


@pytest.mark.parametrize("name", [n for n in MODULES if room(n) != "__init__"])
def test_no_import_runs_upwards(name: str) -> None:
    for other in GRAPH[name]:
        ours, theirs = room(name), room(other)
        # The package itself offers its names to users and to the top floors, which are no part of it.
        assert theirs != "__init__" or FLOOR[ours] >= FLOOR["experiments"], f"{name} imports the package's own front"
        assert theirs in (ours, "__init__") or FLOOR[theirs] < FLOOR[ours], f"{name} imports {other}"


def test_there_is_no_circle() -> None:
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, f"circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in finished:
            return
        for other in sorted(GRAPH[name]):
            visit(other, [*path, name])
        finished.add(name)

    for name in MODULES:
        visit(name, [])


def test_a_circle_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRAPH, "al_lightning.nn.state", {"al_lightning.nn.path"})
    with pytest.raises(AssertionError, match="circle"):
        test_there_is_no_circle()
    monkeypatch.setitem(GRAPH, "al_lightning.nn.state", {"al_lightning.modules.al"})
    with pytest.raises(AssertionError, match="imports al_lightning.modules.al"):
        test_no_import_runs_upwards("al_lightning.nn.state")


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_stay_small_and_free_of_what_we_do_not_write(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 260
    assert file.stem != "utils"
    tree = ast.parse(text)
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "hasattr" not in calls
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.args.kwarg is not None:
            assert node.args.kwarg.annotation is not None, f"{node.name} takes untyped keyword arguments"


def test_the_training_step_stays_short() -> None:
    lines = inspect.getsource(al.ALModule.training_step).splitlines()
    assert len(lines) <= 25


def test_nn_is_plain_torch() -> None:
    """Importing it loads neither Lightning nor any other room."""
    script = """
        import importlib, pkgutil, sys, types
        package = types.ModuleType("al_lightning")  # without running its __init__, which imports everything
        package.__path__ = [sys.argv[1]]
        sys.modules["al_lightning"] = package
        nn = importlib.import_module("al_lightning.nn")
        for found in pkgutil.iter_modules(nn.__path__):
            importlib.import_module(f"al_lightning.nn.{found.name}")
        loaded = [name for name in sys.modules if name.split(".")[0] in ("lightning", "pytorch_lightning", "jsonargparse")]
        loaded += [name for name in sys.modules if name.startswith("al_lightning.") and not name.startswith("al_lightning.nn")]
        print(sorted(loaded))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(PACKAGE)], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
