"""Trains in two processes what test_resume.py names; run as ``python resume_worker.py NETWORK FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import test_resume
import torch
from conftest import make_sets_tiny

if __name__ == "__main__":
    torch.set_num_threads(1)
    make_sets_tiny(pytest.MonkeyPatch())
    test_resume.train(getattr(test_resume, sys.argv[1]), Path(sys.argv[2]), devices=2)
