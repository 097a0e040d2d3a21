"""Thresholds for early exits: what they cost and lose, by loops over samples, and whether their promise holds."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from al_lightning.inspection import thresholds
from al_lightning.inspection.thresholds import Held, choose, expected_loss, leaving, losses, mean_cost, propose, slide

COSTS = [1.0, 2.0, 4.0]


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
    return Held(said, right, (chance[:, 2:] - chance).double())


def part(some: Held, chosen: Tensor) -> Held:
    return Held(some.confidence[chosen], some.right[chosen], some.regret[chosen])


def walked(sample: int, of: Held, thresholds: Tensor) -> int:
    """The path at which a sample leaves, from 0."""
    for path in range(of.confidence.shape[1] - 1):
        if float(of.confidence[sample, path]) > float(thresholds[path]):
            return path
    return of.confidence.shape[1] - 1


def test_leaving_losing_and_paying() -> None:
    some, thresholds = held(60, 0), torch.tensor([0.9, 0.85, 0.0])
    paths = [walked(n, some, thresholds) for n in range(60)]
    assert {0, 1, 2} == set(paths)
    assert leaving(some.confidence, thresholds).tolist() == paths
    lost = [int(some.right[n, 2]) - int(some.right[n, path]) for n, path in enumerate(paths)]
    assert losses(some, thresholds).tolist() == lost
    regret = sum(float(some.regret[n, path]) for n, path in enumerate(paths)) / 60
    assert expected_loss(some, thresholds) == pytest.approx(regret)
    cost = sum(COSTS[path] for path in paths) / 60 / 4
    assert mean_cost(some, thresholds, torch.tensor(COSTS)) == pytest.approx(cost)


def test_proposals_are_the_best_of_a_grid() -> None:
    some, costs = held(300, 1), torch.tensor(COSTS, dtype=torch.float64)
    for price in (100.0, 10.0, 1.0):
        found = propose(some, costs, price, torch.ones(3, dtype=torch.float64))

        def total(thresholds: Tensor, price: float = price) -> float:
            return mean_cost(some, thresholds, costs) + price * expected_loss(some, thresholds)

        grid = [0.5 + step / 80 for step in range(41)]
        best = min(total(torch.tensor([a, b, 1.0])) for a, b in itertools.product(grid, grid))
        assert total(found) <= best + 1e-6


def test_free_answers_let_everyone_leave_and_dear_ones_nobody_who_might_err() -> None:
    some, costs, start = held(400, 2), torch.tensor(COSTS, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    assert (leaving(some.confidence, propose(some, costs, 0.0, start)) == 0).all()
    assert expected_loss(some, propose(some, costs, 1e9, start)) == 0


def test_samples_that_are_as_sure_leave_together() -> None:
    """The cheap one of two that look alike cannot leave alone."""
    alike = Held(torch.tensor([[0.9, 0.9], [0.9, 0.9], [0.6, 0.9]]), torch.ones(3, 2).bool(),
                 torch.tensor([[0.0, 0.0], [0.4, 0.0], [0.0, 0.0]], dtype=torch.float64))  # fmt: skip
    costs, start = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    assert propose(alike, costs, 2.0, start)[0] == 0  # all three: 1.5 - 0.8 are saved
    assert propose(alike, costs, 3.0, start)[0] == 0
    assert propose(alike, costs, 4.0, start)[0] == 1


def test_samples_that_have_left_do_not_count() -> None:
    """The first is easy for path 1 and hard for path 2, which it never sees; the other is the reverse."""
    two = Held(torch.tensor([[0.99, 0.9, 1.0], [0.5, 0.8, 1.0]]), torch.ones(2, 3).bool(),
               torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64))  # fmt: skip
    found = propose(two, torch.tensor(COSTS, dtype=torch.float64), 100.0, torch.ones(3, dtype=torch.float64))
    assert leaving(two.confidence, found).tolist() == [0, 1]


def test_sliding_is_by_log_odds() -> None:
    found = slide(torch.tensor([0.5, 0.9, 1.0, 0.0], dtype=torch.float64), 2.0)
    assert found[:2].tolist() == pytest.approx([1 / (1 + math.exp(-2)), 9 / (9 + math.exp(-2))])
    assert found[2] == 1
    assert 0 < found[3] < 1e-6
    assert slide(found[:2], -2.0).tolist() == pytest.approx([0.5, 0.9])


def test_the_promise_holds_as_often_as_it_says() -> None:
    """The true loss is known from 200,000 more samples; at most a fifth of 40 choices may lose more than promised."""
    world, broken, costs = held(200_000, 99), 0, []
    for seed in range(40):
        chosen, _ = choose(*split(held(4000, seed), seed), COSTS, 0.01, 0.8)
        broken += float(losses(world, chosen.thresholds).mean()) > 0.01
        costs.append(chosen.cost)
        assert chosen.bound <= 0.01
    assert broken <= 8
    assert sum(costs) / 40 < 0.8  # and it saves something


def split(some: Held, seed: int) -> tuple[Held, Held]:
    order = torch.randperm(len(some.right), generator=torch.Generator().manual_seed(seed))
    return part(some, order[:1200]), part(some, order[1200:])


def test_nothing_behind_the_first_that_cannot_be_promised_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([True, True, False, *[True] * 200])
    monkeypatch.setattr(thresholds, "promised", lambda *_: next(said))
    chosen, proposals = choose(*split(held(4000, 3), 3), COSTS, 0.01, 0.9)
    assert torch.equal(chosen.thresholds, proposals[1])


def test_a_path_that_is_too_sure_costs_speed_not_the_promise() -> None:
    bold, _ = choose(*split(held(4000, 3, worse=0.3), 3), COSTS, 0.01, 0.9)
    world = held(200_000, 99, worse=0.3)
    assert float(losses(world, bold.thresholds).mean()) <= 0.01


def test_what_cannot_be_promised_is_said() -> None:
    some = held(100, 0)
    parts = part(some, torch.arange(30)), part(some, torch.arange(30, 100))
    said = r"70 held-out samples can promise with confidence 0.9, but got 0.2 points: .* promise 5.31"
    with pytest.raises(ValueError, match=said):
        choose(*parts, COSTS, 0.002, 0.9)
