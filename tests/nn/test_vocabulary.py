"""Tokens, vocabularies and word vectors; the excerpt is 30 lines of the real glove.6B.50d.txt (public domain)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from al_lightning.nn.vocabulary import PAD, SPECIALS, UNK, TextEncoder, load_vectors, make_vocabulary, tokenize

EXCERPT = Path(__file__).parents[1] / "data_files" / "glove.6B.50d.excerpt.txt"


def reference() -> dict[str, list[float]]:
    rows = [line.split(" ") for line in EXCERPT.read_text(encoding="utf-8").splitlines()]
    return {word: [float(v) for v in values] for word, *values in rows}


def test_tokens_are_basic_english() -> None:
    assert " ".join(tokenize('It\'s "good",<br />really (GOOD)!')) == "it ' s good , really ( good ) !"
    assert tokenize("") == []


def test_vocabulary_is_the_most_frequent_words() -> None:
    counts = {"b": 3, "a": 3, "rare": 1, "the": 9, "<unk>": 50}
    assert make_vocabulary(counts, 3) == ["<pad>", "<unk>", "the", "a", "b"]
    assert make_vocabulary({}) == SPECIALS


def test_encoder() -> None:
    encode = TextEncoder(["<pad>", "<unk>", "good", "film"], max_length=3)
    x = encode(["A good film, good", "", "film <pad>"])
    assert x.tolist() == [[UNK, 2, 3], [PAD, PAD, PAD], [3, UNK, PAD]]
    assert x.dtype == torch.long
    assert encode([""]).tolist() == [[PAD]]


def test_every_word_gets_its_own_vector() -> None:
    """The published loaders shift rows by two; here the row of word w is w's line of the file."""
    theirs = reference()
    assert len(theirs) == 30
    vocabulary = [*SPECIALS, *reversed(theirs), "zyzzyva", "qwertyuiop"]
    rows, found = load_vectors(EXCERPT, vocabulary, 50)
    for row, word in enumerate(vocabulary):
        if word in theirs:
            torch.testing.assert_close(rows[row], torch.tensor(theirs[word]))
    assert found.tolist() == [False] * 2 + [True] * 30 + [False] * 2
    assert not rows[PAD].any()


def test_words_without_a_vector_have_the_scale_of_the_rest() -> None:
    missing = [f"missing{n}" for n in range(500)]
    rows, found = load_vectors(EXCERPT, [*SPECIALS, *reference(), *missing], 50)
    assert 0.8 < (rows[~found][2:].std() / rows[found].std(0).mean()).item() < 1.25
    again, _ = load_vectors(EXCERPT, [*SPECIALS, *reference(), *missing], 50)
    assert torch.equal(rows, again)


def test_word2vec_header_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("2 3\na 1 2 3\nb 4 5 6\n")
    rows, _ = load_vectors(tmp_path / "v.txt", [*SPECIALS, "b"], 3)
    assert rows[2].tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Expected a file of word vectors at .*none. Unpack"),
        ("a 1 2\nb 3 4\n", "Expected vectors of 3 numbers, .* line 1 of .* has 2. Set `embedding_dim`"),
        ("a 1 2 3\nc 1 2 3\nb 3 4", "line 3 of .* has 2. The file is damaged or was cut short"),
        ("a 1 2 3\nb 3 4 5.", "to end with a line break, but its last line was cut"),
        ("a 1 2 x\nb 3 4 5\n", "Expected 3 numbers after the word in line 1"),
        ("a 1 2 nan\n", "Expected finite word vectors"),
    ],
)
def test_damaged_files_get_a_sentence(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "v.txt").write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_vectors(tmp_path / "v.txt", [*SPECIALS, "a", "b"], 3)
