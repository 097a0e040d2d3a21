"""Bridges, layer by layer, against the formulas written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from networks import IMAGE, TEXT, batches, build, inputs

from al_lightning.nn.bridges import make_bridge, pooled_size
from al_lightning.nn.sequence import PooledState, TokenSequence, sequence_bridge

AL = [name for name in [*IMAGE, *TEXT] if name.endswith("AL")]


def means(x: torch.Tensor, size: int) -> torch.Tensor:
    """Means over windows that do not overlap, one at a time."""
    step = x.shape[-1] // size
    rows = [[x[..., i * step : (i + 1) * step, j * step : (j + 1) * step].mean((-1, -2)) for j in range(size)]
            for i in range(size)]  # fmt: skip
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@pytest.mark.parametrize(("pool", "size"), [(4, 4), (7, 7), (8, 7), (28, 28)])
def test_a_lean_bridge_is_means_and_a_linear_map(pool: int, size: int) -> None:
    bridge: Any = make_bridge("lean", (2, 28, 28), 5, pool=pool)
    x, linear = torch.randn(3, 2, 28, 28), bridge[-1]
    expected = means(x, size).flatten(1) @ linear.weight.T + linear.bias
    torch.testing.assert_close(bridge(x), expected, atol=1e-5, rtol=1e-5)


def test_a_dense_bridge_has_a_hidden_layer() -> None:
    bridge: Any = make_bridge("dense", (2, 28, 28), 5, pool=7, hidden=6)
    x = torch.randn(4, 2, 28, 28)
    first, norm, _, last = bridge[2:]
    hidden = means(x, 7).flatten(1) @ first.weight.T + first.bias
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + norm.eps).sqrt()
    expected = F.elu(hidden) @ last.weight.T + last.bias
    torch.testing.assert_close(bridge(x), expected, atol=1e-4, rtol=1e-4)
    assert hidden.shape == (4, 6)


@pytest.mark.parametrize(("pool", "stride"), [(4, 2), (14, 1)])
def test_a_convolutional_bridge_is_a_convolution_and_a_dense_bridge(pool: int, stride: int) -> None:
    bridge: Any = make_bridge("conv", (3, 14, 14), 5, pool=pool, hidden=6)
    x = torch.randn(4, 3, 14, 14)
    conv, norm = bridge[:2]
    assert (conv.out_channels, conv.stride) == (6, (stride, stride))
    columns = F.unfold(x, 3, padding=1, stride=stride)  # each column a 3x3 window of all channels
    features = torch.einsum("ok,bkn->bon", conv.weight.flatten(1), columns) + conv.bias[:, None]
    features = features.unflatten(2, (14 // stride, 14 // stride))
    mean, variance = features.mean((0, 2, 3), keepdim=True), features.var((0, 2, 3), correction=0, keepdim=True)
    features = F.elu((features - mean) / (variance + norm.eps).sqrt())
    dense: Any = make_bridge("dense", (6, 14 // stride, 14 // stride), 5, pool=pool, hidden=6)
    dense.load_state_dict({f"{int(n.split('.')[0]) - 3}.{n.split('.')[1]}": v for n, v in bridge.state_dict().items()
                           if int(n.split(".")[0]) > 2})  # fmt: skip
    torch.testing.assert_close(bridge(x), dense(features), atol=1e-4, rtol=1e-4)


def test_a_convolutional_bridge_of_vectors_is_dense() -> None:
    assert str(make_bridge("conv", (7,), 5)) == str(make_bridge("dense", (7,), 5))


def test_text_has_no_convolutional_bridge() -> None:
    with pytest.raises(ValueError, match="`bridge` to be 'lean', 'dense' or 'paper', but got 'conv'"):
        build("LSTMAL", bridge="conv")


def test_a_dense_bridge_of_a_text_does_not_depend_on_padding_or_other_texts() -> None:
    bridge = sequence_bridge("dense", PooledState("mean", 4), 5)
    features, lengths = torch.randn(2, 3, 4), torch.tensor([3, 2])
    longer = torch.cat([features, torch.randn(2, 2, 4)], 1)
    torch.testing.assert_close(bridge(TokenSequence(longer, lengths)), bridge(TokenSequence(features, lengths)))
    alone = bridge(TokenSequence(features[:1], lengths[:1]))
    torch.testing.assert_close(bridge(TokenSequence(features, lengths))[:1], alone)


@pytest.mark.parametrize(
    ("name", "bridge"), [*((name, "dense") for name in AL), *((name, "conv") for name in AL if name in IMAGE)]
)
def test_every_network_takes_one(name: str, bridge: Any, trainer: Any) -> None:
    module = build(name, bridge=bridge)
    start = {n: p.detach().clone() for n, p in module.named_parameters()}
    trainer(max_epochs=1, enable_checkpointing=False).fit(module, batches(name))
    assert all(not torch.equal(start[n], p) for n, p in module.named_parameters() if ".b." in n and "weight" in n)
    assert module.eval()(inputs(name)).shape == (5, 4)


@pytest.mark.parametrize("size", [1, 4, 5, 6, 7, 8, 11, 13, 14, 16, 28, 32, 224])
@pytest.mark.parametrize("pool", [1, 4, 7, 8])
def test_windows_overlap_only_where_they_must(size: int, pool: int) -> None:
    pooled = pooled_size(size, pool)
    assert 1 <= pooled <= min(size, pool)
    assert 2 * pooled > min(size, pool) or pooled == min(size, pool)


def test_the_last_bridge_may_be_a_head_that_reads_the_whole_map() -> None:
    plain, headed = build("CNNAL"), build("CNNAL", last_bridge_dims=(6, 7))
    for layer, other in zip(plain.layers[:-1], headed.layers[:-1]):
        assert str(layer.b) == str(other.b)
    bridge: Any = headed.layers[-1].b
    s = torch.randn(4, 64, *map_size(headed))
    linears = [part for part in bridge if isinstance(part, torch.nn.Linear)]
    assert [part.out_features for part in linears] == [6, 7, plain.layers[-1].b[-1].out_features]
    hidden = s.flatten(1)
    for linear in linears[:-1]:
        hidden = hidden @ linear.weight.T + linear.bias
        hidden = F.elu((hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt())
    expected = hidden @ linears[-1].weight.T + linears[-1].bias
    torch.testing.assert_close(bridge(s), expected, atol=1e-4, rtol=1e-4)


def map_size(module: Any) -> tuple[int, int]:
    s = inputs("CNNAL")
    for layer in module.eval().layers:
        s = layer.f(s)
    module.train()
    return s.shape[-2], s.shape[-1]


def test_a_published_last_bridge_has_hidden_layers_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"`last_bridge_dims` to be left out beside bridge='paper'.*but got \[6\]"):
        build("CNNAL", bridge="paper", last_bridge_dims=(6,))
    with pytest.raises(ValueError, match="`last_bridge_dims` to be at least 1, but got 6, 0"):
        build("CNNAL", last_bridge_dims=(6, 0))


@pytest.mark.parametrize("name", ["bridge_pool", "bridge_dim"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` to be at least 1, but got 0"):
        build("CNNAL", **{name: 0})
