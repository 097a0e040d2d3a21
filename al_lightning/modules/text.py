"""What text networks share: raw text as input, and the vocabulary that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor

from al_lightning.modules.base import Classifier
from al_lightning.nn import vocabulary as text
from al_lightning.nn.embedding import TokenEmbedding
from al_lightning.nn.sequence import Tokens
from al_lightning.optim import LazyAdam


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

    def check_input(self, x: Tensor | Tokens) -> None:
        """Refuse what cannot be tokens.

        Raises:
            ValueError: if shape or type are others; on the CPU, where looking is free, also if a token is
                outside ``0..vocab_size-1`` or a text is not right-padded.
        """
        x = x.tokens if isinstance(x, Tokens) else x
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

    def on_train_batch_start(self, batch: tuple[Tensor | Tokens, Tensor], batch_idx: int) -> None:
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
        if isinstance(x, Tokens):
            size = x.tokens.numel()
            padding = 1 - x.lengths.sum() / size
        else:
            size = x.numel()
            padding = (x == text.PAD).float().mean()
        self.log("train_padding", padding, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)

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
