"""SST-2: sentences of film reviews (Socher et al., 2013)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.texts.encoded import EncodedTexts
from al_lightning.data.texts.module import TextDataModule
from al_lightning.data.texts.token_cache import TokenArrays

#: Texts of more words are not searched for phrases, whose number grows with the square of the words: no sentence of
#: the set is as long.
LONGEST = 200


def containing_texts(arrays: TokenArrays, samples: Tensor) -> Tensor:
    """For each text, find the longest text (of up to 200 words) that contains its words in a row.

    Args:
        arrays: tokens of a split.
        samples: (N,) int64, the texts to look at.

    Returns:
        (N,) int64, positions in ``samples``; a text that no other contains has its own. Among equal texts the first
        contains the others; among containing texts of the same length, the first counts. A text without words is
        contained in the longest text.
    """
    lengths = arrays.lengths[samples.numpy()]
    width = arrays.tokens.itemsize
    found: dict[bytes, int] = {}
    containing = torch.empty(len(samples), dtype=torch.long)
    for position in np.argsort(-lengths, kind="stable").tolist():
        start, stop = arrays.offsets[int(samples[position])], arrays.offsets[int(samples[position]) + 1]
        words = arrays.tokens[start:stop].tobytes()
        whole = found.setdefault(words, position)
        containing[position] = whole
        if whole == position:
            found.setdefault(b"", position)
            if stop - start > LONGEST:
                continue
            for first in range(0, len(words), width):
                for last in range(first + width, len(words), width):
                    found.setdefault(words[first:last], position)
                found.setdefault(words[first:], position)
    return containing


class SST2(TextDataModule):
    """Sentences of film reviews (Socher et al., 2013; GLUE); **test is the official validation set**.

    The labels of the official test set are hidden. 67,349 rows to train: 6,882 sentences and the phrases they consist
    of; 872 sentences to test. ``val_fraction`` is a share of the sentences, and no phrase of a sentence that validates
    trains: a model would recognise it rather than judge it, while the test sentences are new to it.
    Looked for as ``root/sst2/<split>-*.parquet``, then on the Hub as ``stanfordnlp/sst2``.
    """

    folder = "sst2"
    hub = "stanfordnlp/sst2"
    text_columns = ("sentence",)
    test_split = "validation"
    num_classes = 2
    class_names = ("negative", "positive")

    def wholes(self, dataset: EncodedTexts, samples: Tensor) -> Tensor:
        """The sentence that each phrase is a part of."""
        return containing_texts(dataset.arrays, samples)
