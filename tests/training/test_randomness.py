"""Random numbers that depend on the coordinates of their stream alone."""

from __future__ import annotations

import pytest
import torch

from al_lightning.training import randomness


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
