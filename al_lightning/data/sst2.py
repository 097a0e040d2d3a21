"""SST-2: sentences of film reviews (Socher et al., 2013)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.textdata import TextDataModule, TextOptions
from al_lightning.data.tokens import TokenArrays

#: Texts of more words are not searched for parts: their number grows with the square, and no sentence is as long.
LONGEST = 200


def containing_texts(arrays: TokenArrays, samples: Tensor) -> Tensor:
    """For each text, the longest (of up to 200 words) that contains its words in a row; itself if there is none.

    Args:
        arrays: tokens of a split.
        samples: (N,) int64, the texts to look at.

    Returns:
        (N,) int64, positions in ``samples``. Among equal texts the first contains the others; of several containing
        texts of one length, the first counts. A text without words is contained in the longest.
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

    67,349 rows to train: 6,882 sentences and the phrases they consist of. Validation is sentences that are held out
    with all their phrases, like the 872 to test: phrases of a sentence that trains would be recognised, not judged.
    The labels of the official test set are hidden.
    Looked for as ``root/sst2/<split>-*.parquet``, then on the Hub as ``stanfordnlp/sst2``.

    Args:
        root: folder that is searched for the data before the Hub is.
        batch_size: texts a batch and process.
        val_fraction: share of the sentences held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names validation split, label noise and order.
        max_length: most tokens of a text; the rest is cut off and counted.
        options: see :class:`~al_lightning.data.TextDataModule`.
    """

    folder = "sst2"
    hub = "stanfordnlp/sst2"
    text_columns = ("sentence",)
    test_split = "validation"
    num_classes = 2

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 64,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        max_length: int = 500,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, max_length=max_length, **options)
        self.class_names = ["negative", "positive"]

    def whole_texts(self, arrays: TokenArrays, samples: Tensor) -> Tensor:
        """The sentence of each phrase."""
        return containing_texts(arrays, samples)
