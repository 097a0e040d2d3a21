"""The package as its users get it: an sdist, the wheel built from it, and the wheel installed beside this environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

CHECKOUT = Path(__file__).parent.parent


def shared_folder(factory: pytest.TempPathFactory, worker: str) -> Path:
    """A folder that all workers of a run see, so that what takes long is made once.

    Args:
        factory: of this worker.
        worker: its name; ``"master"`` if tests do not run side by side.
    """
    own = factory.getbasetemp()
    folder = (own if worker == "master" else own.parent) / "package"
    folder.mkdir(exist_ok=True)
    return folder


def build(folder: Path) -> Path:
    """An sdist and the wheel from it, in ``folder / "dist"``; made once."""
    dist = folder / "dist"
    with FileLock(f"{dist}.lock"):
        if not (folder / "built").exists():
            _run("-m", "build", "--no-isolation", "--outdir", str(dist), str(CHECKOUT))
            (folder / "built").touch()
    return dist


def install(folder: Path, wheel: Path) -> Path:
    """The wheel in ``folder / "installed"``, which comes before this environment's own copy; made once."""
    target = folder / "installed"
    with FileLock(f"{target}.lock"):
        if not (folder / "done").exists():
            _run("-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
            (folder / "done").touch()
    return target


def environment(installed: Path, *others: Path) -> dict[str, str]:
    """Variables with which a process imports the installed package, and commands are those of this environment.

    Args:
        installed: folder of the package.
        others: folders of further packages.
    """
    outside = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "PL_GLOBAL_SEED")}
    commands = [str(installed / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return {
        **outside,
        "PATH": os.pathsep.join(commands),
        "PYTHONPATH": os.pathsep.join(map(str, (installed, *others))),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }


def _run(*args: str) -> None:
    done = subprocess.run([sys.executable, *args], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
