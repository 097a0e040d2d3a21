"""Transformer encoder on word embeddings (sections 2.1.1 and 6.5.2, Table 8)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.options import BPOptions, TextOptions
from al_lightning.modules.text import TextAL, TextBP
from al_lightning.nn.embedding import make_embedding
from al_lightning.nn.sequence import PooledState
from al_lightning.nn.transformer import EncoderLayer, FeedforwardActivation, Positions
from al_lightning.nn.vocabulary import Vocabulary


def encoder_blocks(
    dim: int,
    heads: int,
    feedforward_dims: Sequence[int],
    dropout: float,
    positions: Positions | None,
    norm_first: bool,
    activation: FeedforwardActivation,
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
        EncoderLayer(dim, heads, width, dropout, positions if number == 0 else None, norm_first, activation)
        for number, width in enumerate(feedforward_dims)
    ]


class TransformerAL(TextAL):
    """Transformer encoder by Associated Learning: the embedding is AL layer 1, every encoder layer one more.

    All bridges read the mean over a text's own tokens (section 2.1.1), those of pre-norm encoder layers through layer
    norm, as the sibling's head does. Paths are named in Table 1: 1 is EMB-AL-SC, 2 is SC1, 3 is full.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of embedding and encoder layers (Table 8: 300).
        feedforward_dims: width of each encoder layer's feed-forward part (Table 8: 256 and 256).
        heads: attention heads, a divisor of D (Table 8: 6).
        positions: ``"sinusoidal"``, or None as in the published code.
        norm_first: layer norm before attention and feed-forward part (pre-norm), and once more before a bridge or head;
            else after each (post-norm), torch's default and that of the published code.
        activation: of the feed-forward part: ``"gelu"``, or ``"relu"`` as in torch's default.
        dropout: on the word vectors and inside the encoder layers, in training.
        target_dim: N, width of every encoded target (Table 8: 128).
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
        feedforward_dims: Sequence[int] = (256, 256),
        heads: int = 6,
        positions: Positions | None = None,
        norm_first: bool = True,
        activation: FeedforwardActivation = "gelu",
        dropout: float = 0.1,
        target_dim: int = 128,
        max_length: int | None = None,
        **options: Unpack[TextOptions],
    ) -> None:
        blocks = encoder_blocks(embedding_dim, heads, feedforward_dims, dropout, positions, norm_first, activation)
        encoded = PooledState("mean", embedding_dim, norm=norm_first)
        super().__init__(
            make_embedding(vocab_size, vocabulary, glove, embedding_dim, dropout),
            blocks,
            [PooledState("mean", embedding_dim), *[encoded] * len(blocks)],
            num_classes,
            vocabulary,
            target_dim=target_dim,
            max_length=max_length,
            **options,
        )


class TransformerBP(TextBP):
    """Transformer encoder by backpropagation: the same embedding and layers, wider (Table 8), and one Linear.

    It reads the mean over a text's own tokens, through layer norm if the encoder layers are pre-norm.

    Args:
        num_classes: K; None with a ``target`` of another kind.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        glove: file of word vectors that the embedding starts from.
        embedding_dim: D of embedding and encoder layers (Table 8: 300).
        feedforward_dims: width of each encoder layer's feed-forward part (Table 8: 512 and 512).
        heads: attention heads, a divisor of D (Table 8: 6).
        positions: ``"sinusoidal"``, or None as in the published code.
        norm_first: layer norm before attention and feed-forward part (pre-norm), and once more before a bridge or head;
            else after each (post-norm), torch's default and that of the published code.
        activation: of the feed-forward part: ``"gelu"``, or ``"relu"`` as in torch's default.
        dropout: on the word vectors and inside the encoder layers, in training.
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
        feedforward_dims: Sequence[int] = (512, 512),
        heads: int = 6,
        positions: Positions | None = None,
        norm_first: bool = True,
        activation: FeedforwardActivation = "gelu",
        dropout: float = 0.1,
        max_length: int | None = None,
        **options: Unpack[BPOptions],
    ) -> None:
        norm: list[nn.Module] = [nn.LayerNorm(embedding_dim)] if norm_first else []
        super().__init__(
            make_embedding(vocab_size, vocabulary, glove, embedding_dim, dropout),
            encoder_blocks(embedding_dim, heads, feedforward_dims, dropout, positions, norm_first, activation),
            "mean",
            lambda width: nn.Sequential(*norm, nn.Linear(embedding_dim, width)),
            num_classes,
            vocabulary,
            max_length=max_length,
            **options,
        )
