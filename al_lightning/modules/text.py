"""Text networks from their embedding and blocks: by Associated Learning, and by backpropagation with a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import nn
from typing_extensions import Unpack

from al_lightning.callbacks.text_report import TextReport
from al_lightning.modules.al import ALModule
from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.bp import BPModule
from al_lightning.modules.options import AssociatedOptions, BPOptions, split_options
from al_lightning.nn.bridges import BridgeKind, SquashingActivation
from al_lightning.nn.convert import associate, code_width
from al_lightning.nn.embedding import TokenEmbedding
from al_lightning.nn.inputs import TokenCheck
from al_lightning.nn.sequence import Pool, PooledState, Pooling, sequence_bridge
from al_lightning.nn.text_encoder import EncoderEmbedding
from al_lightning.nn.vocabulary import TextEncoder
from al_lightning.targets.classes import as_target

#: The first part of a text network.
Embedding: TypeAlias = TokenEmbedding | EncoderEmbedding

#: Texts that are predicted at a time.
PREDICTED = 64


class TextModule(SupervisedModule):
    """Abstract part of every text network: ``x`` is tokens (B, T) int64, right-padded with 0, or ``Tokens``.

    With the data's vocabulary, which checkpoints keep as plain strings, raw text can be predicted.
    """

    # Where a network starts from is in its weights afterwards; the file may be gone.
    run_time_arguments: ClassVar[frozenset[str]] = SupervisedModule.run_time_arguments | {"glove"}
    unrecorded_arguments: ClassVar[frozenset[str]] = SupervisedModule.unrecorded_arguments | {"glove"}
    # With another vocabulary every word would mean another.
    matching_arguments: ClassVar[frozenset[str]] = frozenset({"vocabulary"})

    #: Words, ``<pad>`` and ``<unk>`` first; None if only their number is known.
    vocabulary: list[str] | None = None
    vocab_size: int
    #: Most tokens of a text in training, the rest of which was cut off; None if nothing was cut.
    max_length: int | None = None

    def read_text(self, embedding: Embedding, vocabulary: Sequence[str] | None, max_length: int | None = None) -> None:
        """Say which tokens there are, and how many of a text are read; called once, by a constructor.

        Raises:
            ValueError: if ``max_length`` is below 1.
        """
        _check_max_length(max_length)
        self.max_length = max_length
        self.vocab_size = embedding.vocab_size
        self.vocabulary = None if vocabulary is None else list(vocabulary)
        self.input_check = TokenCheck(self.vocab_size, embedding.longest)
        self.own_callbacks.append(TextReport(embedding.found))

    def trained_with(self, max_length: int) -> None:
        """Take over where the training data cut texts off, so that ``predict_text`` and checkpoints do the same."""
        self.max_length = max_length
        if "max_length" in self.plain_arguments():  # else the constructor does not take it
            self.record(max_length=max_length)

    def predict_text(self, texts: Sequence[str], max_length: int | None = None) -> list[tuple[str | float, ...]]:
        """What the network says of each text: for classes, name and calibrated probability.

        Args:
            texts: raw texts; an empty one is predicted too.
            max_length: most tokens of one text; the rest is cut off. As in training if None, where nothing is cut if
                the network does not know it.

        Returns:
            One tuple per text, in order. Computed in evaluation mode, without gradients.

        Raises:
            ValueError: if the network does not know its vocabulary, or ``max_length`` is below 1.
            TypeError: if ``texts`` is a single string.
        """
        if isinstance(texts, str):
            raise TypeError("Expected a list of texts, but got one string. Put it into a list.")
        if self.vocabulary is None:
            raise ValueError(
                "Expected a network that knows its vocabulary, but this was built from `vocab_size` alone. "
                "Pass `vocabulary` when building it."
            )
        _check_max_length(max_length)
        encode = TextEncoder(self.vocabulary, self.max_length if max_length is None else max_length)
        was_training = self.training
        self.eval()
        results: list[tuple[str | float, ...]] = []
        try:
            with torch.no_grad():
                for start in range(0, len(texts), PREDICTED):
                    x = encode(texts[start : start + PREDICTED]).to(self.device)
                    results += self.target.rows(self.predictions(self(x)))
        finally:
            self.train(was_training)
        return results


def _check_max_length(max_length: int | None) -> None:
    if max_length is not None and max_length < 1:
        raise ValueError(f"Expected `max_length` to be at least 1, or None to cut nothing, but got {max_length}.")


class TextAL(TextModule, ALModule):
    """An embedding and blocks over sequences, each an AL layer.

    Args:
        embedding: AL layer 1.
        blocks: the encoders ``f_2 .. f_L`` in order.
        bridges: how each layer's sequence, the embedding's first, becomes the vector that its bridge reads.
        num_classes: K; None with a ``target`` of another kind.
        vocabulary: words, ``<pad>`` and ``<unk>`` first, or None.
        target_dim: N, width of every encoded target (Tables 7 and 8: 128).
        bridge: ``"lean"`` (Linear, as the text of the paper says), ``"dense"`` (Linear, layer norm, ELU, Linear) or
            ``"paper"`` (Linear and tanh, as in the published code).
        bridge_activation: what follows a lean bridge's Linear: ``"tanh"``, ``"sigmoid"`` or nothing.
        max_length: most tokens of a text in training, for ``predict_text``; taken from the data when a fit starts.
        single_layer: make embedding and blocks one AL layer, trained end to end, with a single autoencoder behind it
            (Table 6, "LSTM + AE*1").
        options: see :class:`~al_lightning.modules.options.AssociatedOptions` and :class:`~al_lightning.ALModule`.
    """

    def __init__(
        self,
        embedding: Embedding,
        blocks: Sequence[nn.Module],
        bridges: Sequence[PooledState],
        num_classes: int | None,
        vocabulary: Sequence[str] | None,
        *,
        target_dim: int = 128,
        bridge: BridgeKind = "lean",
        bridge_activation: SquashingActivation | None = None,
        max_length: int | None = None,
        single_layer: bool = False,
        **options: Unpack[AssociatedOptions],
    ) -> None:
        target = as_target(num_classes, options.get("class_names"), options.get("target"))
        association, rest = split_options(options, target)
        encoders: list[nn.Module] = [embedding, *blocks]
        if single_layer:
            encoders, bridges = [nn.Sequential(*encoders)], bridges[-1:]
        width = code_width(target_dim, target.width, association["association"])
        layers = associate(
            encoders,
            [sequence_bridge(bridge, state, width, bridge_activation) for state in bridges],
            target.width,
            target_dim,
            **association,
        )
        super().__init__(layers, num_classes, **rest)
        self.read_text(embedding, vocabulary, max_length)


class TextBP(TextModule, BPModule):
    """An embedding, blocks over sequences and a head, trained end to end.

    Args:
        embedding: tokens to vectors.
        blocks: the rest of the trunk, in order.
        pooling: how the last sequence becomes a vector.
        head: builds the rest of the network for a number of scores: from that vector to (B, width).
        num_classes: K; None with a ``target`` of another kind.
        vocabulary: words, ``<pad>`` and ``<unk>`` first, or None.
        max_length: most tokens of a text in training, for ``predict_text``; taken from the data when a fit starts.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        embedding: Embedding,
        blocks: Sequence[nn.Module],
        pooling: Pooling,
        head: Callable[[int], nn.Module],
        num_classes: int | None,
        vocabulary: Sequence[str] | None,
        *,
        max_length: int | None = None,
        **options: Unpack[BPOptions],
    ) -> None:
        target = as_target(num_classes, options.get("class_names"), options.get("target"))
        net = nn.Sequential(embedding, *blocks, Pool(pooling), head(target.width))
        super().__init__(net, num_classes, **options)
        self.read_text(embedding, vocabulary, max_length)
