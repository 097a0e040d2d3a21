"""A path that ends at the embedding sums vectors up while it looks them up, and nobody can tell but by the time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import al_lightning as al
from al_lightning.nn.embedding import TokenEmbedding
from al_lightning.nn.exits import exit_early
from al_lightning.nn.sequence import PooledState, Tokens, TokenSequence, sequence_bridge

V, D = 11, 6


def layer(pooling: Any = "mean") -> tuple[TokenEmbedding, nn.Module]:
    torch.manual_seed(0)
    f = TokenEmbedding(V, D, torch.randn(V, D), dropout=0.5).eval()
    return f, sequence_bridge("dense", PooledState(pooling, D), 5).eval()


def tokens() -> Tokens:
    """Texts of 0 to 4 tokens, with words where padding should be."""
    return Tokens(torch.randint(1, V, (5, 4), generator=torch.Generator().manual_seed(1)), torch.arange(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("counted", [True, False])
@torch.no_grad()
def test_what_it_says_is_what_the_two_modules_say(counted: bool, dtype: torch.dtype) -> None:
    f, bridge = (part.to(dtype) for part in layer())
    x: Any = tokens()
    if counted:
        x = x.tokens * (torch.arange(4) < x.lengths.unsqueeze(1))
    found = f.bridged(x, bridge)
    vectors = f.embedding.weight[x if counted else x.tokens]
    means = torch.stack([vectors[n, : max(n, 1)].mean(0) for n in range(5)])
    expected = bridge[1:](means)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found, bridge(f(x)), atol=1e-6, rtol=0)


@torch.no_grad()
def test_whoever_wants_to_see_the_vectors_sees_them() -> None:
    x = tokens()
    for pooling, faster in (("mean", True), ("final", False)):
        f, bridge = layer(pooling)
        assert (f.bridged(x, bridge) is not None) == faster
    for part in ("f", "embedding", "bridge", "pool"):
        f, bridge = layer()
        hooked = {"f": f, "embedding": f.embedding, "bridge": bridge, "pool": bridge[0]}[part]
        handle = hooked.register_forward_hook(lambda *_: None)
        assert f.bridged(x, bridge) is None
        handle.remove()
        hooked.register_forward_pre_hook(lambda *_: None)
        assert f.bridged(x, bridge) is None
    f, bridge = layer()
    assert f.train().bridged(x, bridge) is None  # dropout is on single features of single tokens
    f, bridge = layer()
    with torch.enable_grad():  # a lookup gives the vector of padding no gradient, a sum would
        assert f.bridged(x, bridge) is None
    f, bridge = (part.bfloat16() for part in layer())
    assert f.bridged(x, bridge) is None

    f, bridge = layer()
    f.embedding.max_norm = 0.1  # a lookup shortens the vectors first
    assert f.bridged(x, bridge) is None

    class Own(nn.Embedding):
        """A user's lookup."""

    f, bridge = layer()
    f.embedding = Own(V, D)
    assert f.bridged(x, bridge) is None

    class Louder(TokenEmbedding):
        """A user's embedding."""

        def forward(self, x: Any) -> TokenSequence:
            sequence = super().forward(x)
            return sequence._replace(features=2 * sequence.features)

    assert Louder(V, D, None, 0.0).eval().bridged(x, bridge) is None


@torch.no_grad()
def test_early_exits_look_up_what_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = al.LSTMAL(3, vocab_size=V, embedding_dim=D, hidden_dims=[4], target_dim=5).eval()
    x = tokens().tokens * (torch.arange(4) < torch.tensor([4, 4, 2, 2, 1]).unsqueeze(1))
    leaves = torch.tensor([True, True, False, False, False])
    seen: list[TokenSequence] = []
    forward = TokenEmbedding.forward

    def spy(self: TokenEmbedding, x: Any) -> TokenSequence:
        seen.append(forward(self, x))
        return seen[-1]

    monkeypatch.setattr(TokenEmbedding, "forward", spy)
    above: list[TokenSequence] = []
    module.layers[1].f.register_forward_pre_hook(lambda f, args: above.append(args[0]))
    scores, lengths = exit_early(module.layers.active(), x, lambda path, k: leaves)
    assert [len(sequence.features) for sequence in seen] == [3]
    assert above[0].features.shape == (3, 2, D)  # without the padding that only those needed which left
    assert lengths.tolist() == [1, 1, 2, 2, 2]
    torch.testing.assert_close(scores[2:], module(x)[2:], atol=1e-6, rtol=0)
    torch.testing.assert_close(scores[:2], module(x, 1)[:2], atol=1e-6, rtol=0)
