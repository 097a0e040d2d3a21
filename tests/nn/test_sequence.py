"""LSTM and Transformer: padding never matters; results equal packed sequences and hand-written attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.modules.text import TextModule
from al_lightning.nn.lstm import BiLSTM
from al_lightning.nn.sequence import Pool, TokenSequence
from al_lightning.nn.transformer import EncoderLayer, sinusoids

V = 30
WORDS = ["<pad>", "<unk>", *(f"w{n}" for n in range(V - 2))]
NETWORKS: dict[str, dict[str, Any]] = {
    "LSTMAL": dict(embedding_dim=6, hidden_dims=[5, 4], target_dim=8, dropout=0.1),
    "LSTMBP": dict(embedding_dim=6, hidden_dims=[5, 4], dropout=0.1),
    "TransformerAL": dict(embedding_dim=6, feedforward_dims=[8, 8], heads=2, target_dim=8, positions="sinusoidal"),
    "TransformerBP": dict(embedding_dim=6, feedforward_dims=[8, 8], heads=2, positions="sinusoidal"),
}
POST_NORM: dict[str, Any] = dict(norm_first=False, activation="relu")
#: A name, and what is different from the network of that name above.
VARIANTS = [(name, {}) for name in NETWORKS] + [(name, POST_NORM) for name in NETWORKS if "Transformer" in name]


def build(name: str, **options: Any) -> Any:
    torch.manual_seed(1)
    return getattr(al, name)(3, vocabulary=WORDS, class_names=["x", "y", "z"], **{**NETWORKS[name], **options}).eval()


def texts(n: int = 12, length: int = 9) -> torch.Tensor:
    """Tokens of all lengths from 0 to ``length``."""
    x = torch.randint(1, V, (n, length), generator=torch.Generator().manual_seed(0))
    return x * (torch.arange(length) < (torch.arange(n) % (length + 1)).unsqueeze(1))


def all_paths(module: Any, x: torch.Tensor) -> list[torch.Tensor]:
    return module.forward_paths(x) if isinstance(module, al.ALModule) else [module(x)]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("grad", [True, False])
def test_padding_and_order_change_nothing(name: str, options: dict[str, Any], grad: bool) -> None:
    """Without gradients torch takes another, fused path through attention."""
    module, x = build(name, **options), texts()
    with torch.set_grad_enabled(grad):
        expected = all_paths(module, x)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
        for further in (1, 40):
            for scores, right in zip(all_paths(module, F.pad(x, (0, further))[order]), expected):
                assert torch.isfinite(scores).all()
                torch.testing.assert_close(scores, right[order], atol=1e-5, rtol=0)
        for n, row in enumerate(x):
            alone = row[: max(1, int((row != 0).sum()))].unsqueeze(0)
            for scores, right in zip(all_paths(module, alone), expected):
                torch.testing.assert_close(scores[0], right[n], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_padding_changes_no_gradient(name: str, options: dict[str, Any]) -> None:
    def gradients(x: torch.Tensor) -> list[torch.Tensor]:
        module = build(name, dropout=0.0, **options)
        sum(scores.square().sum() for scores in all_paths(module, x)).backward()
        return [p.grad for p in module.parameters() if p.grad is not None]

    ours, padded = gradients(texts()), gradients(F.pad(texts(), (0, 7)))
    assert len(ours) == len(padded) > 5
    for a, b in zip(ours, padded):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_bilstm_is_a_packed_sequence() -> None:
    ours = BiLSTM(4, 3)
    packed = nn.LSTM(4, 3, bidirectional=True, batch_first=True)
    for suffix, direction in (("", ours.forwards), ("_reverse", ours.backwards)):
        for key, value in direction.named_parameters():
            getattr(packed, f"{key}{suffix}").data.copy_(value.data)
    lengths = torch.tensor([5, 1, 3, 7])
    x = torch.randn(4, 7, 4)
    mine = ours(TokenSequence(x, lengths))
    sequence = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, (final, _) = packed(sequence)
    theirs, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    for n, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(mine.features[n, :length], theirs[n, :length])
    torch.testing.assert_close(Pool("final")(mine), torch.cat([final[0], final[1]], -1))


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_layer_is_masked_attention(norm_first: bool, activation: Any, grad: bool) -> None:
    """Attention and feed-forward part, written out for each text without its padding, norms before or after."""
    layer = EncoderLayer(6, 2, 8, 0.0, "sinusoidal", norm_first, activation).eval()
    for norm in (layer.encoder.norm1, layer.encoder.norm2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    inner, attention = layer.encoder, layer.encoder.self_attn
    lengths, features = torch.tensor([4, 1, 6]), torch.randn(3, 6, 6)
    with torch.set_grad_enabled(grad):
        mine = layer(TokenSequence(features, lengths)).features
    pre, post = (lambda norm, z: norm(z) if norm_first else z), (lambda norm, z: z if norm_first else norm(z))
    for n, length in enumerate(lengths.tolist()):
        x = features[n, :length] + 0.1 * sinusoids(length, 6, features)
        q, k, v = (F.linear(pre(inner.norm1, x), attention.in_proj_weight, attention.in_proj_bias)
                   .view(length, 3, 2, 3).permute(1, 2, 0, 3))  # fmt: skip
        mixed = ((q @ k.transpose(1, 2) / 3**0.5).softmax(-1) @ v).transpose(0, 1).reshape(length, 6)
        x = post(inner.norm1, x + attention.out_proj(mixed))
        x = post(inner.norm2, x + inner.linear2(getattr(F, activation)(inner.linear1(pre(inner.norm2, x)))))
        torch.testing.assert_close(mine[n, :length], x, atol=1e-5, rtol=1e-4)


def test_sinusoids_are_those_of_the_paper() -> None:
    t, i = 7, 2
    encoding, angle = sinusoids(10, 8, torch.zeros(1)), t / 10_000 ** (2 * i / 8)
    assert encoding[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
    assert encoding[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)
    assert sinusoids(4, 5, torch.zeros(1)).shape == (4, 5)


def test_mean_pool() -> None:
    features = torch.tensor([[[1.0], [3.0], [torch.nan]], [[5.0], [torch.inf], [1.0]]])
    pooled = Pool("mean")(TokenSequence(features, torch.tensor([2, 1])))
    assert pooled.tolist() == [[2.0], [5.0]]  # what stands behind a text is never read


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_siblings_read_their_states_alike(norm_first: bool, activation: str) -> None:
    """What stands between an encoder layer and its Linear is the same in a bridge as before the sibling's head."""
    ours = build("TransformerAL", norm_first=norm_first, activation=activation)
    theirs = build("TransformerBP", norm_first=norm_first, activation=activation)
    kinds = [nn.LayerNorm, nn.Linear] if norm_first else [nn.Linear]
    assert [type(part) for part in theirs.net[-1]] == kinds
    assert [[type(part) for part in layer.b] for layer in ours.layers] == [[Pool, nn.Linear], *[[Pool, *kinds]] * 2]
    encoders = [*(layer.f.encoder for layer in ours.layers[1:]), theirs.net[1].encoder, theirs.net[2].encoder]
    assert {encoder.norm_first for encoder in encoders} == {norm_first}
    assert {encoder.activation for encoder in encoders} == {getattr(F, activation)}
    x = texts()
    states = [x]
    for layer in ours.layers:
        states.append(layer.f(states[-1]))
    for layer, state in zip(ours.layers[1:], states[2:]):
        read = layer.b[:-1](state)
        mean = Pool("mean")(state)
        torch.testing.assert_close(read, F.layer_norm(mean, (6,)) if norm_first else mean)


