"""A BERT of Hugging Face's, by its list of layers: what it computes is what it computed, and padding is never read."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from networks import batches, build, inputs
from small_networks import small_resnet, tiny_bert
from torch import Tensor, nn

from al_lightning.nn.sequence import Tokens
from al_lightning.nn.text_encoder import encoder_parts
from al_lightning.serving import export_path

BOTH = ["ConvertedTextAL", "ConvertedTextBP"]


def tokens() -> tuple[Tensor, Tensor]:
    x = inputs("ConvertedTextAL", 6)
    return x, (x != 0).sum(1).clamp(min=1)


def test_states_are_those_of_the_encoder_itself() -> None:
    """Hugging Face's own forward, which is told by a mask what is padding."""
    bert = tiny_bert(20, layers=3).eval()
    x, lengths = tokens()
    theirs = bert(
        input_ids=x, attention_mask=(torch.arange(7) < lengths.unsqueeze(1)).long(), output_hidden_states=True
    )
    embedding, layers = encoder_parts(bert)
    state = embedding(x)
    for layer, expected in zip([None, *layers], theirs.hidden_states):
        state = state if layer is None else layer(state)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(state.features[row, :length], expected[row, :length])
    assert len(layers) == 3


@pytest.mark.parametrize("name", BOTH)
def test_padding_never_changes_a_prediction(name: str) -> None:
    module = build(name).eval()
    x, lengths = tokens()
    further = torch.cat([x, torch.zeros(6, 5, dtype=torch.long)], 1)
    torch.testing.assert_close(module(further), module(x))
    torch.testing.assert_close(module(Tokens(x, lengths)), module(x))
    torch.testing.assert_close(module(x[2:3, : int(lengths[2])])[0], module(x)[2])


@pytest.mark.parametrize("cuts", [None, 2, 3])
def test_layers_are_grouped(cuts: int | None) -> None:
    module = build("ConvertedTextAL", network_args={"layers": 3}, cuts=cuts)
    sizes = [sum(1 for n, _ in layer.f.named_modules() if n.endswith("attention.self")) for layer in module.layers]
    assert sizes == {None: [0, 1, 1, 1], 2: [0, 3], 3: [0, 1, 2]}[cuts]
    for wrong in (1, 5):
        with pytest.raises(ValueError, match=rf"`cuts` to be in 2\.\.4, .*but got {wrong}"):
            build("ConvertedTextAL", network_args={"layers": 3}, cuts=wrong)


@pytest.mark.parametrize("name", BOTH)
def test_it_learns(name: str, trainer: Callable[..., pl.Trainer]) -> None:
    module = build(name, optimizer=functools.partial(torch.optim.Adam, lr=1e-2))
    fitted = trainer(max_epochs=15)
    fitted.fit(module, batches(name, 64), batches(name, 32))
    assert float(fitted.callback_metrics["val_acc"]) > 0.9


@pytest.mark.parametrize("name", BOTH)
def test_a_frozen_encoder_stays_as_it_is(name: str, trainer: Callable[..., pl.Trainer]) -> None:
    module = build(name, network_args={"dropout": 0.5}, freeze_encoder=True)
    before = {n: value.clone() for n, value in module.state_dict().items()}
    trainer(max_epochs=1).fit(module, batches(name), batches(name, 12))
    after = module.state_dict()
    module.train()
    blocks = [layer.f for layer in module.layers] if name.endswith("AL") else list(module.net[:3])
    frozen = {id(p) for block in blocks for p in block.parameters()}
    assert len(frozen) == len(list(tiny_bert(20).parameters()))
    for n, p in module.named_parameters():
        assert torch.equal(after[n], before[n]) == (not p.requires_grad) == (id(p) in frozen)
    x = tokens()[0]
    state, again = x, x
    for block in blocks:  # without dropout
        state, again = block(state), block(again)
    assert torch.equal(state.features, again.features)


