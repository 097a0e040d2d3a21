"""Csv files as users write them: whatever stands in a field is a string."""

from __future__ import annotations

from pathlib import Path

import pytest

from al_lightning.data import TextClassification
from al_lightning.data.texts.rows import RowSource, read_rows


def read(content: bytes | str, encoding: str = "utf-8", name: str = "mine.csv") -> tuple[list[str], list[str]]:
    file = Path(name)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = read_rows(RowSource("mine", "train", (file,), Path(), None, ("text",), "label", encoding))
    return rows.texts, rows.labels


@pytest.mark.parametrize("word", ["null", "NA", "None", "nan", "N/A", "-", "true", "0.0", "001", "2020-01-02", "1e5"])
def test_every_word_is_itself(word: str) -> None:
    assert read(f"text,label\n{word},{word}\nb,c\n") == ([word, "b"], [word, "c"])


@pytest.mark.parametrize("empty", ["", '""'])
def test_late_rows_may_look_different(empty: str) -> None:
    """No type is guessed from the first rows: 20,000 numbers or empty fields before a word."""
    content = "text,label\n" + f"{empty},1\n" * 20_000 + "a word,other\n"
    texts, labels = read(content)
    assert texts == [""] * 20_000 + ["a word"]
    assert labels == ["1"] * 20_000 + ["other"]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("\ufefftext,label\né,a\n".encode(), "utf-8"),
        ("\ufefftext,label\né,a\n".encode(), "utf-8-sig"),
        ("text,label\né,a\n".encode("latin-1"), "latin-1"),
        ("text,label\né,a\n".encode("cp1252"), "windows-1252"),
        ("text,label\né,a\n".encode("utf-16"), "utf-16"),
        ("text,label\r\né,a\r\n".encode(), "UTF8"),
        ("text,label\ré,a\r".encode(), "utf-8"),
        ("\n\ntext,label\n\né,a".encode(), "utf-8"),
        ('"text","label"\n"é","a"\n'.encode(), "utf-8"),
        ("n,label,text,more\n0,a,é,\n".encode(), "utf-8"),
    ],
)
def test_encodings_marks_and_line_ends(content: bytes, encoding: str) -> None:
    assert read(content, encoding) == (["é"], ["a"])


def test_quoted_fields_hold_anything() -> None:
    rows = 'text,label\n"a, b\nand ""c""",x\nsaid "so" ' + "long " * 500_000 + ",y\n"
    texts, labels = read(rows, name="UPPER.CSV")
    assert texts[0] == 'a, b\nand "c"'
    assert len(texts[1]) == len('said "so" ') + 2_500_000 - 1
    assert labels == ["x", "y"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n" + "a,1\n\n" * 9 + "b, c,1\n", "but row 9 has 3: 'b, c,1'"),
        ('text,label\n"a\n,b",1\nc,d,e,1\n', "but row 1 has 4: 'c,d,e,1'"),
        ('text,label\na,1\n"open,1\n' + "b,2\n" * 500_000, r"but row 1 has 1: '\"open,1"),
        ("text\tlabel\na\t1\n", "not among text\tlabel. Its fields are separated by tabs"),
        ("Text,label\na,1\n", "'text' is not among Text, label. Set `text_columns`"),
        ("y" * 50 + "\na\n", "'text' is not among y{40}[.]{3}[.] Set"),
        ("\n\n", "Expected mine.csv to begin with the names of its columns, but it is empty"),
        ("text,label\n", "Expected at least one row in the train split of mine, but there is none"),
        ("text,label", "Expected at least one row in the train split of mine, but there is none"),
        ("text,label\na,1\nb, \n", "Expected a label in every row, but row 1 of the train split of mine has none"),
    ],
)  # fmt: skip
def test_broken_files_get_a_sentence(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(content)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"text,label\na,0\n\xe9,1\n", "utf-8", "mine.csv to be utf-8 text, but line 3 is not: encodings are mixed"),
        (b"text,label\na,0\n\xe9,1\n", "ascii", "mine.csv to be ascii text, but line 3 is not"),
        ("text,label\na,0\n".encode("utf-16"), "utf-8", "mine.csv to be utf-8 text, but line 1 is not"),
        (b"text,label\n", "utf-nine", "`encoding` to be one that Python knows, but got 'utf-nine'"),
    ],
)
def test_wrong_encodings_get_a_sentence(content: bytes, encoding: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(content, encoding)


def test_a_file_may_be_long_and_its_last_row_broken() -> None:
    with pytest.raises(ValueError, match="but row 300000 has 3"):
        read("text,label\n" + "some text,1\n" * 300_000 + "a,b,c\n")


def test_several_files_are_one_split() -> None:
    Path("mine").mkdir()
    Path("mine/train-0.csv").write_text("text,label\na,x\n")
    Path("mine/train-1.CSV").write_text("label,n,text\ny,5,b\n")
    data = TextClassification(source="mine", text_columns=["text"], val_fraction=0)
    assert data.class_names == ["x", "y"]
    assert data.dataset("train").labels.tolist() == [0, 1]
