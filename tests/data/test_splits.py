"""Splits and label noise as functions of labels and seeds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from al_lightning.data.splits import are_class_numbers, hold_out, redraw_labels, split_samples


@given(st.integers(20, 200), st.sampled_from([0.1, 0.25, 0.5]), st.integers(0, 3), st.booleans())
def test_parts_are_disjoint_sorted_and_seeded(count: int, fraction: float, seed: int, stratified: bool) -> None:
    strata = torch.arange(count) % 2 if stratified else None
    first, second = split_samples(count, strata, fraction, seed, "share")
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(count))
    for part in (first, second):
        assert part.tolist() == sorted(part.tolist())
        if strata is not None:
            assert abs(int(strata[part].sum()) - len(part) / 2) <= 1
    again = split_samples(count, strata, fraction, seed, "share")
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


def test_nothing_is_split_off_by_zero() -> None:
    first, second = split_samples(3, None, 0, 0, "share")
    assert (first.tolist(), second.tolist()) == ([0, 1, 2], [])


@pytest.mark.parametrize(
    ("strata", "message"),
    [
        (torch.tensor([0, 1]), "enough samples of every class to split off share=0.5, but got 2 samples"),
        (None, "enough samples to split off share=0.9, but got 1 samples"),
    ],
)
def test_too_few_samples_get_a_sentence(strata: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_samples(1 if strata is None else 2, strata, 0.9 if strata is None else 0.5, 0, "share")


def test_parts_of_what_validates_do_not_train() -> None:
    wholes = torch.arange(40) // 4 * 4  # ten wholes with three parts each
    train, val = hold_out(40, torch.arange(40) // 4 % 2, wholes, 0.2, 0)
    assert len(val) == 2
    assert set(val.tolist()) <= set(range(0, 40, 4))
    assert len(train) == 32
    assert not set(wholes[train].tolist()) & set(val.tolist())


def test_what_class_numbers_are() -> None:
    assert are_class_numbers(torch.tensor([0, 2], dtype=torch.uint8))
    for labels in (torch.tensor([0.0, 1.0]), torch.tensor([True, False]), torch.tensor([[0, 1], [1, 0]])):
        assert not are_class_numbers(labels)


def test_noise_needs_classes() -> None:
    noisy = redraw_labels(torch.zeros(1000, dtype=torch.long), 4, 0.5, 0)
    assert 300 < int((noisy != 0).sum()) < 450
    assert int(noisy.max()) == 3
    for labels, classes in ((torch.zeros(4), 4), (torch.zeros(4, dtype=torch.long), None)):
        with pytest.raises(ValueError, match=r"class numbers, because label_noise=0.5 redraws .* Set `label_noise` to"):
            redraw_labels(labels, classes, 0.5, 0)
