"""Every network in ONNX. All paths, read-outs and chains are gone through by benchmarks/export_matrix.py."""

from __future__ import annotations

import pytest
from exported import check_network
from networks import AL, MODULES

from al_lightning.nn.path import READOUTS, Readout

BY_HAND = [("ALModule", path_length, readout) for path_length in (1, 2, 3) for readout in READOUTS]
#: The full path of every network; the first path, which ends where others go on, of one network of each kind.
CASES = [(name, None, "decoder" if name in AL else None) for name in MODULES if name != "ALModule"]
FIRST = [(name, 1, "codes") for name in ("CNNAL", "LSTMAL", "ConvertedAL of a network")]


@pytest.mark.parametrize(("name", "path_length", "readout"), [*BY_HAND, *CASES, *FIRST])
def test_a_file_answers_as_the_module(name: str, path_length: int | None, readout: Readout | None) -> None:
    check_network(name, path_length, readout, "network.onnx")