def test_the_siblings_hidden_part_of_a_post_norm_transformer_is_torchs_default() -> None:
    usual = nn.TransformerEncoderLayer(6, 2, 8, 0.0)
    ours = build("TransformerBP", **POST_NORM).net[1].encoder
    assert (ours.norm_first, ours.activation) == (usual.norm_first, usual.activation)


@pytest.mark.parametrize(("bridge", "activation", "last"), [
    ("lean", None, nn.Linear), ("lean", "tanh", nn.Tanh), ("lean", "sigmoid", nn.Sigmoid), ("paper", None, nn.Tanh),
])  # fmt: skip
def test_bridges_of_text_and_their_activation(bridge: str, activation: str | None, last: type[nn.Module]) -> None:
    for name in ("LSTMAL", "TransformerAL"):
        for layer in build(name, bridge=bridge, bridge_activation=activation).layers:
            assert type(layer.b[-1]) is last


def test_positions_distinguish_order() -> None:
    x = torch.tensor([[3, 4, 5], [5, 4, 3]])
    ordered, bag = build("TransformerBP"), build("TransformerBP", positions=None)
    assert not torch.allclose(ordered(x)[0], ordered(x)[1], atol=1e-4)
    torch.testing.assert_close(bag(x)[0], bag(x)[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_no_text_gets_a_sentence(name: str) -> None:
    module = build(name)
    for x, message in (
        (torch.randn(2, 3), r"tokens of shape \(B, T\) and type int64"),
        (torch.randint(1, 9, (2, 3, 4)), r"got \(2, 3, 4\)"),
        (torch.zeros(2, 0, dtype=torch.long), "T at least 1"),
        (torch.tensor([[1, V]]), f"tokens in 0..{V - 1}.*but got {V}"),
        (torch.tensor([[1, -1]]), "but got -1"),
        (torch.tensor([[0, 1]]), "padded with 0 on the right"),
    ):
        with pytest.raises(ValueError, match=message):
            module(x)


@pytest.mark.parametrize("name", NETWORKS)
def test_predict_text(name: str) -> None:
    module = build(name)
    module.calibration.temperatures.fill_(0.5)
    module.train()
    results = module.predict_text(["w3 w4, unheard of", "", "w5 " * 100])
    assert module.training
    module.eval()
    x = torch.zeros(3, 100, dtype=torch.long)
    x[0, :5] = torch.tensor([5, 6, 1, 1, 1])
    x[2] = 7
    value, label = (module(x) / 0.5).softmax(-1).max(-1)
    for (got, probability), p, k in zip(results, value.tolist(), label.tolist()):
        assert got == "xyz"[k]
        assert probability == pytest.approx(p, abs=1e-5)
    assert module.predict_text([]) == []
    with pytest.raises(TypeError, match="a list of texts, but got one string"):
        module.predict_text("w3")
    with pytest.raises(ValueError, match="knows its vocabulary"):
        getattr(al, name)(3, vocab_size=V, **NETWORKS[name]).predict_text(["w3"])


@pytest.mark.parametrize("name", NETWORKS)
def test_text_is_cut_where_the_training_text_was(name: str) -> None:
    long, short = "w3 " * 8 + "w9 " * 1195 + "w20 w5 w7 w14 w11", "w3 " * 8
    cut, uncut = build(name, max_length=8), build(name)
    assert cut.predict_text([long]) == cut.predict_text([short])
    assert cut.predict_text([long], max_length=2000) == cut.predict_text([long], max_length=1208)
    assert cut.predict_text([long], max_length=1208) != cut.predict_text([long])
    assert uncut.predict_text([long]) == uncut.predict_text([long], max_length=1208)
    assert uncut.predict_text([long]) != uncut.predict_text([long], max_length=1000)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"Expected `max_length` to be at least 1, .* but got {wrong}"):
            cut.predict_text([long], max_length=wrong)
        with pytest.raises(ValueError, match=f"Expected `max_length` to be at least 1, .* but got {wrong}"):
            build(name, max_length=wrong)


def test_word_vectors_enter_the_embedding(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("w1 1 2 3 4 5 6\nother 0 0 0 0 0 0\nw0 6 5 4 3 2 1\n")
    module = build("LSTMAL", glove=str(tmp_path / "v.txt"))
    weight = module.layers[0].f.embedding.weight
    assert weight[2].tolist() == [6, 5, 4, 3, 2, 1]
    assert weight[3].tolist() == [1, 2, 3, 4, 5, 6]
    assert not weight[0].any()


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_row_stays_zero_and_its_share_is_logged(name: str, trainer: Callable[..., pl.Trainer]) -> None:
    module, x = build(name), texts(24)
    fitted = trainer(max_epochs=1)
    fitted.fit(module, DataLoader(TensorDataset(x, torch.arange(24) % 3), batch_size=8))
    assert fitted.callback_metrics["train_padding"] == pytest.approx((x == 0).float().mean().item())
    embedding = next(m for m in module.modules() if isinstance(m, nn.Embedding))
    assert not embedding.weight[0].any()


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpoint_carries_the_vocabulary_and_needs_no_vectors(
    name: str, trainer: Callable[..., pl.Trainer], tmp_path: Path
) -> None:
    (tmp_path / "v.txt").write_text("w1 1 2 3 4 5 6\n")
    module = build(name, glove=str(tmp_path / "v.txt"))
    fitted = trainer(max_epochs=1)
    data = DataLoader(TensorDataset(texts(24), torch.arange(24) % 3), batch_size=8)
    fitted.fit(module, data)
    fitted.save_checkpoint("a.ckpt")
    (tmp_path / "v.txt").unlink()
    again = type(module).load_from_checkpoint("a.ckpt")
    assert isinstance(again, TextModule)
    assert again.vocabulary == WORDS
    assert again.predict_text(["w1 w2"]) == module.predict_text(["w1 w2"])
    other = getattr(al, name)(3, vocabulary=[*WORDS[:-2], "new", WORDS[-1]], **NETWORKS[name])
    with pytest.raises(ValueError, match=r"token 28 is 'new' instead of 'w26'"):
        trainer(max_epochs=2).fit(other, data, ckpt_path="a.ckpt")
