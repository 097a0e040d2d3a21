"""Which samples make which batch."""

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

sizes = st.tuples(st.integers(1, 90), st.integers(1, 17), st.integers(1, 4), st.integers(0, 3))


@settings(max_examples=80, deadline=None)
@given(sizes)
def test_evaluation_sees_every_sample_once(case: tuple[int, int, int, int]) -> None:
    n, batch, world, epoch = case
    seen = [
        i
        for r in range(world)
        for b in BatchIndices(torch.arange(n), batch, rank=r, num_replicas=world)
        for i in b.tolist()
    ]
    assert sorted(seen) == list(range(n))


@settings(max_examples=80, deadline=None)
@given(sizes)
def test_training_shares_are_equal_and_disjoint(case: tuple[int, int, int, int]) -> None:
    n, batch, world, epoch = case
    ranks = []
    for rank in range(world):
        sampler = BatchIndices(
            torch.arange(n), batch, shuffle=True, seed=3, rank=rank, num_replicas=world, training=True
        )
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
    two = [BatchIndices(torch.arange(64), 8, shuffle=True, seed=1, rank=r, num_replicas=2) for r in (0, 1)]
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


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), batch=st.integers(1, 16), ranks=st.integers(1, 4), epoch=st.integers(0, 3))
def test_batches_by_length_do_not_depend_on_the_number_of_processes(n: int, batch: int, ranks: int, epoch: int) -> None:
    lengths = torch.randint(1, 50, (n,), generator=torch.Generator().manual_seed(n))

    def batches(rank: int, world: int) -> list[torch.Tensor]:
        sampler = BatchIndices(
            torch.arange(n), batch * ranks // world, shuffle=True, seed=1, rank=rank, num_replicas=world, training=True,
            lengths=lengths,
        )  # fmt: skip
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    single, shards = batches(0, 1), [batches(rank, ranks) for rank in range(ranks)]
    assert len({len(shard) for shard in shards}) == 1
    for step in range(n // (batch * ranks)):  # whole batches
        assert sorted(torch.cat([shard[step] for shard in shards]).tolist()) == sorted(single[step].tolist())
    everything = torch.cat(single).tolist()
    assert len(set(everything)) == len(everything)


def test_buckets_save_padding_and_change_with_the_epoch() -> None:
    lengths = torch.randint(1, 100, (5000,), generator=torch.Generator().manual_seed(0))

    def padding(with_lengths: bool) -> float:
        sampler = BatchIndices(torch.arange(5000), 50, shuffle=True, lengths=lengths if with_lengths else None)
        longest = [lengths[b].max() * len(b) for b in sampler]
        return 1 - (lengths.sum() / torch.stack(longest).sum()).item()

    assert padding(True) < 0.1 < 0.4 < padding(False)
    sampler = BatchIndices(torch.arange(5000), 50, shuffle=True, lengths=lengths)
    first = torch.cat(list(sampler))
    assert torch.equal(first, torch.cat(list(sampler)))
    sampler.set_epoch(1)
    assert not torch.equal(first, torch.cat(list(sampler)))
    means = torch.stack([lengths[b].float().mean() for b in sampler])
    assert (means[1:] > means[:-1]).float().mean() < 0.7  # batches do not come sorted
