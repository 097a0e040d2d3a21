"""Bidirectional LSTM on word embeddings (sections 2.1.1 and 6.5.1, Table 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from al_lightning.modules.al import ALModule, ALOptions
from al_lightning.modules.bp import BPModule, BPOptions
from al_lightning.modules.text import TextClassifier
from al_lightning.nn.bridges import BridgeKind
from al_lightning.nn.convert import TargetActivation, associate
from al_lightning.nn.embedding import make_embedding
from al_lightning.nn.layer import ReconstructionLoss
from al_lightning.nn.sequence import Pool, TokenSequence, sequence_bridge
from al_lightning.nn.vocabulary import Vocabulary


class BiLSTM(nn.Module):
    """One bidirectional LSTM layer, (B, T, D) to (B, T, 2H), equal to packed sequences, from zero states.

    Both directions run as dense kernels: the backward one reads each text reversed within its own length, so that
    padding comes last for both and nothing of it reaches a token. Packed sequences have no such kernels on a CPU, and
    cannot be exported.

    Args:
        inputs: D.
        hidden: H of each direction.
        dropout: share of output features that training sets to zero.
    """

    def __init__(self, inputs: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.forwards = nn.LSTM(inputs, hidden, batch_first=True)
        self.backwards = nn.LSTM(inputs, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: TokenSequence) -> TokenSequence:
        """Read each text in both directions."""
        features, lengths = state
        position = torch.arange(features.shape[1], device=features.device)
        last = lengths.unsqueeze(1) - 1
        mirrored = torch.where(position <= last, last - position, position).unsqueeze(-1)
        ahead = _recur(self.forwards, features)
        back = _recur(self.backwards, _reorder(features, mirrored))
        return TokenSequence(self.dropout(torch.cat([ahead, _reorder(back, mirrored)], -1)), lengths)


def _recur(lstm: nn.LSTM, features: Tensor) -> Tensor:
    if features.device.type != "cpu":
        return cast(Tensor, lstm(features)[0])
    with torch.autocast("cpu", enabled=False):  # few processors have a recurrence in half precision; others raise
        return cast(Tensor, lstm(features.to(cast(Tensor, lstm.weight_ih_l0)))[0])


def _reorder(features: Tensor, order: Tensor) -> Tensor:
    return features.gather(1, order.expand(-1, -1, features.shape[-1]))


def lstm_blocks(inputs: int, hidden_dims: Sequence[int], dropout: float) -> list[nn.Module]:
    """The Bi-LSTM layers of both siblings, in order.

    Raises:
        ValueError: if ``hidden_dims`` is empty or holds no width.
    """
    if not hidden_dims or min(hidden_dims) < 1:
        raise ValueError(f"Expected `hidden_dims` to hold widths of at least 1, but got {list(hidden_dims)}.")
    widths = [inputs, *(2 * hidden for hidden in hidden_dims)]
    return [BiLSTM(width, hidden, dropout) for width, hidden in zip(widths, hidden_dims)]


class LSTMAL(TextClassifier, ALModule):
    """Bi-LSTM by Associated Learning: the embedding is AL layer 1, every Bi-LSTM layer one more (section 2.1.1).

    Bridges read the mean of the word vectors, then the final states of both directions. Paths are named in Table 1:
    1 is EMB-AL-SC, 2 is SC1, 3 is full.

    Args:
        num_classes: K.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of the embedding (Table 7: 300).
        hidden_dims: H of each direction of each Bi-LSTM layer (Table 7: 300 and 300).
        dropout: on the features of every layer, in training.
        sparse_embedding: update only the word vectors of a batch; needs :class:`~al_lightning.optim.LazyAdam`.
        bridge: ``"lean"`` (Linear) or ``"paper"`` (Linear and tanh).
        target_dim: N, width of every encoded target (Table 7: 128).
        target_activation: of g and h.
        score_activation: of ``h_1``; linear if None.
        detach_target: stop the associated loss at g.
        reconstruction_loss: the first layer's, ``"mse"`` or ``"cross_entropy"``.
        options: see :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        num_classes: int,
        vocab_size: int | None = None,
        vocabulary: Vocabulary | None = None,
        glove: str | None = None,
        *,
        embedding_dim: int = 300,
        hidden_dims: Sequence[int] = (300, 300),
        dropout: float = 0.0,
        sparse_embedding: bool = False,
        bridge: BridgeKind = "lean",
        target_dim: int = 128,
        target_activation: TargetActivation = "tanh",
        score_activation: TargetActivation | None = None,
        detach_target: bool = True,
        reconstruction_loss: ReconstructionLoss = "cross_entropy",
        **options: Unpack[ALOptions],
    ) -> None:
        embedding = make_embedding(vocab_size, vocabulary, glove, embedding_dim, dropout, sparse_embedding)
        bridges = [
            sequence_bridge(bridge, "mean", embedding_dim, target_dim),
            *(sequence_bridge(bridge, "final", 2 * hidden, target_dim) for hidden in hidden_dims),
        ]
        layers = associate(
            [embedding, *lstm_blocks(embedding_dim, hidden_dims, dropout)],
            bridges,
            num_classes,
            target_dim,
            target_activation=target_activation,
            score_activation=score_activation,
            detach_target=detach_target,
            reconstruction_loss=reconstruction_loss,
        )
        super().__init__(layers, num_classes, **options)
        self.set_vocabulary(embedding, vocabulary)


class LSTMBP(TextClassifier, BPModule):
    """Bi-LSTM by backpropagation: the same embedding and layers, wider (Table 7), and one Linear.

    Args:
        num_classes: K.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of the embedding (Table 7: 300).
        hidden_dims: H of each direction of each Bi-LSTM layer (Table 7: 350 and 350).
        dropout: on the features of every layer, in training.
        sparse_embedding: update only the word vectors of a batch; needs :class:`~al_lightning.optim.LazyAdam`.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        num_classes: int,
        vocab_size: int | None = None,
        vocabulary: Vocabulary | None = None,
        glove: str | None = None,
        *,
        embedding_dim: int = 300,
        hidden_dims: Sequence[int] = (350, 350),
        dropout: float = 0.0,
        sparse_embedding: bool = False,
        **options: Unpack[BPOptions],
    ) -> None:
        embedding = make_embedding(vocab_size, vocabulary, glove, embedding_dim, dropout, sparse_embedding)
        blocks = lstm_blocks(embedding_dim, hidden_dims, dropout)
        head = nn.Linear(2 * hidden_dims[-1], num_classes)
        super().__init__(nn.Sequential(embedding, *blocks, Pool("final"), head), num_classes, **options)
        self.set_vocabulary(embedding, vocabulary)
