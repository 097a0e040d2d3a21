"""The notebooks run from top to bottom, and what is committed of them is the output of such a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbmake.nb_run import NotebookRun
from set_files import write_fashion

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
#: The home or temporary folder of whoever ran a notebook.
MACHINE_PATH = re.compile(r"(?<![\w.])(/(home|root|tmp|Users|usr|opt|work|mnt|var)/|[A-Z]:\\)")


def execute(notebook: Path, folder: Path) -> NotebookNode:
    """Run a copy of a notebook in a folder, shortened by `nbmake.mock` in the metadata of its cells."""
    result = NotebookRun(Path(shutil.copy(notebook, folder)), default_timeout=300).execute()
    assert result.error is None, result.error.trace
    return result.nb


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code(notebook) for output in cell.outputs]


def check_outputs(notebook: NotebookNode) -> None:
    """A whole run, in order, without an error, a warning or a path of a machine."""
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        shown = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        assert "Warning" not in shown
        assert MACHINE_PATH.search(shown) is None, shown


@pytest.fixture(autouse=True)
def _kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kernels use one core, as they run beside other tests, and know nothing of a user's own settings."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # notebooks draw inline


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_data(notebook: Path, tmp_path: Path) -> None:
    check_outputs(execute(notebook, tmp_path))


def test_the_quickstart_reads_fashion_mnist_where_it_is(tmp_path: Path) -> None:
    write_fashion(tmp_path / "data", n=240)
    (tmp_path / "notebooks").mkdir()
    executed = execute(NOTEBOOKS[0], tmp_path / "notebooks")
    check_outputs(executed)
    printed = " ".join(output.get("text", "") for output in outputs(executed))
    assert "240 test images" in printed
    assert "Fashion-MNIST is not here" not in printed


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_those_of_a_whole_run(notebook: Path) -> None:
    committed = nbformat.read(notebook, as_version=4)
    nbformat.validate(committed)
    check_outputs(committed)
    assert MACHINE_PATH.search(str(committed.metadata)) is None
    assert notebook.stat().st_size < 500_000


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_stay_short(notebook: Path) -> None:
    cells = code(nbformat.read(notebook, as_version=4))
    assert 8 <= len(cells) <= 16
    assert max(len(cell.source.splitlines()) for cell in cells) <= 25


def test_a_failing_cell_fails_the_test(tmp_path: Path) -> None:
    failing = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3, 'arithmetic'")])
    (tmp_path / "here").mkdir()
    nbformat.write(failing, tmp_path / "failing.ipynb")
    with pytest.raises(AssertionError, match="arithmetic"):
        execute(tmp_path / "failing.ipynb", tmp_path / "here")
