"""What the benchmark of exports counts, on a network that is exported in a moment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from networks import build
from scripts import script


def test_every_path_of_the_matrix_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("saved_bytes", "step"):
        script(name)
    matrix = script("export_matrix")
    given = ["--networks", "MLPAL", "MLPBP", "--formats", "torch", "--no_sizes", "--output", "matrix.json"]
    monkeypatch.setattr(sys, "argv", ["export_matrix.py", *given])
    matrix.main()
    document = json.loads(Path("matrix.json").read_text())
    rows = document["rows"]
    module = build("MLPAL")
    assert [(row["path"], row["readout"]) for row in rows if row["network"] == "MLPAL" and not row["segments"]] == [
        (path, readout) for readout in ("decoder", "codes", "mean") for path in (1, 2)
    ]
    assert sum(row["segments"] for row in rows) == 3
    assert all(row["failure"] is None and row["difference"] <= 1e-5 for row in rows)
    assert rows[0]["parameters"] == module.inference_parameters(1, "decoder")
    assert "onnxscript" in document["environment"]


def test_a_network_that_cannot_be_exported_is_a_row_too() -> None:
    for name in ("saved_bytes", "step"):
        script(name)
    row = script("export_matrix").attempt(build("MLPBP"), "MLPBP", "torch", None, None, segments=True)
    assert "AL layers for segments" in row.failure
    assert row.difference is None
