"""The embedding: AL layer 1 of every text network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from al_lightning.nn import vocabulary as text
from al_lightning.nn.sequence import Pool, Tokens, TokenSequence, valid_positions
from al_lightning.nn.unrecorded import unrecorded_on_cpu


def count_tokens(x: Tensor) -> Tensor:
    """How many tokens each right-padded text has: (B, T) int64 to (B,) int64.

    Example:
        >>> count_tokens(torch.tensor([[5, 7, 0], [4, 0, 0], [0, 0, 0]]))
        tensor([2, 1, 0])
    """
    positions = torch.arange(1, x.shape[1] + 1, device=x.device)
    return ((x != text.PAD) * positions).amax(1)


class TokenEmbedding(nn.Module):
    """Tokens to their vectors: layer 1 of every text network.

    An empty text counts as one token with the zero vector of padding.

    Args:
        vocab_size: V, padding and unknown included.
        dim: D.
        vectors: (V, D) start values; drawn at scale 0.1 if None.
        dropout: share of features that training sets to zero.
    """

    def __init__(self, vocab_size: int, dim: int, vectors: Tensor | None, dropout: float) -> None:
        super().__init__()
        #: (V,) bool, which words started from a file's vector; None without a file.
        self.found: Tensor | None = None
        self.vocab_size = vocab_size
        #: How many tokens a text may have; any number if None.
        self.longest: int | None = None
        self.embedding = nn.Embedding(vocab_size, dim, padding_idx=text.PAD)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            if vectors is None:
                self.embedding.weight.normal_(0, text.EMBEDDING_SCALE)[text.PAD] = 0
            else:
                self.embedding.weight.copy_(vectors)

    def forward(self, x: Tensor | Tokens) -> TokenSequence:
        """Look tokens up.

        Args:
            x: tokens (B, T) int64, right-padded with 0, whose lengths are counted here; or tokens with their lengths.

        Returns:
            The vectors (B, T, D) and the lengths (B,), at least 1.
        """
        tokens, lengths = with_lengths(x)
        return TokenSequence(self.dropout(self.embedding(tokens)), lengths)

    def bridged(self, x: Tensor | Tokens, bridge: nn.Module) -> Tensor | None:
        """``bridge(self(x))`` of a bridge that reads the mean, without a copy of every token's vector.

        A path that ends at the embedding is bound by memory. Adding up while looking up takes a fourteenth of its time
        for 256 texts of 256 words (benchmarks/results/shortcuts-cpu.json, "of modules").

        Args:
            x: as :meth:`forward` reads it.
            bridge: of this layer.

        Returns:
            (B, target_dim); None if the bridge reads something else, in training, off the CPU, where gradients or the
            operations themselves are recorded, or where somebody's hooks or own modules want to see the vectors.
        """
        weight = self.embedding.weight
        if self.training or not self._is_plain() or not unrecorded_on_cpu(weight):
            return None
        if not isinstance(bridge, nn.Sequential):
            return None
        pool, *rest = bridge
        if type(pool) is not Pool or pool.kind != "mean" or any(map(_hooked, (self, self.embedding, bridge, pool))):
            return None
        tokens, lengths = with_lengths(x)
        own = valid_positions(TokenSequence(tokens, lengths)).to(weight.dtype)
        sums = F.embedding_bag(tokens, weight, mode="sum", per_sample_weights=own)
        association: Tensor = sums / lengths.unsqueeze(1).to(weight.dtype)
        for part in rest:
            association = part(association)
        return association

    def _is_plain(self) -> bool:
        """Whether a lookup is nothing but torch's, by this class."""
        usual = type(self).forward is TokenEmbedding.forward and type(self.embedding) is nn.Embedding
        return usual and self.embedding.max_norm is None


def with_lengths(x: Tensor | Tokens) -> tuple[Tensor, Tensor]:
    """Tokens (B, T) and how many there are of each text, at least 1, (B,); counted where they are not known."""
    tokens, lengths = x if isinstance(x, Tokens) else (x, count_tokens(x))
    return tokens, lengths.clamp(min=1)


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def make_embedding(
    vocab_size: int | None,
    vocabulary: Sequence[str] | None,
    glove: str | None,
    dim: int,
    dropout: float,
) -> TokenEmbedding:
    """The embedding that both siblings of a network share.

    Args:
        vocab_size: V; the vocabulary's length if None.
        vocabulary: words, specials first; needed for word vectors and raw text.
        glove: file of word vectors; see :func:`~al_lightning.nn.vocabulary.load_vectors`.
        dim: D.
        dropout: on the vectors, in training.

    Raises:
        ValueError: if neither size nor vocabulary is known, they differ, or an argument is out of its range.
    """
    if vocabulary is not None:
        text.check_vocabulary(vocabulary)
    size = vocab_size if vocab_size is not None else len(vocabulary or ())
    if size < len(text.SPECIALS) + 1:
        raise ValueError(
            "Expected `vocab_size` or `vocabulary` to say how many words there are, padding and unknown included, "
            f"but got {vocab_size} and {None if vocabulary is None else len(vocabulary)} words. "
            "Train on a text data module (it passes its vocabulary), or pass one of the two."
        )
    if vocabulary is not None and size != len(vocabulary):
        raise ValueError(
            f"Expected `vocab_size` to be the vocabulary's {len(vocabulary)}, but got {vocab_size}. Leave it out."
        )
    if dim < 1:
        raise ValueError(f"Expected `embedding_dim` to be at least 1, but got {dim}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected `dropout` to be in [0, 1), but got {dropout}.")
    if glove is None:
        return TokenEmbedding(size, dim, None, dropout)
    if vocabulary is None:
        raise ValueError("Expected a `vocabulary` beside `glove`, to know which vectors to take. Pass the data's.")
    vectors = text.load_vectors(glove, vocabulary, dim)
    embedding = TokenEmbedding(size, dim, vectors.rows, dropout)
    embedding.found = vectors.found
    return embedding