def test_weights_come_from_a_file_and_words_from_the_data(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(tiny_bert(20).state_dict(), tmp_path / "bert.pt")
    module = build("ConvertedTextAL", weights=str(tmp_path / "bert.pt"))
    words = module.layers[0].f.embeddings.word_embeddings.weight
    assert torch.equal(words, torch.load(tmp_path / "bert.pt", weights_only=True)["embeddings.word_embeddings.weight"])
    theirs = {
        f"bert.{name}": value for name, value in tiny_bert(20).state_dict().items()
    }  # as a classifier's file has it
    theirs |= {"bert.pooler.dense.weight": torch.zeros(8, 8), "bert.embeddings.position_ids": torch.arange(40)[None],
               "classifier.weight": torch.zeros(2, 8)}  # fmt: skip
    torch.save(theirs, tmp_path / "classifier.pt")
    words = (
        build("ConvertedTextAL", weights=str(tmp_path / "classifier.pt")).layers[0].f.embeddings.word_embeddings.weight
    )
    assert torch.equal(words, theirs["bert.embeddings.word_embeddings.weight"])
    vocabulary = ["<pad>", "<unk>", "a", "good", "bad"]
    module = build("ConvertedTextAL", vocab_size=None, vocabulary=vocabulary, class_names=["n", "p"], num_classes=2)
    assert module.vocab_size == 5
    assert [name in ("n", "p") for name, _ in module.predict_text(["good", "a bad", ""])] == [True] * 3


def wrong(**options: Any) -> Callable[[], Any]:
    return lambda: build("ConvertedTextAL", **options)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (wrong(network=lambda vocab_size: small_resnet()), "a text encoder with `embeddings` and a list of layers `encoder.layer`.* got a SmallResNet"),
        (wrong(network=lambda vocab_size: tiny_bert(9)), "an encoder for at least 20 words, but got one for 9"),
        (wrong(network=lambda: tiny_bert(20)), r"arguments that <lambda> accepts, but got {'vocab_size': 20}"),
        (wrong(vocab_size=None), "`vocab_size` or `vocabulary` to say how many words there are, but got neither"),
        (wrong(weights="none.pt"), "`weights` to be the file of a state dict, but there is none at none.pt"),
        (lambda: build("ConvertedTextAL", network_args={"positions": 5})(tokens()[0]), "texts of at most 5 tokens, .* but got 7. Set `max_length`"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_a_sentence(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"Expected .*{said}"):
        make()


def test_an_encoder_that_pads_otherwise_is_refused() -> None:
    """RoBERTa counts positions from its padding, which is another word here; told so, it reads fewer positions."""
    from transformers import RobertaConfig, RobertaModel

    def roberta(pad: int) -> nn.Module:
        return RobertaModel(RobertaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                          intermediate_size=8, max_position_embeddings=12, pad_token_id=pad))  # fmt: skip

    with pytest.raises(ValueError, match="an encoder that pads with 0, .* pads with 1. Build it with `pad_token_id=0`"):
        encoder_parts(roberta(1))
    embedding = encoder_parts(roberta(0)).embedding
    assert embedding.longest == 11
    assert embedding(torch.ones(1, 11, dtype=torch.long)).features.shape == (1, 11, 8)
    with pytest.raises(ValueError, match="texts of at most 11 tokens"):
        embedding(torch.ones(1, 12, dtype=torch.long))


def test_embeddings_without_positions_are_refused() -> None:
    bert = tiny_bert(20)
    bert.embeddings.position_embeddings = nn.Identity()
    with pytest.raises(ValueError, match="embeddings of a text encoder to have `position_embeddings`, an nn.Embedding"):
        encoder_parts(bert)


@pytest.mark.parametrize("length", [1, 2, 39])
def test_exported_it_reads_texts_of_any_length_but_one_position(length: int) -> None:
    module = build("ConvertedTextAL").eval()
    exported = export_path(module, "bert.pt2", readout="codes")
    assert json.loads(exported.description.read_text())["preparation"]["max_length"] == 39
    x = torch.randint(1, 20, (3, length))
    said = torch.export.load("bert.pt2").module()(x)["scores"]
    torch.testing.assert_close(said, module(x, readout="codes").detach(), atol=1e-5, rtol=1e-5)
