"""A training batch of one sample, whose variance batch norm cannot use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
from conftest import loader

import al_lightning as al
from al_lightning.training.batch_norm import explain_single_sample

Make = Callable[..., pl.Trainer]


@pytest.mark.parametrize(
    ("network", "size", "options"),
    [("CNNAL", 8, {"bridge": "dense", "target_dim": 8}), ("CNNBP", 8, {}), ("VGGBP", 32, {})],
)
def test_a_last_batch_of_one_is_explained(network: str, size: int, options: dict[str, Any], trainer: Make) -> None:
    net = getattr(al, network)(4, 1, size, **options)
    with pytest.raises(ValueError, match="at least two samples .*`drop_last=True`"):
        trainer(max_epochs=1).fit(net, loader(9, 8, (1, size, size)))


def test_one_image_has_enough_values_for_the_norm_of_a_map(trainer: Make) -> None:
    trainer(max_epochs=1).fit(al.CNNAL(4, 1, 8, bridge="lean", target_dim=8), loader(9, 8, (1, 8, 8)))


def test_another_error_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match="^mine$"), explain_single_sample():
        raise ValueError("mine")
