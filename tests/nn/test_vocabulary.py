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


def test_words_with_spaces(tmp_path: Path) -> None:
    """``glove.840B.300d.txt`` has such words as ". . ." and "at name@domain.com" among others without spaces."""
    lines = [
        "a 1 2 3",
        ". . . 4 5 6",
        "at name@domain.com 7 8 9",
        "1 / 2 10 11 12",
        "12 13 14 15",
        "New  York 16 17 18",
    ]
    for name, order in (("first.txt", 1), ("last.txt", -1)):
        (tmp_path / name).write_text("\n".join(lines[::order]) + "\n", encoding="utf-8")
        words = ["a", ".", "at", "1", "12", "1 / 2", ". . .", "name@domain.com", "at name@domain.com", "New  York"]
        rows, found = load_vectors(tmp_path / name, [*SPECIALS, *words], 3)
        assert found[2:].tolist() == [True, False, False, False, True, True, True, False, True, True]
        assert rows[found].tolist() == [[1, 2, 3], [13, 14, 15], [10, 11, 12], [4, 5, 6], [7, 8, 9], [16, 17, 18]]


def test_words_with_spaces_far_into_a_file(tmp_path: Path) -> None:
    lines = [f"w{n} {n} 0.5 -1e-3" for n in range(300)]
    lines[170], lines[299] = "to b@c.d 7 8 9", "1 2 3 4 5"
    (tmp_path / "v.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows, found = load_vectors(tmp_path / "v.txt", [*SPECIALS, "w169", "w170", "to", "b@c.d", "1", "w298"], 3)
    assert found[2:].tolist() == [True, False, False, False, False, True]
    assert rows[2].tolist() == pytest.approx([169, 0.5, -1e-3])


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffa 1 2 3\nb 4 5 6\n",
        "\ufeff2 3\na 1 2 3\nb 4 5 6\n",
        "2\t3\na\t1\t2\t3\nb\t4\t5\t6\n",
        "a\t1 2 3\nb\t4 5 6\n",
        "a  1  2  3 \r\n  b 4 5 6\t\r\n\r\n",
        "a 1 2 3\n 7 8 9\n\nb 4 5 6\n",
    ],
    ids=["mark", "mark-and-header", "tabs", "tab-and-spaces", "aligned", "empty-word"],
)
def test_separators_and_marks(content: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content.encode())
    rows, found = load_vectors(tmp_path / "v.txt", [*SPECIALS, "a", "b", "7"], 3)
    assert found[2:].tolist() == [True, True, False]
    assert rows[2:4].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_utf_16_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("a 1 2 3\nb 4 5 6\n", encoding="utf-16")
    with pytest.raises(ValueError, match="Take a UTF-8 file"):
        load_vectors(tmp_path / "v.txt", [*SPECIALS, "a"], 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Expected a file of word vectors at .*none. Unpack"),
        ("a 1 2\nb 3 4\n", "Expected vectors of 3 numbers, .* line 1 of .* has 2. Set `embedding_dim`"),
        ("2 4\na 1 2 3 4\nb 3 4 5 6\n", "Expected vectors of 3 numbers, .* line 2 of .* has 4. Set `embedding_dim`"),
        ("New York 1 2 3 4\n1 2 3 4 5\nb 3 4 5 6\n", "3 numbers, .* line 1 of .* has 4. Set `embedding_dim`"),
        ("\ufeffa 1 2 3 4\n", "Expected vectors of 3 numbers, .* line 1 of .* has 4. Set `embedding_dim`"),
        ("a 1 2 3\nc 1 2 3\nb 3 4", "line 3 of .* has 2. The file is damaged or was cut short"),
        ("a 1 2 3\nNew York 1 2\nb 3 4 5\n", "3 numbers after the word in line 2 of .* some are none. The file is"),
        ("a 1 2 3\nc d 1 2 x\nb 3 4 5\nb 3 4 5\na b 1 2\n", "word in line 5 of .* some are none. The file is"),
        (
            "a 1 2 3\nc 1 2 3 b 4 5 6\nd 7 8 9\n",
            "line 2 of .* more stand before them, as if two lines had run together",
        ),
        ("a 1 2 3\nb 3 4 5.", "to end with a line break, but its last line was cut"),
        ("a 1 2 x\nb 3 4 5\n", "Expected 3 numbers after the word in line 1"),
        ("a 1 2 nan\n", "Expected finite word vectors"),
        ("", "lines of a word and 3 numbers in .*, but none of the first lines"),
        ("2 3\n", "lines of a word and 3 numbers in .*, but none of the first lines"),
        ("PK\x03\x04 v.txt\n", "none of the first lines ends with numbers. Take a UTF-8 file .* unpack it"),
    ],
)
def test_damaged_files_get_a_sentence(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "v.txt").write_text(content, encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_vectors(tmp_path / "v.txt", [*SPECIALS, "a", "b"], 3)
