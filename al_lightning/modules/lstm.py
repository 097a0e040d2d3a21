"""Bidirectional LSTM on word embeddings (sections 2.1.1 and 6.5.1, Table 7)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise

from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.options import BPOptions, TextOptions
from al_lightning.modules.text import TextAL, TextBP
from al_lightning.nn.embedding import make_embedding
from al_lightning.nn.lstm import BiLSTM
from al_lightning.nn.sequence import PooledState
from al_lightning.nn.vocabulary import Vocabulary


def lstm_blocks(inputs: int, hidden_dims: Sequence[int], dropout: float) -> list[nn.Module]:
    """The Bi-LSTM layers of both siblings, in order.

    Raises:
        ValueError: if ``hidden_dims`` is empty or holds no width.
    """
    if not hidden_dims or min(hidden_dims) < 1:
        raise ValueError(f"Expected `hidden_dims` to hold widths of at least 1, but got {list(hidden_dims)}.")
    widths = [inputs, *(2 * hidden for hidden in hidden_dims)]
    return [BiLSTM(width, hidden, dropout) for width, hidden in zip(widths, hidden_dims)]


def text_head(dims: Sequence[int], width: int) -> nn.Module:
    """The head of a BP network: Linear and ReLU through ``dims``, then scores (B, width).

    Raises:
        ValueError: if a width is below 1.
    """
    if min(dims) < 1:
        raise ValueError(f"Expected `head_dims` to hold widths of at least 1, but got {list(dims[1:])}.")
    hidden = [part for a, b in pairwise(dims) for part in (nn.Linear(a, b), nn.ReLU())]
    last = nn.Linear(dims[-1], width)
    return nn.Sequential(*hidden, last) if hidden else last


class LSTMAL(TextAL):
    """Bi-LSTM by Associated Learning: the embedding is AL layer 1, every Bi-LSTM layer one more (section 2.1.1).

    Bridges read the mean of the word vectors, then the final states of both directions. Paths are named in Table 1:
    1 is EMB-AL-SC, 2 is SC1, 3 is full.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of the embedding (Table 7: 300).
        hidden_dims: H of each direction of each Bi-LSTM layer (Table 7: 300 and 300).
        dropout: on the features of every layer, in training.
        target_dim: N, width of every encoded target (Table 7: 128).
        max_length: most tokens of a text in training, for ``predict_text``; data modules link theirs.
        options: see :class:`~al_lightning.modules.text.TextAL` and :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        vocab_size: int | None = None,
        vocabulary: Vocabulary | None = None,
        glove: str | None = None,
        *,
        embedding_dim: int = 300,
        hidden_dims: Sequence[int] = (300, 300),
        dropout: float = 0.0,
        target_dim: int = 128,
        max_length: int | None = None,
        **options: Unpack[TextOptions],
    ) -> None:
        super().__init__(
            make_embedding(vocab_size, vocabulary, glove, embedding_dim, dropout),
            lstm_blocks(embedding_dim, hidden_dims, dropout),
            [PooledState("mean", embedding_dim), *(PooledState("final", 2 * hidden) for hidden in hidden_dims)],
            num_classes,
            vocabulary,
            target_dim=target_dim,
            max_length=max_length,
            **options,
        )


class LSTMBP(TextBP):
    """Bi-LSTM by backpropagation: the same embedding and layers, wider (Table 7), and one Linear.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of the embedding (Table 7: 300).
        hidden_dims: H of each direction of each Bi-LSTM layer (Table 7: 350 and 350).
        dropout: on the features of every layer, in training.
        head_dims: widths of hidden layers before the last Linear (Table 6, "LSTM + MLP*3": two).
        max_length: most tokens of a text in training, for ``predict_text``; data modules link theirs.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        vocab_size: int | None = None,
        vocabulary: Vocabulary | None = None,
        glove: str | None = None,
        *,
        embedding_dim: int = 300,
        hidden_dims: Sequence[int] = (350, 350),
        dropout: float = 0.0,
        head_dims: Sequence[int] = (),
        max_length: int | None = None,
        **options: Unpack[BPOptions],
    ) -> None:
        super().__init__(
            make_embedding(vocab_size, vocabulary, glove, embedding_dim, dropout),
            lstm_blocks(embedding_dim, hidden_dims, dropout),
            "final",
            functools.partial(text_head, [2 * hidden_dims[-1], *head_dims]),
            num_classes,
            vocabulary,
            max_length=max_length,
            **options,
        )
