"""Text sets on disk."""

from __future__ import annotations

import pytest
from set_files import reviews, write


@pytest.fixture
def imdb() -> None:
    write("data/imdb", {"train": reviews(60), "test": reviews(21)})
