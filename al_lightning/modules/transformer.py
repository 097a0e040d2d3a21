"""Transformer encoder on word embeddings (sections 2.1.1 and 6.5.2, Table 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

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
from al_lightning.nn.sequence import Pool, TokenSequence, sequence_bridge, valid_positions
from al_lightning.nn.vocabulary import EMBEDDING_SCALE, Vocabulary

Positions: TypeAlias = Literal["sinusoidal"]


def sinusoids(length: int, dim: int, like: Tensor) -> Tensor:
    """Positional encodings (T, D): sine and cosine of ``t / 10000^(2i / D)`` (Vaswani et al., 2017, section 3.5)."""
    time = torch.arange(length, device=like.device, dtype=torch.float32).unsqueeze(1)
    even = torch.arange(0, dim, 2, device=like.device, dtype=torch.float32)
    angle = time * torch.exp(even * (-math.log(10_000) / dim))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :dim].to(like.dtype)


class EncoderLayer(nn.Module):
    """One pre-norm encoder layer (torch's own) that attends to a text's own tokens only.

    Args:
        dim: D.
        heads: number of attention heads, a divisor of D.
        feedforward_dim: width of the feed-forward part.
        dropout: inside the layer, in training.
        positions: ``"sinusoidal"`` adds positional encodings to the input, at the scale that word vectors start
            from; None adds none.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        feedforward_dim: int,
        dropout: float,
        positions: Positions | None,
    ) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(
            dim, heads, feedforward_dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.positions = positions

    def forward(self, state: TokenSequence) -> TokenSequence:
        """Mix the tokens of each text."""
        features, lengths = state
        if self.positions is not None:
            features = features + EMBEDDING_SCALE * sinusoids(features.shape[1], features.shape[2], features)
        return TokenSequence(self.encoder(features, src_key_padding_mask=~valid_positions(state)), lengths)


def encoder_blocks(
    dim: int, heads: int, feedforward_dims: Sequence[int], dropout: float, positions: Positions | None
) -> list[nn.Module]:
    """The encoder layers of both siblings, in order; positions enter the first.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if not feedforward_dims or min(feedforward_dims) < 1:
        raise ValueError(f"Expected `feedforward_dims` to hold widths of at least 1, but got {list(feedforward_dims)}.")
    if heads < 1 or dim % heads:
        raise ValueError(f"Expected `heads` to divide embedding_dim={dim}, but got {heads}.")
    if positions not in (None, "sinusoidal"):
        raise ValueError(f"Expected `positions` to be 'sinusoidal' or None, but got {positions!r}.")
    return [
        EncoderLayer(dim, heads, width, dropout, positions if number == 0 else None)
        for number, width in enumerate(feedforward_dims)
    ]


class TransformerAL(TextClassifier, ALModule):
    """Transformer encoder by Associated Learning: the embedding is AL layer 1, every encoder layer one more.

    All bridges read the mean over a text's own tokens (section 2.1.1). Paths are named in Table 1: 1 is EMB-AL-SC,
    2 is SC1, 3 is full.

    Args:
        num_classes: K.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of embedding and encoder layers (Table 8: 300).
        feedforward_dims: width of each encoder layer's feed-forward part (Table 8: 256 and 256).
        heads: attention heads, a divisor of D (Table 8: 6).
        positions: ``"sinusoidal"``, or None as in the published code.
        dropout: on the word vectors and inside the encoder layers, in training.
        sparse_embedding: update only the word vectors of a batch; needs :class:`~al_lightning.optim.LazyAdam`.
        bridge: ``"lean"`` (Linear) or ``"paper"`` (Linear and tanh).
        target_dim: N, width of every encoded target (Table 8: 128).
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
        feedforward_dims: Sequence[int] = (256, 256),
        heads: int = 6,
        positions: Positions | None = None,
        dropout: float = 0.1,
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
        blocks = encoder_blocks(embedding_dim, heads, feedforward_dims, dropout, positions)
        layers = associate(
            [embedding, *blocks],
            [sequence_bridge(bridge, "mean", embedding_dim, target_dim) for _ in range(len(blocks) + 1)],
            num_classes,
            target_dim,
            target_activation=target_activation,
            score_activation=score_activation,
            detach_target=detach_target,
            reconstruction_loss=reconstruction_loss,
        )
        super().__init__(layers, num_classes, **options)
        self.set_vocabulary(embedding, vocabulary)


class TransformerBP(TextClassifier, BPModule):
    """Transformer encoder by backpropagation: the same embedding and layers, wider (Table 8), and one Linear.

    Args:
        num_classes: K.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of embedding and encoder layers (Table 8: 300).
        feedforward_dims: width of each encoder layer's feed-forward part (Table 8: 512 and 512).
        heads: attention heads, a divisor of D (Table 8: 6).
        positions: ``"sinusoidal"``, or None as in the published code.
        dropout: on the word vectors and inside the encoder layers, in training.
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
        feedforward_dims: Sequence[int] = (512, 512),
        heads: int = 6,
        positions: Positions | None = None,
        dropout: float = 0.1,
        sparse_embedding: bool = False,
        **options: Unpack[BPOptions],
    ) -> None:
        embedding = make_embedding(vocab_size, vocabulary, glove, embedding_dim, dropout, sparse_embedding)
        blocks = encoder_blocks(embedding_dim, heads, feedforward_dims, dropout, positions)
        head = nn.Sequential(nn.LayerNorm(embedding_dim), nn.Linear(embedding_dim, num_classes))
        super().__init__(nn.Sequential(embedding, *blocks, Pool("mean"), head), num_classes, **options)
        self.set_vocabulary(embedding, vocabulary)
