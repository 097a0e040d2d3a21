"""What the text networks share: the state between their layers, the embedding, bridges, and raw text as input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import torch
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor, nn

from al_lightning import text
from al_lightning.bridges import BridgeKind
from al_lightning.modules.base import Batch, Classifier
from al_lightning.optim import LazyAdam

#: How a sequence becomes the vector that a bridge reads.
Pooling: TypeAlias = Literal["mean", "final"]


class TokenSequence(NamedTuple):
    """State between the layers of a text network.

    ``features`` (B, T, D) float; ``lengths`` (B,) int64, at least 1: what stands behind them is padding, is never
    read, and need not be zero.
    """

    features: Tensor
    lengths: Tensor


def valid_positions(state: TokenSequence) -> Tensor:
    """(B, T) bool, True where a text has a token."""
    return torch.arange(state.features.shape[1], device=state.lengths.device) < state.lengths.unsqueeze(1)


class TokenEmbedding(nn.Module):
    """Tokens (B, T) int64, right-padded with 0, to their vectors: layer 1 of every text network.

    An empty text counts as one token with the zero vector of padding.

    Args:
        vocab_size: V, padding and unknown included.
        dim: D.
        vectors: (V, D) start values; drawn at scale 0.1 if None.
        dropout: share of features that training sets to zero.
        sparse: make gradients that hold the rows of a batch's words only, for an optimizer that reads them.
    """

    def __init__(self, vocab_size: int, dim: int, vectors: Tensor | None, dropout: float, sparse: bool) -> None:
        super().__init__()
        #: (V,) bool, which words started from a file's vector; None without a file.
        self.found: Tensor | None = None
        self.embedding = nn.Embedding(vocab_size, dim, padding_idx=text.PAD, sparse=sparse)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            if vectors is None:
                self.embedding.weight.normal_(0, text.EMBEDDING_SCALE)[text.PAD] = 0
            else:
                self.embedding.weight.copy_(vectors)

    def forward(self, x: Tensor) -> TokenSequence:
        """Look tokens up and count them."""
        positions = torch.arange(1, x.shape[1] + 1, device=x.device)
        lengths = ((x != text.PAD) * positions).amax(1).clamp(min=1)
        return TokenSequence(self.dropout(self.embedding(x)), lengths)


class Pool(nn.Module):
    """From a sequence (B, T, D) to one vector (B, D).

    Args:
        kind: ``"mean"``: of the text's own tokens. ``"final"``: the last states of both directions of a
            bidirectional recurrent layer, which stand at its last and at its first token.
    """

    def __init__(self, kind: Pooling) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, state: TokenSequence) -> Tensor:
        """Read the text's own tokens only."""
        features, lengths = state
        if self.kind == "mean":
            own = features.masked_fill(~valid_positions(state).unsqueeze(-1), 0)
            return own.sum(1) / lengths.unsqueeze(1).to(own.dtype)
        half = features.shape[-1] // 2
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, half)
        return torch.cat([features[..., :half].gather(1, last).squeeze(1), features[:, 0, half:]], -1)


def sequence_bridge(kind: BridgeKind, pooling: Pooling, features: int, target_dim: int) -> nn.Module:
    """Pool a sequence to a vector and project it: Linear (``"lean"``), with tanh after it (``"paper"``).

    Raises:
        ValueError: if ``kind`` is neither.
    """
    if kind not in ("lean", "paper"):
        raise ValueError(f"Expected `bridge` to be 'lean' or 'paper', but got {kind!r}.")
    squash: list[nn.Module] = [nn.Tanh()] if kind == "paper" else []
    return nn.Sequential(Pool(pooling), nn.Linear(features, target_dim), *squash)


