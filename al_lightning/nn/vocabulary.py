"""Words, numbers and word vectors: pure functions that data and modules both use.

Token 0 is padding and token 1 an unknown word, everywhere. A vocabulary is a list of strings, ``<pad>`` and
``<unk>`` first, so that it travels in a checkpoint as plain types.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torchtext.data.utils import get_tokenizer
from torchtext.vocab import Vocab

PAD, UNK = 0, 1
SPECIALS = ["<pad>", "<unk>"]
#: The paper's vocabulary: "the most frequent 30k words in the training corpus" (section 6.5).
MAX_WORDS = 30_000
#: Standard deviation of new word vectors where no file says what scale they have.
EMBEDDING_SCALE = 0.1
#: How many lines of a file of word vectors decide its dimension.
_FIRST_LINES = 100

if TYPE_CHECKING:
    Vocabulary: TypeAlias = list[str]
else:

    class Vocabulary(list):
        """A list of words. It has a name so that the command line takes it as one value.

        As ``list[str]``, jsonargparse copies the whole list for every word in it: minutes for 30,000 words.
        """


_basic_english = get_tokenizer("basic_english")


def tokenize(text: str) -> list[str]:
    """Split a text into words and punctuation, lower-case (torchtext's ``basic_english``).

    Example:
        >>> tokenize("What a film!")
        ['what', 'a', 'film', '!']
    """
    tokens: list[str] = _basic_english(text)
    return tokens


def make_vocabulary(counts: Mapping[str, int], max_words: int = MAX_WORDS) -> list[str]:
    """The most frequent words, after the specials; ties in alphabetical order.

    Args:
        counts: how often each word occurs in the training texts.
        max_words: most words to keep, specials not counted.

    Returns:
        At most ``max_words + 2`` strings; the position of a word is its token.

    Example:
        >>> make_vocabulary({"film": 3, "a": 5, "what": 3}, max_words=2)
        ['<pad>', '<unk>', 'a', 'film']
    """
    counted = {word: count for word, count in counts.items() if word not in SPECIALS}
    vocabulary: list[str] = Vocab(Counter(counted), max_size=max_words, specials=SPECIALS).itos
    return list(vocabulary)


def check_vocabulary(vocabulary: Sequence[str]) -> None:
    """Refuse a list that does not start with the specials or holds a word twice.

    Raises:
        ValueError: saying which.
    """
    if list(vocabulary[:2]) != SPECIALS:
        raise ValueError(f"Expected a vocabulary that starts with {SPECIALS}, but got {list(vocabulary[:2])}.")
    if len(set(vocabulary)) != len(vocabulary):
        raise ValueError("Expected every word of a vocabulary once, but some stand there twice.")


class TextEncoder:
    """From texts to padded tokens.

    Args:
        vocabulary: list of words, specials first.
        max_length: most tokens of one text; the rest is cut off.

    Raises:
        ValueError: if the vocabulary does not start with the specials.
    """

    def __init__(self, vocabulary: Sequence[str], max_length: int | None = None) -> None:
        check_vocabulary(vocabulary)
        self._tokens = {word: token for token, word in enumerate(vocabulary) if token >= len(SPECIALS)}
        self.max_length = max_length

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokens (B, T) int64, right-padded with 0; T is at least 1."""
        rows = [[self._tokens.get(w, UNK) for w in tokenize(text)][: self.max_length] for text in texts]
        x = torch.full((len(rows), max([1, *map(len, rows)])), PAD)
        for row, tokens in zip(x, rows):
            row[: len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        return x


def _is_header(line: bytes) -> bool:
    """Whether a line is word2vec's ``count D``."""
    fields = line.split()
    return len(fields) == 2 and all(field.isdigit() for field in fields)


def _dimension(line: bytes) -> int:
    """How many numbers end a line, 0 if none; the first field is a word even if it looks like a number."""
    numbers = 0
    for field in reversed(line.split()[1:]):
        try:
            float(field)
        except ValueError:
            break
        numbers += 1
    return numbers


def _check_dimension(lines: Sequence[bytes], path: str | Path, dim: int) -> None:
    """Refuse a file most of whose first lines do not end with ``dim`` numbers.

    Single lines do not decide: words may hold spaces and numbers ("1 / 2"), and lines may be damaged.
    """
    dimensions = [_dimension(line) for line in lines]
    counts = Counter(d for d in dimensions if d > 0)
    if not counts:
        raise ValueError(
            f"Expected lines of a word and {dim} numbers in {path}, but none of the first lines ends with numbers. "
            "Take a UTF-8 file in GloVe's text format, and unpack it if it is an archive."
        )
    most = max(counts, key=counts.__getitem__)
    if counts[dim] < counts[most]:
        raise ValueError(
            f"Expected vectors of {dim} numbers, as `embedding_dim` says, but line {dimensions.index(most) + 1} of "
            f"{path} has {most}. Set `embedding_dim` to the file's dimension, or take another file."
        )


def _word_and_numbers(line: bytes, dim: int) -> tuple[bytes, list[bytes]]:
    """The word of a line and the fields of its vector, of which only the first is known to be a number.

    Reading all numbers of words that nobody wants would take minutes; the first one tells a short line apart from a
    word with spaces.

    Raises:
        ValueError: with the reason, if there are too few fields or numbers, or several vectors.
    """
    word, *values = line.rsplit(None, dim)
    if len(values) == dim - 1 and line[:1].isspace():
        word, values = b"", [word, *values]  # a vector of the empty word, as some files have
    if len(values) < dim:
        raise ValueError(f"it has {len(values)}")
    _numbers(values[:1])
    if sum(_dimension(b"w " + part) for part in word.split()[1:]) >= max(dim / 2, 3):
        raise ValueError("more stand before them, as if two lines had run together")
    return word.strip(), values


def _numbers(fields: Sequence[bytes]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    try:
        return np.asarray(fields, np.float32)
    except ValueError:
        raise ValueError("some are none") from None


class WordVectors(NamedTuple):
    """Rows for a vocabulary, (V, D) float32, and which words the file had, (V,) bool."""

    rows: Tensor
    found: Tensor


def load_vectors(path: str | Path, vocabulary: Sequence[str], dim: int) -> WordVectors:
    """Read the vectors of a vocabulary's words from a file in GloVe's text format (Pennington et al., 2014).

    The file is read line by line and only wanted rows are kept, so that the 5 GB of ``glove.840B.300d.txt`` never
    stand in memory. Words without a vector are drawn from a normal distribution with the mean standard deviation of
    the rest, from a seed of their own; the row of ``<pad>`` is zero.

    The last D fields of a line are the vector and what stands before is the word, which may hold spaces, as some of
    ``glove.840B.300d.txt`` do. Whether D is the dimension of the file is therefore decided by most of its first lines.

    Args:
        path: file of lines ``word v_1 .. v_D``, separated by spaces or tabs; a first line ``count D`` (word2vec's) is
            skipped, and so are a byte order mark and empty lines.
        vocabulary: list of words, specials first; row r is the vector of word r.
        dim: D.

    Returns:
        The rows and which of them stem from the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the vectors have another dimension, a line is too short or holds no numbers, or the file was cut
            short.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Expected a file of word vectors at {path}, but there is none. Unpack one of the archives of "
            "https://nlp.stanford.edu/projects/glove there, for example glove.6B.300d.txt."
        )
    wanted = {word.encode(): row for row, word in enumerate(vocabulary) if row >= len(SPECIALS)}
    rows = np.zeros((len(vocabulary), dim), np.float32)
    found = np.zeros(len(vocabulary), bool)
    line = b"\n"
    with open(path, "rb") as file:
        first = list(islice(file, _FIRST_LINES))
        if first:
            first[0] = first[0].removeprefix(codecs.BOM_UTF8)
        if first and _is_header(first[0]):
            first[0] = b"\n"  # empty, so that lines keep their numbers
        _check_dimension(first, path, dim)
        for number, line in enumerate(chain(first, file), 1):
            if line.isspace():
                continue
            try:
                word, values = _word_and_numbers(line, dim)
                row = wanted.get(word)
                if row is not None and not found[row]:
                    rows[row], found[row] = _numbers(values), True
            except ValueError as error:
                raise ValueError(
                    f"Expected {dim} numbers after the word in line {number} of {path}, but {error}. "
                    "The file is damaged or was cut short: fetch it again."
                ) from None
    if not line.endswith(b"\n"):
        raise ValueError(
            f"Expected {path} to end with a line break, but its last line was cut in the middle. Fetch the file "
            "again, or append a line break if it is whole."
        )
    if not np.isfinite(rows).all():
        raise ValueError(f"Expected finite word vectors, but {path} holds others. Fetch the file again.")
    scale = float(rows[found].std(0).mean()) if found.sum() > 1 else EMBEDDING_SCALE
    drawn = torch.randn((len(vocabulary), dim), generator=torch.Generator().manual_seed(0)).mul_(scale)
    vectors = torch.where(torch.from_numpy(found).unsqueeze(1), torch.from_numpy(rows), drawn)
    vectors[PAD] = 0
    return WordVectors(vectors, torch.from_numpy(found))
