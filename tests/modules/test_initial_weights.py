"""What the weights of the image networks are drawn from: He-normal with zero biases, but for linear bridges."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import nn

import al_lightning as al

#: Sizes at which every matrix has enough numbers to tell distributions apart.
SIZES: dict[str, dict[str, Any]] = {
    "MLPAL": dict(in_channels=1, image_size=8, hidden_dims=[64, 64], target_dim=64),
    "CNNAL": dict(in_channels=1, image_size=8, target_dim=64),
    "VGGAL": dict(in_channels=1, image_size=16, target_dim=64),
    "ResNetAL": dict(in_channels=1, image_size=8, depth=8, target_dim=64),
    "MLPBP": dict(in_channels=1, image_size=8, hidden_dims=[64, 64]),
    "CNNBP": dict(in_channels=1, image_size=8),
    "VGGBP": dict(in_channels=1, image_size=16),
    "ResNetBP": dict(in_channels=1, image_size=8, depth=8),
}


def weighted(module: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [part for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]


def is_he_normal(part: nn.Conv2d | nn.Linear) -> bool:
    """Normal with variance 2 / fan_in (He et al., 2015), by the Kolmogorov-Smirnov test at 1 in 100,000."""
    deviation = math.sqrt(2 / part.weight[0].numel())
    drawn = part.weight.detach().flatten()[:20_000].numpy()
    zero = part.bias is None or not part.bias.any()
    return zero and bool(kstest(drawn, "norm", (0, deviation)).pvalue > 1e-5)


def is_torchs_default(part: nn.Conv2d | nn.Linear) -> bool:
    """Uniform in plus and minus 1 / sqrt(fan_in)."""
    bound = 1 / math.sqrt(part.weight[0].numel())
    drawn = part.weight.detach().flatten()[:20_000].numpy()
    return bool(kstest(drawn, "uniform", (-bound, 2 * bound)).pvalue > 1e-5)


@pytest.mark.parametrize("options", [dict(bridge="paper"), dict(bridge_activation="sigmoid"), {}])
@pytest.mark.parametrize("name", [n for n in SIZES if n.endswith("AL")])
def test_the_functions_of_a_layer_start_alike(name: str, options: dict[str, Any]) -> None:
    """All four as in the published code, but for the linear bridge, which that does not have."""
    for layer in getattr(al, name)(16, **options, **SIZES[name]).layers:
        for function in (layer.f, layer.b, layer.g, layer.h):
            parts = weighted(function)
            assert parts
            expected = is_torchs_default if function is layer.b and not options else is_he_normal
            assert all(expected(part) for part in parts)


@pytest.mark.parametrize("name", [n for n in SIZES if n.endswith("BP")])
def test_the_sibling_starts_like_them(name: str) -> None:
    parts = weighted(getattr(al, name)(16, **SIZES[name]).net)
    assert all(is_he_normal(part) for part in parts)


def test_the_test_tells_torchs_default_from_he_normal() -> None:
    assert not is_he_normal(nn.Linear(64, 16))


def test_blocks_that_a_user_brings_keep_their_weights() -> None:
    blocks = [nn.Sequential(nn.Flatten(), nn.Linear(64, 32)), nn.Linear(32, 32)]
    before = [p.detach().clone() for block in blocks for p in block.parameters()]
    module = al.ConvertedAL(blocks, 16, 1, 8, target_dim=64, bridge="paper")
    assert all(torch.equal(a, b) for a, b in zip(before, (p for block in blocks for p in block.parameters())))
    for layer in module.layers:
        assert all(is_he_normal(part) for f in (layer.b, layer.g, layer.h) for part in weighted(f))
    head = nn.Linear(32, 16)
    start = head.weight.detach().clone()
    al.ConvertedBP(blocks, lambda width: head, 16, 1, 8)
    assert torch.equal(head.weight, start)
