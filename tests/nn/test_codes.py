"""Codes that start at a simplex: where they are, that they learn, and who is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import build
from torch import Tensor, nn

import al_lightning as al
from al_lightning.nn.codes import simplex
from al_lightning.nn.convert import associate
from al_lightning.nn.path import encode_classes


def cosines(codes: Tensor) -> Tensor:
    """Of all pairs of different codes."""
    similar = nn.functional.cosine_similarity(codes[:, None], codes[None], dim=-1)
    return similar[~torch.eye(len(codes), dtype=torch.bool)]


@pytest.mark.parametrize(("classes", "width"), [(2, 2), (10, 64), (64, 64)])
def test_a_simplex_is_equally_far_in_all_directions(classes: int, width: int) -> None:
    vertices = simplex(classes, width)
    torch.testing.assert_close(cosines(vertices), torch.full((classes * (classes - 1),), -1 / (classes - 1)))
    torch.testing.assert_close(vertices.sum(0), torch.zeros(width), atol=1e-4, rtol=0)
    assert float(vertices.square().mean()) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", ["CNNAL", "LSTMAL"])
def test_codes_of_every_layer_start_near_a_simplex(name: str) -> None:
    """Those that start at random lie near each other here and there; these do not, however deep."""
    largest: dict[str, float] = {}
    for start in ("random", "simplex"):
        torch.manual_seed(0)
        module: Any = build(name, association="contrast", code_start=start, target_dim=64)
        codes = encode_classes(module.layers, torch.eye(4))
        largest[start] = max(float(cosines(code).max()) for code in codes)
        assert all(p.requires_grad for layer in module.layers for p in layer.g.parameters())
    assert largest["simplex"] < 0 < largest["random"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code_start": "cube"}, "`code_start` to be 'random' or 'simplex', but got 'cube'"),
        (
            {"code_start": "simplex", "target_dim": 9},
            "`target_dim` to be at least 10, the number of classes.*but got 9",
        ),
        ({"code_start": "simplex", "association": "cross_entropy"}, "'random' beside association='cross_entropy'"),
        ({"code_start": "simplex", "target_activation": "sigmoid"}, "'random' beside codes by sigmoid"),
        ({"temperature": 0.0}, "`temperature` to be above 0, but got 0.0"),
    ],
)
def test_mistakes_get_a_sentence(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        al.CNNAL(10, **options)


def test_a_target_of_one_number_has_no_simplex() -> None:
    with pytest.raises(ValueError, match="at least 2 classes for code_start='simplex', but got a target of width 1"):
        associate([nn.Linear(3, 4)], [nn.Linear(4, 5)], 1, 5, code_start="simplex")
