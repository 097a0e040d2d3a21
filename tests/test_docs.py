"""Whatever README and docs say is done: every file saved, every Python block run, every command typed."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import make_images_tiny
from documents import blocks, follow
from set_files import draw, reviews, write, write_fashion

from al_lightning.cli.main import main
from al_lightning.cli.messages import sentence

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


# ------------------------------------------------------------------ what the site is made of


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    return docs_script("messages")


def docs_script(name: str) -> ModuleType:
    """A script beside the pages, as a module."""
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_messages_of_all_kinds_are_found(messages: ModuleType) -> None:
    """A plain text, one with numbers, one that a helper writes, a choice of two, a warning, and no part of a sentence."""
    found = [text for texts in messages.messages().values() for text in texts]
    assert "Expected `class_names` to hold num_classes=… names, but got …." in found
    assert any(text.startswith("Expected `cuts` to be 4 or 8") for text in found)
    helper = "Expected values that differ between samples, but … is constant: there is nothing to learn. Leave it out."
    assert helper in found
    assert any(text.startswith("The checkpoint was written by al_lightning … and is read by …") for text in found)
    assert all(not text[0].islower() for text in found)
    assert len(found) > 250


def test_what_a_user_reads_is_on_the_page(messages: ModuleType) -> None:
    """A message as a run says it is that of a template of the page, with its gaps filled."""
    templates = [text for texts in messages.messages().values() for text in texts]
    patterns = [".*".join(re.escape(part) for part in text.split("…")) for text in templates]
    said = []
    for arguments in (["fit", "--model", "MLPAL", "--data", "Digits", "--model.hidden_dims", "[0]"],
                      ["inspect"], ["export", "--ckpt_path", "none.ckpt", "--format", "torch"],
                      ["reproduce", "digits", "--seeds", "[]"]):  # fmt: skip
        with pytest.raises((ValueError, OSError)) as caught:
            main(arguments)
        said.append(sentence(caught.value))
    for text in said:
        assert any(re.fullmatch(pattern, text, re.DOTALL) for pattern in patterns), text


def test_every_room_has_a_page_that_is_about_it(messages: ModuleType) -> None:
    assert messages.messages().keys() - {"configs"} <= messages.PAGES.keys()
    for linked in messages.PAGES.values():
        for page in re.findall(r"\]\(\.\./([\w.]+)\)", linked):
            assert (CHECKOUT / "docs" / page).is_file(), page


def test_the_method_is_drawn_by_code(tmp_path: Path) -> None:
    drawing = docs_script("draw_method")
    drawing.draw(tmp_path / "method.svg")
    drawn = (tmp_path / "method.svg").read_text()
    assert drawn.count("<path") > 100
    assert drawing.PICTURE.read_text().count("<path") == drawn.count("<path")  # what is committed is what it draws


def test_pages_lead_to_what_exists() -> None:
    for page in PAGES:
        for path in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / path).exists(), f"{page.name}: {path}"
