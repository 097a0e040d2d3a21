"""Words, numbers and word vectors: pure functions that data and modules both use.

Token 0 is padding and token 1 an unknown word, everywhere. A vocabulary is a list of strings, ``<pad>`` and
``<unk>`` first, so that it travels in a checkpoint as plain types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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


class WordVectors(NamedTuple):
    """Rows for a vocabulary, (V, D) float32, and which words the file had, (V,) bool."""

    rows: Tensor
    found: Tensor


def load_vectors(path: str | Path, vocabulary: Sequence[str], dim: int) -> WordVectors:
    """Read the vectors of a vocabulary's words from a file in GloVe's text format (Pennington et al., 2014).

    The file is read line by line and only wanted rows are kept, so that the 5 GB of ``glove.840B.300d.txt`` never
    stand in memory. Words without a vector are drawn from a normal distribution with the mean standard deviation of
    the rest, from a seed of their own; the row of ``<pad>`` is zero.

    Args:
        path: file of lines ``word v_1 .. v_D``; a first line ``count D`` (word2vec's) is skipped.
        vocabulary: list of words, specials first; row r is the vector of word r.
        dim: D.

    Returns:
        The rows and which of them stem from the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a row has another dimension, no numbers, or the file was cut short.
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
        for number, line in enumerate(file, 1):
            values = line.rstrip(b"\r\n").rstrip(b" ").split(b" ")
            if number == 1 and len(values) == 2:
                continue
            if len(values) - 1 != dim:
                raise ValueError(
                    f"Expected vectors of {dim} numbers, as `embedding_dim` says, but line {number} of {path} has "
                    f"{len(values) - 1}. "
                    + (
                        "Set `embedding_dim` to the file's dimension, or take another file."
                        if number <= 2
                        else "The file is damaged or was cut short: fetch it again."
                    )
                )
            row = wanted.get(values[0])
            if row is not None and not found[row]:
                try:
                    rows[row] = np.asarray(values[1:], np.float32)
                except ValueError:
                    raise ValueError(
                        f"Expected {dim} numbers after the word in line {number} of {path}, but some are none. "
                        "The file is damaged: fetch it again."
                    ) from None
                found[row] = True
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
