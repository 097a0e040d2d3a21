"""The token cache: damaged, locked, out of date, and built by several processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from set_files import reviews, write

from al_lightning.data import IMDB
from al_lightning.data.texts import token_cache
from al_lightning.data.texts.rows import Rows


@pytest.mark.parametrize("damage", ["tokens.npy", "description.json", "cut", "shorter"])
def test_a_damaged_cache_is_made_again(imdb: None, damage: str) -> None:
    expected = IMDB().dataset("train")[torch.arange(9)]
    (path,) = (p for p in Path("data/.al_lightning").iterdir() if p.is_dir())
    if damage == "shorter":
        np.save(path / "labels.npy", np.load(path / "labels.npy")[:-1])
    elif damage == "cut":
        (path / "labels.npy").write_bytes((path / "labels.npy").read_bytes()[:-8])
    else:
        (path / damage).unlink()
    partial = path.with_name(f".{path.name}.1.tmp")  # what a killed run leaves
    partial.mkdir()
    again = IMDB().dataset("train")[torch.arange(9)]
    assert torch.equal(again.tokens, expected.tokens)
    assert not partial.exists()


def test_a_mistake_leaves_no_lock(imdb: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook keeps the traceback, and the lock in it: a second try must not wait for the first."""

    def fails(_: Any) -> None:
        raise ValueError("no network")

    with monkeypatch.context() as broken:
        broken.setattr(token_cache, "read_rows", fails)
        with pytest.raises(ValueError, match="no network") as kept:
            IMDB().setup("fit")
    (name,) = (p for p in Path("data/.al_lightning").iterdir() if p.suffix == ".lock")
    with FileLock(name, timeout=1):
        assert kept.tb is not None
    assert len(IMDB().vocabulary) > 2


def test_changed_files_are_tokenized_again(imdb: None) -> None:
    assert len(IMDB().dataset("train")) == 60
    write("data/imdb", {"train": reviews(40)})
    assert len(IMDB().dataset("train")) == 40


def _build(_: int) -> int:
    return sum(IMDB().dataset("train")[torch.arange(60)].tokens.flatten().tolist())


def test_two_processes_build_one_cache(imdb: None, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        sums = pool.map(_build, range(3))
    assert len(set(sums)) == 1
    assert len([p for p in Path("data/.al_lightning").iterdir() if p.is_dir()]) == 1


def test_any_number_of_processes_makes_the_same_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "_CHUNK", 7)
    rows = Rows([r["text"] for r in reviews(50)], [str(k % 2) for k in range(50)], None, 0)
    one, three = token_cache.tokenize_rows(rows, 1), token_cache.tokenize_rows(rows, 3)
    assert one.words == three.words
    assert (one.tokens == three.tokens).all()
    assert (one.offsets == three.offsets).all()
