"""Which samples make which batch, and random numbers that depend on names alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from al_lightning import MLPAL
from al_lightning.data import CIFAR10
from al_lightning.data.samplers import BatchIndices
from al_lightning.training import randomness

sizes = st.tuples(st.integers(1, 90), st.integers(1, 17), st.integers(1, 4), st.integers(0, 3))


@settings(max_examples=80, deadline=None)
@given(sizes)
def test_evaluation_sees_every_sample_once(case: tuple[int, int, int, int]) -> None:
    n, batch, world, epoch = case
    seen = [
        i
        for r in range(world)
        for b in BatchIndices(torch.arange(n), batch, rank=r, world_size=world)
        for i in b.tolist()
    ]
    assert sorted(seen) == list(range(n))


@settings(max_examples=80, deadline=None)
@given(sizes)
def test_training_shares_are_equal_and_disjoint(case: tuple[int, int, int, int]) -> None:
    n, batch, world, epoch = case
    ranks = []
    for rank in range(world):
        sampler = BatchIndices(torch.arange(n), batch, shuffle=True, seed=3, rank=rank, world_size=world, training=True)
        sampler.set_epoch(epoch)
        ranks.append([b.tolist() for b in sampler])
        assert len(ranks[-1]) == len(sampler)
    lengths = [[len(b) for b in rank] for rank in ranks]
    assert all(length == lengths[0] for length in lengths)
    flat = [i for rank in ranks for b in rank for i in b]
    assert len(set(flat)) == len(flat) >= (n - 2 * world + 1 if n >= world else 0)
    assert all(min(2, batch) <= length <= batch for length in lengths[0][1:])


def test_global_batches_do_not_depend_on_the_number_of_processes() -> None:
    one = BatchIndices(torch.arange(64), 16, shuffle=True, seed=1)
    two = [BatchIndices(torch.arange(64), 8, shuffle=True, seed=1, rank=r, world_size=2) for r in (0, 1)]
    for whole, *parts in zip(one, *two):
        assert torch.equal(whole, torch.cat(parts))


def test_order_depends_on_seed_and_epoch_only() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = BatchIndices(torch.arange(50), 8, shuffle=True, seed=seed)
        sampler.set_epoch(epoch)
        torch.manual_seed(torch.seed() % 1000)
        return torch.cat(list(sampler)).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 1)


@pytest.mark.parametrize("share", [2, 0.5])
def test_the_same_batches_are_overfitted_each_epoch(
    share: float, tiny_sets: None, trainer: Callable[..., pl.Trainer]
) -> None:
    seen: list[list[list[int]]] = []

    class Look(pl.Callback):
        def on_train_epoch_start(self, *args: Any) -> None:
            seen.append([])

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            seen[-1].append(batch[1].tolist())

    data = CIFAR10(batch_size=10, val_fraction=0.5, augment=False)  # 60 images train, 60 validate
    fitted = trainer(max_epochs=3, overfit_batches=share, callbacks=[Look()], enable_checkpointing=False)
    fitted.fit(MLPAL(10, hidden_dims=[8], target_dim=8), data)
    assert len(seen[0]) == (2 if share == 2 else 3)
    assert seen[0] == seen[1] == seen[2]


# ---------------------------------------------------------------------- randomness


def splitmix_reference(seed: int, n: int) -> list[float]:
    """splitmix64 in Python's own integers, from the published constants."""
    mask, out, x = (1 << 64) - 1, [], seed & ((1 << 64) - 1)
    for _ in range(n):
        x = (x + 0x9E3779B97F4A7C15) & mask
        z = x
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(((z ^ (z >> 31)) >> 40) / 2**24)
    return out


def test_counter_draws_are_splitmix64() -> None:
    index = torch.tensor([0, 1, 77])
    draws = randomness.uniform(5, index, 9, 2)
    streams = randomness._mix(index * -7046029254386353131 + randomness.derive_seed(9, 2))
    for row, stream in zip(draws.tolist(), streams.tolist()):
        assert row == pytest.approx(splitmix_reference(stream, 5))
    many = randomness.uniform(4, torch.arange(20000), 0, 0)
    assert many.min() >= 0
    assert many.max() < 1
    assert many.mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.01)
    assert torch.corrcoef(many.T).fill_diagonal_(0).abs().max() < 0.03
    assert torch.equal(many[[5, 3]], randomness.uniform(4, torch.tensor([5, 3]), 0, 0))


def test_forks_leave_the_outside_alone() -> None:
    before = torch.get_rng_state()
    with randomness.fork(torch.device("cpu"), 1, 2):
        first = torch.rand(3)
    with randomness.fork(torch.device("cpu"), 1, 2):
        again = torch.rand(3)
    with randomness.fork(torch.device("cpu"), 2, 1):
        other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
