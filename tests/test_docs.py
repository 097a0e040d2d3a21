"""Whatever README and docs say is done: every file saved, every Python block run, every command typed."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_images_tiny
from documents import blocks, commands, follow
from set_files import draw, reviews, write, write_fashion

CHECKOUT = Path(__file__).parent.parent
PAGES = sorted((CHECKOUT / "docs").glob("*.md"))


def table(path: str, columns: dict[str, list[object]]) -> None:
    """A csv file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values())])


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny sets that pages train on, where a reader's own downloads would be."""
    make_images_tiny(monkeypatch)
    write_fashion(tmp_path / "data", n=240)  # `reproduce` trains in a process of its own
    topics = [{**row, "label": k % 4} for k, row in enumerate(reviews(80))]
    sentences = [{"sentence": row["text"], "label": row["label"]} for row in reviews(80)]
    for name, rows in (("imdb", reviews(80)), ("ag_news", topics)):
        write(f"data/{name}", {"train": rows, "test": rows[:16]})
    write("data/sst2", {"train": sentences, "validation": sentences[:16]})


def own_files() -> None:
    """What a user has: reviews, houses, posts, photos."""
    n, draws = 120, np.random.default_rng(0)
    words = ["good", "bad", "fine", "dull"]
    texts = [" ".join(draws.choice(words, 5)) for _ in range(n)]
    table("reviews.csv", {"title": texts, "body": texts[::-1], "stars": [1 + k % 3 for k in range(n)]})
    table("posts.csv", {"text": texts, "rude": [int("bad" in t) for t in texts], "spam": [k % 2 for k in range(n)]})
    rooms, area = draws.integers(1, 6, n), draws.normal(90, 20, n).round(1)
    Path("new.txt").write_text("a good film\na dull one\n")
    for k in range(60):
        draw(Path(f"photos/{'cat' if k % 2 else 'dog'}/{k}.png"), 4 * k)
    names = [f"{'cat' if k % 2 else 'dog'}/{k}.png" for k in range(60)]
    table("ages.csv", {"file": names, "age": [0.5 * k for k in range(60)]})
    kinds = ["flat" if a < 90 else "house" for a in area]
    table("houses.csv", {"rooms": list(rooms), "area": list(area), "price": list(rooms * 30 + area), "kind": kinds})


def glove() -> None:
    """Word vectors of 300 numbers, where the page has them."""
    Path("data/glove").mkdir(parents=True)
    rows = [f"{word} " + " ".join(["0.1"] * 300) for word in ("some", "more", "again")]
    Path("data/glove/glove.6B.300d.txt").write_text("\n".join(rows) + "\n")


PREPARE: dict[str, Callable[[], None]] = {"own_data": own_files, "train": glove, "reproduce": glove}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(
    page: Path, tmp_path: Path, shelf: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not any(block.language in ("python", "bash", "yaml") for block in blocks(page)):
        pytest.skip("says nothing to do")
    monkeypatch.syspath_prepend(tmp_path)
    PREPARE.get(page.stem, lambda: None)()
    follow(page, tmp_path, skip=("pip install",))
