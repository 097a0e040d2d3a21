"""Text encoders of others, such as BERT: by Associated Learning through Algorithm 1, and by backpropagation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.network import ConvertedModule, Network, build_network, load_weights
from al_lightning.modules.options import BPOptions, TextOptions
from al_lightning.modules.text import TextAL, TextBP, TextModule
from al_lightning.nn.balance import balance
from al_lightning.nn.sequence import PooledState
from al_lightning.nn.text_encoder import EncoderParts, encoder_parts
from al_lightning.nn.vocabulary import Vocabulary, check_vocabulary

#: Of an encoder's weights: what reads its last layer, and positions that some versions kept.
_LEFT_OUT = ("pooler", "embeddings.position_ids", "embeddings.token_type_ids")


class ConvertedText(ConvertedModule, TextModule):
    """Abstract part of both siblings."""

    run_time_arguments: ClassVar[frozenset[str]] = ConvertedModule.run_time_arguments | TextModule.run_time_arguments
    unrecorded_arguments: ClassVar[frozenset[str]] = (
        ConvertedModule.unrecorded_arguments | TextModule.unrecorded_arguments
    )


def _parts(
    network: Network,
    network_args: dict[str, Any] | None,
    weights: str | None,
    vocab_size: int | None,
    vocabulary: Vocabulary | None,
) -> EncoderParts:
    """Embedding and layers of an encoder for so many words.

    Raises:
        ValueError: if the number of words is not known or not the encoder's, or the encoder cannot be built.
    """
    if vocabulary is not None:
        check_vocabulary(vocabulary)
    size = vocab_size if vocab_size is not None else len(vocabulary or ())
    if size < 1:
        raise ValueError(
            "Expected `vocab_size` or `vocabulary` to say how many words there are, but got neither. Train on a text "
            "data module (it passes its vocabulary), or pass one of the two."
        )
    if weights is not None and not Path(weights).is_file():
        raise ValueError(f"Expected `weights` to be the file of a state dict, but there is none at {weights}.")
    ready = isinstance(network, nn.Module)
    encoder = build_network(network, network_args if ready else {"vocab_size": size, **(network_args or {})}, weights)
    if weights is not None:
        load_weights(encoder, weights, _LEFT_OUT)
    parts = encoder_parts(encoder)
    if parts.embedding.vocab_size < size:
        raise ValueError(
            f"Expected an encoder for at least {size} words, but got one for {parts.embedding.vocab_size}. Build it "
            "with the number of words that it is called with, `vocab_size`."
        )
    return parts


class ConvertedTextAL(ConvertedText, TextAL):
    """A text encoder of BERT's family by Associated Learning: its embedding is AL layer 1, its layers are the others.

    Bridges read the mean over a text's own tokens, through layer norm. Words are those of the data module's vocabulary.

    Args:
        network: called with ``vocab_size`` and ``network_args``, builds the encoder, such as a function of yours around
            ``transformers.BertModel``; or the encoder. See :func:`~al_lightning.nn.text_encoder.encoder_parts`.
        num_classes: K; None with a ``target`` of another kind.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        network_args: of the function.
        weights: file of a state dict that the encoder starts from. In no checkpoint.
        cuts: number of AL layers, the embedding and consecutive encoder layers; each encoder layer is one if None.
        freeze_encoder: whether the encoder keeps its weights, in evaluation mode; bridges, target encoders and target
            decoders learn.
        target_dim: N, width of every encoded target.
        max_length: most tokens of a text in training, for ``predict_text``; data modules link theirs.
        options: see :class:`~al_lightning.modules.text.TextAL` and :class:`~al_lightning.ALModule`.

    Raises:
        ValueError: if an argument is out of its range, or the encoder is of another family.
    """

    def __init__(
        self,
        network: Network,
        num_classes: int | None = None,
        vocab_size: int | None = None,
        vocabulary: Vocabulary | None = None,
        *,
        network_args: dict[str, Any] | None = None,
        weights: str | None = None,
        cuts: int | None = None,
        freeze_encoder: bool = False,
        target_dim: int = 128,
        max_length: int | None = None,
        **options: Unpack[TextOptions],
    ) -> None:
        embedding, layers = _parts(network, network_args, weights, vocab_size, vocabulary)
        number = len(layers) + 1 if cuts is None else cuts
        if not 2 <= number <= len(layers) + 1:
            raise ValueError(
                f"Expected `cuts` to be in 2..{len(layers) + 1}, the embedding and at most {len(layers)} parts of the "
                f"encoder's layers, but got {number}."
            )
        groups = balance([1.0] * len(layers), number - 1)
        blocks = [nn.Sequential(*layers[own.start : own.stop]) for own in groups]
        state = PooledState("mean", embedding.dim, norm=True)
        super().__init__(
            embedding,
            blocks,
            [state] * number,
            num_classes,
            vocabulary,
            target_dim=target_dim,
            max_length=max_length,
            **options,
        )
        if freeze_encoder:
            self.keep_frozen([embedding, *blocks])


class ConvertedTextBP(ConvertedText, TextBP):
    """A text encoder of BERT's family by backpropagation: mean over a text's own tokens, layer norm and one Linear.

    Args:
        network: see :class:`~al_lightning.ConvertedTextAL`.
        num_classes: K; None with a ``target`` of another kind.
        vocab_size: number of tokens, padding 0 and unknown 1 included; the vocabulary's if None.
        vocabulary: words, ``<pad>`` and ``<unk>`` first; data modules link theirs.
        network_args: of the function.
        weights: file of a state dict that the encoder starts from. In no checkpoint.
        freeze_encoder: whether all but the head keep their weights, in evaluation mode.
        max_length: most tokens of a text in training, for ``predict_text``; data modules link theirs.
        options: see :class:`~al_lightning.BPModule`.

    Raises:
        ValueError: if an argument is out of its range, or the encoder is of another family.
    """

    def __init__(
        self,
        network: Network,
        num_classes: int | None = None,
        vocab_size: int | None = None,
        vocabulary: Vocabulary | None = None,
        *,
        network_args: dict[str, Any] | None = None,
        weights: str | None = None,
        freeze_encoder: bool = False,
        max_length: int | None = None,
        **options: Unpack[BPOptions],
    ) -> None:
        embedding, layers = _parts(network, network_args, weights, vocab_size, vocabulary)
        super().__init__(
            embedding,
            layers,
            "mean",
            lambda width: nn.Sequential(nn.LayerNorm(embedding.dim), nn.Linear(embedding.dim, width)),
            num_classes,
            vocabulary,
            max_length=max_length,
            **options,
        )
        if freeze_encoder:
            self.keep_frozen([embedding, *layers])
