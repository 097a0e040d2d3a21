"""Texts of a split as numbers of a model's vocabulary, and the batches made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_lightning.data.dataset import LabelledDataset
from al_lightning.data.texts.token_cache import TokenArrays
from al_lightning.nn import vocabulary as text


class TextBatch(NamedTuple):
    """What a loader yields.

    ``tokens`` (B, T) int64, right-padded with 0; ``lengths`` (B,) int64, how many tokens each text has, 0 for an empty
    text; ``labels`` (B,) int64 of classes, or (B, D).
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor


class EncodedTexts(LabelledDataset[TextBatch]):
    """Texts of a split, looked up in a vocabulary when a batch is made.

    Args:
        arrays: tokens of the split, in its own words.
        vocabulary: the model's words, specials first.
        labels: (N,) int64 of classes, or (N, D).
        max_length: largest number of tokens of a text; the rest is cut off.
    """

    def __init__(self, arrays: TokenArrays, vocabulary: Sequence[str], labels: Tensor, max_length: int) -> None:
        tokens = {word: token for token, word in enumerate(vocabulary) if token >= len(text.SPECIALS)}
        self._table: NDArray[np.int64] = np.array([tokens.get(w, text.UNK) for w in arrays.words], np.int64)
        self.arrays = arrays
        self.labels = labels
        self.lengths: Tensor = torch.from_numpy(np.minimum(arrays.lengths, max_length))

    def __getitem__(self, index: Tensor) -> TextBatch:
        lengths = self.lengths[index]
        tokens = torch.full((len(index), max(1, int(lengths.max()))), text.PAD)
        rows = tokens.numpy()
        for row, start, length in zip(rows, self.arrays.offsets[index.numpy()], lengths.tolist()):
            row[:length] = self._table[self.arrays.tokens[start : start + length]]
        return TextBatch(tokens, lengths, self.labels[index])
