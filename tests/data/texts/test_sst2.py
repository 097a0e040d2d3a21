"""SST-2's phrases: none of a sentence that validates may train."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import given
from hypothesis import strategies as st

from al_lightning.data import SST2
from al_lightning.data.texts.rows import Rows
from al_lightning.data.texts.sst2 import LONGEST, containing_texts
from al_lightning.data.texts.token_cache import tokenize_rows

SENTENCES = [f"the {k} film is {('awful', 'fine')[k % 2]} and goes on for {k} hours" for k in range(100, 140)]


def phrases_first() -> list[tuple[str, int]]:
    """Every sentence with three phrases of its own, and one phrase that all share."""
    rows = []
    for k, sentence in enumerate(SENTENCES):
        words = sentence.split()
        parts = [words[1:], words[:5], words[-2:], ["the"], words]
        rows += [(" ".join(part), k % 2) for part in parts]
    return rows


def brute_force(texts: list[list[str]]) -> list[int]:
    """Index of the longest text (the first of several) that holds each text's words in a row."""

    def holds(long: list[str], short: list[str]) -> bool:
        return any(long[i : i + len(short)] == short for i in range(len(long) - len(short) + 1))

    return [
        min((n for n, other in enumerate(texts) if holds(other, own)), key=lambda n: (-len(texts[n]), n))
        for own in texts
    ]


@given(st.lists(st.lists(st.sampled_from(["ab", "c", "d"]), max_size=6), min_size=1, max_size=8))
def test_the_longest_containing_text_is_found(texts: list[list[str]]) -> None:
    arrays = tokenize_rows(Rows([" ".join(t) for t in texts], ["0"] * len(texts), None, 0))
    samples = torch.arange(len(texts))
    assert containing_texts(arrays, samples).tolist() == brute_force(texts)
    if len(texts) > 1:  # a subset answers in its own positions
        assert containing_texts(arrays, samples[1:]).tolist() == brute_force(texts[1:])


def test_a_very_long_text_is_a_whole_and_is_not_searched() -> None:
    long = " ".join(f"w{k}" for k in range(LONGEST + 1))
    arrays = tokenize_rows(Rows([long, "w1 w2", "w2", long], ["0"] * 4, None, 0))
    assert containing_texts(arrays, torch.arange(4)).tolist() == [0, 1, 1, 0]


def test_validation_is_sentences_whose_phrases_do_not_train() -> None:
    rows = phrases_first()
    Path("data/sst2").mkdir(parents=True)
    table = pa.Table.from_pylist([{"sentence": text, "label": label} for text, label in rows])
    for split in ("train", "validation"):
        pq.write_table(table, f"data/sst2/{split}-00000-of-00001.parquet")
    data = SST2(val_fraction=0.2)
    val = {rows[k][0] for k in data.indices("val").tolist()}
    train = {rows[k][0] for k in data.indices("train").tolist()}
    assert len(val) == 8
    assert val <= set(SENTENCES)
    assert not train & val
    shared = [phrase for phrase in train for sentence in val if f" {phrase} " in f" {sentence} "]
    assert set(shared) <= {"the"}  # a phrase of many sentences is told apart by none
    assert len(train) >= 32 * 4
    labels = torch.tensor([rows[k][1] for k in data.indices("val").tolist()])
    assert labels.sum() == 4
    noisy = SST2(val_fraction=0.2, label_noise=0.5)
    assert torch.equal(noisy.indices("val"), data.indices("val"))
    assert len(SST2(val_fraction=0).indices("train")) == len(rows)
