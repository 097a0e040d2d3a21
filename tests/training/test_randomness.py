"""Random numbers that depend on the coordinates of their stream alone."""

from __future__ import annotations

from itertools import combinations, product

import pytest
import torch

from al_lightning.training import randomness
from al_lightning.training.randomness import Purpose, derive_seed


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
    draws = randomness.uniform(Purpose.AUGMENTATION, 5, index, 9, 2)
    streams = randomness._mix(index * -7046029254386353131 + randomness.derive_seed(Purpose.AUGMENTATION, 9, 2))
    for row, stream in zip(draws.tolist(), streams.tolist()):
        assert row == pytest.approx(splitmix_reference(stream, 5))
    many = randomness.uniform(Purpose.AUGMENTATION, 4, torch.arange(20000), 0, 0)
    assert many.min() >= 0
    assert many.max() < 1
    assert many.mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.01)
    assert torch.corrcoef(many.T).fill_diagonal_(0).abs().max() < 0.03
    assert torch.equal(many[[5, 3]], randomness.uniform(Purpose.AUGMENTATION, 4, torch.tensor([5, 3]), 0, 0))


def test_forks_leave_the_outside_alone() -> None:
    before = torch.get_rng_state()
    with randomness.fork(Purpose.LAYER, torch.device("cpu"), 1, 2):
        first = torch.rand(3)
    with randomness.fork(Purpose.LAYER, torch.device("cpu"), 1, 2):
        again = torch.rand(3)
    with randomness.fork(Purpose.LAYER, torch.device("cpu"), 2, 1):
        other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_no_two_purposes_share_a_stream() -> None:
    """Whatever the coordinates and how many they are: zeros at the end and numbers beyond 32 bits count too."""
    numbers = (0, 1, 2, 7, 2**32 - 1, 2**32, 2**32 + 1, 2**63)
    coordinates = [c for length in range(4) for c in product(numbers, repeat=length)]
    coordinates += [(0, 0, n, 0, m) for n, m in product(range(20), repeat=2)]
    seeds = {derive_seed(purpose, *c) for purpose in Purpose for c in coordinates}
    assert len(seeds) == len(Purpose) * len(coordinates) > 5000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_of_different_purposes_are_independent() -> None:
    index = torch.arange(20_000)
    draws = [randomness.uniform(purpose, 1, index, 0, 1).squeeze(1) for purpose in Purpose]
    orders = [torch.randperm(20_000, generator=torch.Generator().manual_seed(derive_seed(purpose, 0, 1))).float()
              for purpose in Purpose]  # fmt: skip
    for streams in (draws, orders):
        for one, other in combinations(streams, 2):
            assert torch.corrcoef(torch.stack([one, other]))[0, 1].abs() < 0.04


def test_a_stream_needs_a_purpose() -> None:
    with pytest.raises(TypeError, match="Expected `purpose` to be a `Purpose`, but got 5"):
        derive_seed(5, 0)  # type: ignore[arg-type]
