"""Every network in the format of torch itself. All paths, read-outs and chains are gone through by benchmarks/export_matrix.py."""

from __future__ import annotations

import pytest
from exported import check_network
from networks import AL, MODULES

from al_lightning.nn.path import READOUTS, Readout

BY_HAND = [("ALModule", path_length, readout) for path_length in (1, 2, 3) for readout in READOUTS]
#: The full path of every network; its first path, which ends where others go on.
CASES = [(name, None, "codes" if name in AL else None) for name in MODULES if name != "ALModule"]
FIRST = [(name, 1, "decoder") for name in AL if name != "ALModule"]


@pytest.mark.parametrize(("name", "path_length", "readout"), [*BY_HAND, *CASES, *FIRST])
def test_a_file_answers_as_the_module(name: str, path_length: int | None, readout: Readout | None) -> None:
    check_network(name, path_length, readout, "network.pt2")