def make_embedding(
    vocab_size: int | None,
    vocabulary: Sequence[str] | None,
    glove: str | None,
    dim: int,
    dropout: float,
    sparse: bool,
) -> TokenEmbedding:
    """The embedding that both siblings of a network share.

    Args:
        vocab_size: V; the vocabulary's length if None.
        vocabulary: words, specials first; needed for word vectors and raw text.
        glove: file of word vectors; see :func:`~al_lightning.text.load_vectors`.
        dim: D.
        dropout: on the vectors, in training.
        sparse: see :class:`TokenEmbedding`.

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
        return TokenEmbedding(size, dim, None, dropout, sparse)
    if vocabulary is None:
        raise ValueError("Expected a `vocabulary` beside `glove`, to know which vectors to take. Pass the data's.")
    vectors = text.load_vectors(glove, vocabulary, dim)
    embedding = TokenEmbedding(size, dim, vectors.rows, dropout, sparse)
    embedding.found = vectors.found
    return embedding


class TextClassifier(Classifier):
    """Abstract part of every text network: ``x`` is (B, T) int64 tokens, right-padded with 0.

    With the data's vocabulary, which checkpoints keep as plain strings, raw text can be predicted.
    """

    # Where a network starts from is in its weights afterwards; the file may be gone.
    run_time_arguments: ClassVar[frozenset[str]] = Classifier.run_time_arguments | {"glove"}
    unrecorded_arguments: ClassVar[frozenset[str]] = Classifier.unrecorded_arguments | {"glove"}

    #: Words, ``<pad>`` and ``<unk>`` first; None if only their number is known.
    vocabulary: list[str] | None = None
    vocab_size: int
    _found: Tensor | None = None
    _sparse: bool = False

    def set_vocabulary(self, embedding: TokenEmbedding, vocabulary: Sequence[str] | None) -> None:
        """Say which tokens there are."""
        self.vocab_size = embedding.embedding.num_embeddings
        self._found = embedding.found
        self._sparse = embedding.embedding.sparse
        self.vocabulary = None if vocabulary is None else list(vocabulary)

    def check_input(self, x: Tensor) -> None:
        """Refuse what cannot be tokens.

        Raises:
            ValueError: if shape or type are others; on the CPU, where looking is free, also if a token is
                outside ``0..vocab_size-1`` or a text is not right-padded.
        """
        if x.ndim != 2 or x.dtype != torch.long or x.shape[1] == 0:
            raise ValueError(
                f"Expected tokens of shape (B, T) and type int64, T at least 1, but got {tuple(x.shape)} of {x.dtype}. "
                "Use a text data module, or `predict_text` for raw text."
            )
        if x.device.type != "cpu" or x.numel() == 0:
            return
        if int(x.min()) < 0 or int(x.max()) >= self.vocab_size:
            wrong = int(x.min()) if int(x.min()) < 0 else int(x.max())
            raise ValueError(
                f"Expected tokens in 0..{self.vocab_size - 1}, because vocab_size={self.vocab_size}, but got {wrong}. "
                "Encode the text with the vocabulary that the network was built for."
            )
        padded = x == text.PAD
        if bool((padded[:, :-1] & ~padded[:, 1:]).any()):
            raise ValueError(
                "Expected texts padded with 0 on the right, but got a 0 before another token. "
                "Move the padding to the end."
            )

    def setup(self, stage: str) -> None:
        """Say which share of the training text starts from word vectors of a file."""
        super().setup(stage)
        if stage != "fit" or self._found is None:
            return
        counts = getattr(getattr(self.trainer, "datamodule", None), "word_counts", None)
        if counts is not None:
            tokens = float(counts[self._found].sum() / counts.sum())
            words = float(self._found[len(text.SPECIALS) :].float().mean())
            rank_zero_info(f"Word vectors of the file: {tokens:.1%} of the training tokens, {words:.1%} of the words.")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights that were trained with another vocabulary: every word would mean another.

        Raises:
            ValueError: naming the first word that differs.
        """
        super().on_load_checkpoint(checkpoint)
        model = checkpoint.get("al_lightning", {}).get("model") or {}
        kept = model.get("init_args", {}).get("vocabulary")
        if kept is not None and self.vocabulary is not None and list(kept) != self.vocabulary:
            token = next(n for n, (a, b) in enumerate(zip(kept, self.vocabulary)) if a != b)
            raise ValueError(
                f"Expected the vocabulary that the checkpoint was trained with, but token {token} is "
                f"{self.vocabulary[token]!r} instead of {kept[token]!r}. Leave the data's arguments to the checkpoint, "
                "or pass its `vocabulary` to the data module."
            )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Log which share of the tokens is padding.

        Raises:
            ValueError: if the embedding's gradients are sparse and an optimizer cannot read them.
        """
        if batch_idx == 0 and self._sparse:
            dense = (torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop)
            for optimizer in self.trainer.optimizers:
                if isinstance(optimizer, dense) and not isinstance(optimizer, LazyAdam):
                    raise ValueError(
                        "Expected an optimizer that reads sparse gradients, because sparse_embedding=True, but got "
                        f"{type(optimizer).__name__}. Set `optimizer` to al_lightning.optim.LazyAdam."
                    )
        x = batch[0]
        padding = (x == text.PAD).float().mean()
        self.log("train_padding", padding, on_step=False, on_epoch=True, batch_size=x.numel(), sync_dist=True)

    def predict_text(self, texts: Sequence[str], max_length: int = 1000) -> list[tuple[str, float]]:
        """Class name and calibrated probability of each text.

        Args:
            texts: raw texts; an empty one is predicted too.
            max_length: most tokens of one text; the rest is cut off.

        Returns:
            One (class name, probability) a text, in order. Computed in evaluation mode, without gradients.

        Raises:
            ValueError: if the network does not know its vocabulary.
            TypeError: if ``texts`` is a single string.
        """
        if isinstance(texts, str):
            raise TypeError("Expected a list of texts, but got one string. Put it into a list.")
        if self.vocabulary is None:
            raise ValueError(
                "Expected a network that knows its vocabulary, but this was built from `vocab_size` alone. "
                "Pass `vocabulary` when building it."
            )
        encode = text.TextEncoder(self.vocabulary, max_length)
        was_training = self.training
        self.eval()
        results: list[tuple[str, float]] = []
        try:
            with torch.no_grad():
                for start in range(0, len(texts), 64):
                    x = encode(texts[start : start + 64]).to(self.device)
                    values, labels = self.probabilities(self(x)).max(-1)
                    results += [(self.class_names[k], p) for k, p in zip(labels.tolist(), values.tolist())]
        finally:
            self.train(was_training)
        return results
