r"""What samples can promise about a mean loss, whatever its distribution.

A bettor who claims that the mean loss is below m starts with a capital of 1 and stakes a part of it on each sample:
:math:`K_t = \prod_{i \le t} (1 - \lambda (\ell_i - m))`. Where the mean is m or more, the capital is a non-negative
supermartingale, so it ever reaches :math:`1 / \delta` with probability :math:`\delta` at most (Ville). Where it does,
the claim holds with confidence :math:`1 - \delta` (Waudby-Smith and Ramdas, JRSS B 2024, arXiv 2010.09686). Several
stakes are played side by side, each with an equal share of the capital: that is a bet again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Stakes that are played side by side, as parts of the largest that can never lose more than there is.
STAKES = (0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
#: Steps of a bisection: bounds are exact to the range of the losses over two to this power.
BISECTIONS = 40


def capital(losses: Tensor, mean: float, low: float = -1.0, high: float = 1.0) -> float:
    """The most that a bet on a mean loss below a value has ever been worth; 1 is the start.

    Args:
        losses: (n,) of independent samples in random order, each within ``low`` and ``high``.
        mean: the claim is that the expected loss is below it.
        low: smallest possible loss.
        high: largest possible loss.

    Returns:
        At least 1. Above 1 / (1 - confidence) the claim holds with that confidence.

    Raises:
        ValueError: if a loss is out of its range.
    """
    if len(losses) and not bool(((losses >= low) & (losses <= high)).all()):
        raise ValueError(f"Expected losses in [{low}, {high}], but got one outside. Pass their range.")
    if mean >= high:
        return math.inf  # nothing can be as large
    if mean <= low or not len(losses):
        return 1.0
    stakes = torch.tensor(STAKES, dtype=torch.float64) / (high - mean)
    growth = torch.log1p(-stakes * (losses.double().cpu().unsqueeze(1) - mean)).cumsum(0)
    worth = growth.logsumexp(1) - math.log(len(STAKES))
    return max(1.0, math.exp(min(float(worth.max()), 700.0)))


def promised(losses: Tensor, largest: float, confidence: float, low: float = -1.0, high: float = 1.0) -> bool:
    """Whether samples promise, with some confidence, that the mean loss is at most ``largest``.

    Args:
        losses: as for :func:`capital`.
        largest: mean loss that is to be promised.
        confidence: probability, below 1, with which the promise holds.
        low: smallest possible loss.
        high: largest possible loss.
    """
    return capital(losses, largest, low, high) >= 1 / (1 - confidence)


def upper_bound(losses: Tensor, confidence: float, low: float = -1.0, high: float = 1.0) -> float:
    """The smallest mean loss that samples promise with some confidence.

    Args:
        losses: as for :func:`capital`.
        confidence: probability, below 1, with which the mean is not larger.
        low: smallest possible loss.
        high: largest possible loss.

    Example:
        >>> round(upper_bound(torch.zeros(2000), 0.9), 4)  # no loss in 2,000 samples
        0.0019
    """
    below, above = low, high
    for _ in range(BISECTIONS):
        middle = (below + above) / 2
        if promised(losses, middle, confidence, low, high):
            above = middle
        else:
            below = middle
    return above
