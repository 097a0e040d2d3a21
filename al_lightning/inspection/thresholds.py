r"""Thresholds for early exits that lose at most a given accuracy, with a given confidence.

One part of the held-out samples proposes: for several prices of a lost answer it finds per-path thresholds with the
least cost, from careful to bold. The rest decides: proposals are tested in this order, each at the full level, until
the first that the samples cannot promise; the last one before it is taken. Proposals do not depend on the samples that
test them, and a wrong one can only be taken if the first wrong one in the order passes its test, so that the number of
tries costs nothing (fixed-sequence testing; Angelopoulos et al., *Learn then Test*, arXiv 2110.01052, section 3).

The loss of a sample is 1 if the full path is right where the exit is wrong, -1 if it is the other way round, else 0:
its mean is the accuracy that is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from al_lightning.inspection.risk import promised, upper_bound

#: Prices of a lost answer, in costs of the full path; a high price is careful.
PRICES = tuple(10 ** (exponent / 8) for exponent in range(32, -9, -1))
#: Thresholds of a path that are tried: quantiles of its confidences.
TRIED = 100
#: Turns over all paths; seldom more than two change anything.
ROUNDS = 4


@dataclass(frozen=True)
class Held:
    """What the paths of a network say about held-out samples.

    Attributes:
        confidence: (n, L) calibrated probability of each path's answer.
        right: (n, L) bool, whether it is the label.
    """

    confidence: Tensor
    right: Tensor


@dataclass(frozen=True)
class Choice:
    """Thresholds, and what they promise.

    Attributes:
        thresholds: (L,) confidence above which a sample leaves at each path; nobody stays at the last.
        bound: mean loss that is promised.
        lost: mean loss of the samples that decided.
        cost: of a sample, over that of the full path.
    """

    thresholds: Tensor
    bound: float
    lost: float
    cost: float


def leaving(confidence: Tensor, thresholds: Tensor) -> Tensor:
    """The path, from 0, at which each sample leaves: the first whose confidence is above its threshold.

    Args:
        confidence: (n, L).
        thresholds: (L,); that of the last path does not count.

    Returns:
        (n,) int64.
    """
    sure = confidence > thresholds
    sure[:, -1] = True
    return sure.int().argmax(1)


def losses(held: Held, thresholds: Tensor) -> Tensor:
    """The loss of each sample, (n,): 1 for a right answer of the full path that is lost, -1 for one that is won."""
    left = leaving(held.confidence, thresholds).unsqueeze(1)
    return held.right[:, -1].double() - held.right.gather(1, left).squeeze(1).double()


def mean_cost(held: Held, thresholds: Tensor, costs: Tensor) -> float:
    """Cost of a sample on average, over that of the full path; ``costs`` (L,) are those of each path."""
    return float(costs[leaving(held.confidence, thresholds)].mean() / costs[-1])


def propose(held: Held, costs: Tensor, price: float, start: Tensor) -> Tensor:
    """Thresholds with the least sum of cost and priced losses, found path by path in turn.

    Args:
        held: the proposing samples.
        costs: (L,) of each path.
        price: of a lost answer, in costs of the full path.
        start: (L,) thresholds to begin with.

    Returns:
        (L,) thresholds; 1 where nobody should leave.
    """
    paths, thresholds = held.confidence.shape[1], start

    def total(tried: Tensor) -> float:
        return mean_cost(held, tried, costs) + price * float(losses(held, tried).mean())

    best = total(thresholds)
    for _ in range(ROUNDS):
        before = best
        for path in range(paths - 1):
            steps = torch.linspace(0, 1, TRIED + 1, dtype=torch.float64)
            for threshold in [*held.confidence[:, path].double().quantile(steps).tolist(), 1.0]:
                tried = thresholds.clone()
                tried[path] = threshold
                found = total(tried)
                if found < best:
                    best, thresholds = found, tried
        if best == before:
            break
    return thresholds


def choose(
    proposing: Held, deciding: Held, costs: Sequence[float], largest: float, confidence: float
) -> tuple[Choice, list[Choice]]:
    """Thresholds that lose at most some accuracy, with some confidence, and cost least among the proposals.

    Args:
        proposing: held-out samples, none of which trained the network.
        deciding: others, drawn as the former; they must not have fitted the confidences either.
        costs: of each path, such as seconds.
        largest: accuracy that may be lost, in [0, 1].
        confidence: probability, below 1, with which no more is lost.

    Returns:
        The choice, and all proposals with what the deciding samples say of them, careful ones first.

    Raises:
        ValueError: if the samples cannot promise it, saying what they can.
    """
    n, each = len(deciding.right), torch.tensor(costs, dtype=torch.float64)
    least = upper_bound(torch.zeros(n), confidence)
    if largest < least:
        raise ValueError(
            f"Expected a loss that {n} held-out samples can promise with confidence {confidence}, but got "
            f"{100 * largest:.3g} points: without a single lost answer they promise {100 * least:.3g}. Ask for that, "
            "for less confidence, or train with a larger `--data.val_fraction`."
        )
    tried: dict[tuple[float, ...], Choice] = {}
    thresholds = torch.ones(len(each), dtype=torch.float64)
    for price in PRICES:
        thresholds = propose(proposing, each, price, thresholds).float().double()  # as a module keeps them
        lost = losses(deciding, thresholds)
        cost = mean_cost(deciding, thresholds, each)
        choice = Choice(thresholds, upper_bound(lost, confidence), float(lost.mean()), cost)
        tried.setdefault(tuple(thresholds.tolist()), choice)
    proposals = list(tried.values())
    taken = Choice(torch.ones(len(each), dtype=torch.float64), 0.0, 0.0, 1.0)  # nobody leaves, nothing is lost
    for proposal in proposals:
        if not promised(losses(deciding, proposal.thresholds), largest, confidence):
            break
        taken = proposal
    return taken, proposals
