"""Splits and label noise as functions of labels and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from al_lightning.data.base import BaseDataModule
from al_lightning.data.dataset import LabelledDataset
from al_lightning.data.splits import are_class_numbers, hold_out, redraw_labels, split_samples
from al_lightning.training.randomness import Purpose


@given(st.integers(20, 200), st.sampled_from([0.1, 0.25, 0.5]), st.integers(0, 3), st.booleans())
def test_parts_are_disjoint_sorted_and_seeded(count: int, fraction: float, seed: int, stratified: bool) -> None:
    strata = torch.arange(count) % 2 if stratified else None
    first, second = split_samples(Purpose.VALIDATION_SPLIT, count, strata, fraction, seed, "share")
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(count))
    for part in (first, second):
        assert part.tolist() == sorted(part.tolist())
        if strata is not None:
            assert abs(int(strata[part].sum()) - len(part) / 2) <= 1
    again = split_samples(Purpose.VALIDATION_SPLIT, count, strata, fraction, seed, "share")
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


def test_nothing_is_split_off_by_zero() -> None:
    first, second = split_samples(Purpose.VALIDATION_SPLIT, 3, None, 0, 0, "share")
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
        split_samples(
            Purpose.VALIDATION_SPLIT, 1 if strata is None else 2, strata, 0.9 if strata is None else 0.5, 0, "share"
        )


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


class Labels(LabelledDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Labels of samples that are nothing but their numbers."""

    def __init__(self, labels: torch.Tensor) -> None:
        self.labels = labels

    def __getitem__(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return index, self.labels[index]


class ManyLabels(BaseDataModule[tuple[torch.Tensor, torch.Tensor], Labels]):
    """100,000 samples of ten classes: so many that the share of wrong labels in a fifth of them is hardly chance."""

    num_classes = 10
    truth = torch.arange(100_000) % 10

    def load_split(self, split: str) -> tuple[Labels, torch.Tensor]:
        return Labels(self.truth.clone()), torch.arange(len(self.truth))

    def load_unlabelled(self, path: Path) -> tuple[Labels, list[str]]:
        raise NotImplementedError

    def prepare(self, batch: Any, training: bool = False, epoch: int = 0) -> Any:
        return batch


@pytest.mark.parametrize("val_fraction", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_redrawn_labels_come_evenly_in_every_epoch(seed: int, val_fraction: float) -> None:
    """0.4 of the labels are redrawn, 9 in 10 of these as a wrong one: 0.36 of every fifth of every epoch."""
    data = ManyLabels("data", 128, val_fraction, 0, seed, label_noise=0.4)
    loader = data.train_dataloader()
    for epoch in range(5):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # a BatchIndices
        index, labels = (torch.cat(part) for part in zip(*loader))
        wrong = (labels != data.truth[index]).float()
        for fifth in wrong.chunk(5):
            assert fifth.mean().item() == pytest.approx(0.36, abs=0.02)


def test_splits_for_different_purposes_are_independent() -> None:
    """Of samples that a subset kept, as many validate as of all."""
    count = 20_000
    for seed in range(5):
        parts = {p: split_samples(p, count, None, 0.3, seed, "share")[1] for p in Purpose}
        for one in Purpose:
            for other in Purpose:
                shared = torch.isin(parts[one], parts[other]).float().mean().item()
                assert shared == pytest.approx(1 if one is other else 0.3, abs=0.03)


def test_seeds_of_any_size_split() -> None:
    """scikit-learn's own seeds end at 2^32."""
    parts = [hold_out(100, None, None, 0.5, seed)[1].tolist() for seed in (0, 2**32, 2**40 + 1, 2**70)]
    assert len({tuple(part) for part in parts}) == 4
