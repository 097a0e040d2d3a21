"""Bets on a mean loss: against Ville's bound by counting, and against exact binomial bounds."""

from __future__ import annotations

import math

import pytest
import torch

from al_lightning.inspection.risk import STAKES, capital, promised, upper_bound


def counted_capital(losses: list[float], mean: float) -> float:
    """A bettor's purse, sample by sample, for each stake; the most that all of them were ever worth on average."""
    purses, most = [1.0] * len(STAKES), 1.0
    for loss in losses:
        purses = [purse * (1 - stake / (1 - mean) * (loss - mean)) for purse, stake in zip(purses, STAKES)]
        most = max(most, sum(purses) / len(purses))
    return most


@pytest.mark.parametrize("mean", [-0.2, 0.01, 0.3])
def test_capital_is_that_of_a_bettor(mean: float) -> None:
    losses = torch.randint(-1, 2, (200,), generator=torch.Generator().manual_seed(1)).float()
    assert capital(losses, mean) == pytest.approx(counted_capital(losses.tolist(), mean))


def test_without_a_loss_the_bound_is_known() -> None:
    """The highest stake wins most: n samples without a loss promise m with (1 + 0.95 m / (1 - m))^n / 8 >= 10."""
    bound = upper_bound(torch.zeros(3000), 0.9)
    least = math.exp(3000 * math.log1p(0.95 * bound / (1 - bound))) / len(STAKES)
    assert least < 10 < 8 * 10 * least
    exact = 1 - 0.1 ** (1 / 3000)  # of losses that are 0 or 1: no bound can be below
    assert exact < bound < 2.5 * exact
    assert promised(torch.zeros(3000), bound * 1.01, 0.9)
    assert not promised(torch.zeros(3000), bound * 0.99, 0.9)


@pytest.mark.parametrize(("chances", "n"), [((0.01, 0.98, 0.01), 1000), ((0.0, 0.9, 0.1), 200), ((0.3, 0.3, 0.4), 300)])
def test_a_bound_holds_as_often_as_it_says(chances: tuple[float, float, float], n: int) -> None:
    """Losses -1, 0, 1 of known chances: the bound is below the true mean in at most a tenth of 400 draws."""
    generator = torch.Generator().manual_seed(0)
    true = chances[2] - chances[0]
    draws = torch.multinomial(torch.tensor(chances), 400 * n, True, generator=generator).view(400, n) - 1.0
    wrong = sum(promised(losses, true, 0.9) for losses in draws)
    assert wrong <= 40 + 3 * 6  # three standard errors above the promised share
    means = [upper_bound(losses, 0.9) for losses in draws[:20]]
    spread = math.sqrt((chances[0] + chances[2] - true**2) / n)
    assert all(bound < true + 6 * spread + 10 / n for bound in means)  # and it is of use


def test_more_samples_promise_less_loss() -> None:
    assert upper_bound(torch.zeros(100), 0.9) > upper_bound(torch.zeros(1000), 0.9) > 0
    assert upper_bound(torch.zeros(1000), 0.99) > upper_bound(torch.zeros(1000), 0.9)
    assert capital(torch.zeros(0), 0.1) == 1.0
    assert upper_bound(torch.zeros(0), 0.9) == pytest.approx(1.0)


def test_losses_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"losses in \[-1.0, 1.0\]"):
        capital(torch.tensor([2.0]), 0.1)
