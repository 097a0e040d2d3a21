"""Thresholds for early exits: what they lose, by loops over samples, and whether their promise holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from al_lightning.inspection import thresholds
from al_lightning.inspection.thresholds import Held, choose, leaving, losses, proposals


def held(n: int, seed: int, *, worse: float = 0.0) -> Held:
    """Samples of a difficulty each; a path is right by chance, the longer the more often, and knows how likely.

    Args:
        n: how many.
        seed: of the draw.
        worse: how much surer the first path says to be than it should.
    """
    generator = torch.Generator().manual_seed(seed)
    ease = torch.rand(n, 1, generator=generator)
    chance = (ease.pow(torch.tensor([[0.5, 0.3, 0.2]])) * 0.5 + 0.5).clamp(max=0.999)
    luck = torch.rand(n, 1, generator=generator).expand(n, 3)  # a sample that one path gets, the others get as well
    right = luck < chance
    said = (chance + worse * torch.tensor([[1.0, 0.0, 0.0]])).clamp(max=1.0)
    return Held(said, right)


def walked(sample: int, of: Held, thresholds: Tensor) -> int:
    """The path at which a sample leaves, from 0."""
    for path in range(of.confidence.shape[1] - 1):
        if float(of.confidence[sample, path]) > float(thresholds[path]):
            return path
    return of.confidence.shape[1] - 1


def test_leaving_and_losing() -> None:
    some, thresholds = held(60, 0), torch.tensor([0.9, 0.85, 0.0])
    paths = [walked(n, some, thresholds) for n in range(60)]
    assert {0, 1, 2} == set(paths)
    assert leaving(some.confidence, thresholds).tolist() == paths
    lost = [int(some.right[n, 2]) - int(some.right[n, path]) for n, path in enumerate(paths)]
    assert losses(some, thresholds).tolist() == lost


def test_proposals_are_careful_first() -> None:
    some = held(500, 1)
    left = [float(leaving(some.confidence, one).double().mean()) for one in proposals(3)]
    assert left[0] == 2  # nobody is as sure as that
    assert left[-1] == 0
    assert left == sorted(left, reverse=True)
    assert all(len(one) == 3 and len(set(one.tolist())) == 1 for one in proposals(3))


def test_the_promise_holds_as_often_as_it_says() -> None:
    """The true loss is known from 200,000 more samples; at most a fifth of 40 choices may lose more than promised."""
    world, broken, left = held(200_000, 99), 0, []
    for seed in range(40):
        chosen = choose(held(4000, seed), 0.01, 0.8)
        broken += float(losses(world, chosen.thresholds).mean()) > 0.01
        left.append(float(leaving(world.confidence, chosen.thresholds).double().mean()))
        assert chosen.bound <= 0.01
    assert broken <= 8
    assert sum(left) / 40 < 1.6  # and many leave before the third path, which is number 2


def test_nothing_behind_the_first_that_cannot_be_promised_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([True, True, False, *[True] * 200])
    monkeypatch.setattr(thresholds, "promised", lambda *_: next(said))
    chosen = choose(held(4000, 3), 0.01, 0.9)
    assert torch.equal(chosen.thresholds, proposals(3)[1])


def test_a_path_that_is_too_sure_costs_speed_not_the_promise() -> None:
    bold = choose(held(4000, 3, worse=0.3), 0.01, 0.9)
    world = held(200_000, 99, worse=0.3)
    assert float(losses(world, bold.thresholds).mean()) <= 0.01


def test_what_cannot_be_promised_is_said() -> None:
    said = r"70 held-out samples can promise with confidence 0.9, but got 0.2 points: .* promise 5.31"
    with pytest.raises(ValueError, match=said):
        choose(held(70, 0), 0.002, 0.9)
