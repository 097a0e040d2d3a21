"""Text encoders of others, such as BERT, as an embedding and blocks over sequences that carry their lengths."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from al_lightning.nn.embedding import with_lengths
from al_lightning.nn.sequence import Tokens, TokenSequence, valid_positions
from al_lightning.nn.vocabulary import PAD


class EncoderEmbedding(nn.Module):
    """The embeddings of a text encoder, from tokens to a sequence.

    Args:
        embeddings: from tokens (B, T) int64 to features (B, T, D), by its first argument.
    """

    #: As of a :class:`~al_lightning.nn.embedding.TokenEmbedding`: no word starts from a file's vector.
    found: Tensor | None = None

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings
        words = _lookup(embeddings, "word_embeddings")
        self.vocab_size, self.dim = words.num_embeddings, words.embedding_dim
        positions = _lookup(embeddings, "position_embeddings")
        self.longest = positions.num_embeddings - (0 if positions.padding_idx is None else positions.padding_idx + 1)
        if positions.padding_idx not in (None, PAD):
            raise ValueError(
                f"Expected an encoder that pads with {PAD}, as texts are padded here, but {type(embeddings).__name__} "
                f"pads with {positions.padding_idx}. Build it with `pad_token_id={PAD}`."
            )

    def forward(self, x: Tensor | Tokens) -> TokenSequence:
        """Look tokens up.

        Args:
            x: tokens (B, T) int64, right-padded with 0, or tokens with their lengths.

        Returns:
            The features (B, T, D) and the lengths (B,), at least 1.

        Raises:
            ValueError: if a text is longer than there are positions.
        """
        tokens, lengths = with_lengths(x)
        if tokens.shape[1] > self.longest:
            raise ValueError(
                f"Expected texts of at most {self.longest} tokens, because the encoder has so many positions, but got "
                f"{tokens.shape[1]}. Set `max_length` of the data, or build the encoder with more positions."
            )
        if torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling():
            # A graph is recorded, in which a row of one token would be a case of its own: positions would be broadcast.
            return TokenSequence(self.embeddings(F.pad(tokens, (0, 1)))[:, :-1], lengths)
        return TokenSequence(self.embeddings(tokens), lengths)


class EncoderLayer(nn.Module):
    """A layer of a text encoder, from a sequence to a sequence; padding is masked.

    Args:
        layer: from features (B, T, D) and ``attention_mask``, (B, 1, 1, T) with 0 where there is a token and the lowest
            number elsewhere, to features, or to a tuple whose first part they are.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, state: TokenSequence) -> TokenSequence:
        """Let tokens attend to the tokens of their own text."""
        features = state.features
        mask = torch.zeros_like(features[:, None, None, :, 0])
        mask = mask.masked_fill(~valid_positions(state)[:, None, None, :], torch.finfo(features.dtype).min)
        out = self.layer(features, attention_mask=mask)
        return TokenSequence(out[0] if isinstance(out, tuple) else out, state.lengths)


class EncoderParts(NamedTuple):
    """The embedding of a text encoder and its layers, in order."""

    embedding: EncoderEmbedding
    layers: list[nn.Module]


def encoder_parts(encoder: nn.Module) -> EncoderParts:
    """Take a text encoder apart that is built as those of Hugging Face's BERT family are.

    Args:
        encoder: has ``embeddings`` with ``word_embeddings`` and ``position_embeddings``, and a list of layers
            ``encoder.layer``: BERT, ELECTRA, RoBERTa with ``pad_token_id=0`` and others. What stands behind the
            layers, such as a pooler, is left out.

    Raises:
        ValueError: if it is built otherwise.
    """
    try:
        embeddings, layers = encoder.get_submodule("embeddings"), encoder.get_submodule("encoder.layer")
    except AttributeError as error:
        raise ValueError(
            "Expected a text encoder with `embeddings` and a list of layers `encoder.layer`, as BERT has, but got a "
            f"{type(encoder).__name__} ({error}). Build one of that family, or pass the parts to `TextAL`."
        ) from None
    return EncoderParts(EncoderEmbedding(embeddings), [EncoderLayer(layer) for layer in layers.children()])


def _lookup(embeddings: nn.Module, name: str) -> nn.Embedding:
    part = dict(embeddings.named_children()).get(name)
    if not isinstance(part, nn.Embedding):
        raise ValueError(
            f"Expected the embeddings of a text encoder to have `{name}`, an nn.Embedding, but "
            f"{type(embeddings).__name__} has none. Build an encoder of BERT's family, or pass the parts to `TextAL`."
        )
    return part
