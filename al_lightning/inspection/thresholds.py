r"""Thresholds for early exits that lose at most a given accuracy, with a given confidence.

One part of the held-out samples proposes: it finds the per-path thresholds that cost least while the expected loss
stays small, and slides all of them together, in log odds, from careful to bold. The rest decides: proposals are tested
in this order, each at the full level, until the first that the samples cannot promise; the last one before it is taken.
Proposals do not depend on the samples that test them, and a wrong one can only be taken if the first wrong one in the
order passes its test, so that the number of tries costs nothing (fixed-sequence testing; Angelopoulos et al., *Learn
then Test*, arXiv 2110.01052, section 3).

The loss of a sample is 1 if the full path is right where the exit is wrong, -1 if it is the other way round, else 0:
its mean is the accuracy that is lost. Proposals are made by its expectation under the full path's own probabilities,
:math:`p_L(\hat y_L) - p_L(\hat y_k)`: where samples seldom differ, single labels would say little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from al_lightning.inspection.risk import promised, upper_bound

#: Prices of a lost answer, in costs of the full path; a high price is careful.
PRICES = tuple(10 ** (exponent / 8) for exponent in range(32, -9, -1))
#: Part of the wanted loss that the proposing samples may expect; the rest is for what the deciding ones cannot know.
EXPECTED = 0.5
#: How far thresholds are slid, in log odds, careful first.
SLIDES = tuple(step / 10 for step in range(60, -41, -1))
#: Turns over all paths; seldom more than two change anything.
ROUNDS = 4


@dataclass(frozen=True)
class Held:
    """What the paths of a network say about held-out samples.

    Attributes:
        confidence: (n, L) calibrated probability of each path's answer.
        right: (n, L) bool, whether it is the label.
        regret: (n, L) how much less the full path thinks of each path's answer than of its own, at least 0.
    """

    confidence: Tensor
    right: Tensor
    regret: Tensor


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


def expected_loss(held: Held, thresholds: Tensor) -> float:
    """Mean loss under the full path's own probabilities."""
    return float(held.regret.gather(1, leaving(held.confidence, thresholds).unsqueeze(1)).mean())


def propose(held: Held, costs: Tensor, price: float, start: Tensor) -> Tensor:
    """Thresholds with the least sum of cost and priced expected losses, found path by path in turn.

    Args:
        held: the proposing samples.
        costs: (L,) of each path.
        price: of a lost answer, in costs of the full path.
        start: (L,) thresholds to begin with.

    Returns:
        (L,) thresholds; 1 where nobody should leave.
    """
    thresholds = start
    paid = (costs / costs[-1]).to(held.regret) + price * held.regret
    for _ in range(ROUNDS):
        before = thresholds
        for path in reversed(range(len(costs) - 1)):
            sure = held.confidence > thresholds
            here = ~sure[:, :path].any(1)
            sure[:, : path + 1] = False
            sure[:, -1] = True
            later = paid.gather(1, sure.int().argmax(1, keepdim=True)).squeeze(1)
            thresholds = thresholds.clone()
            thresholds[path] = _best_threshold(held.confidence[here, path], (paid[:, path] - later)[here])
        if torch.equal(before, thresholds):
            break
    return thresholds


def _best_threshold(confidence: Tensor, more: Tensor) -> float:
    """The threshold above which samples pay least, where each that leaves pays so much ``more`` than if it stays."""
    confidence, order = confidence.sort(descending=True)
    total = torch.cat([more.new_zeros(1), more[order].cumsum(0)])
    total[1:-1][confidence[:-1] == confidence[1:]] = torch.inf  # samples that are as sure leave together
    leave = int(total.argmin())
    if leave == 0:
        return 1.0
    return float(confidence[leave]) if leave < len(confidence) else 0.0


def slide(thresholds: Tensor, log_odds: float) -> Tensor:
    """Thresholds that are more careful by so much log odds; where nobody should leave, nobody does."""
    return torch.where(thresholds < 1, torch.sigmoid(thresholds.logit(1e-7) + log_odds), thresholds)


def choose(
    proposing: Held, deciding: Held, costs: Sequence[float], largest: float, confidence: float
) -> tuple[Choice, list[Tensor]]:
    """Thresholds that lose at most some accuracy, with some confidence, and cost least among the proposals.

    Args:
        proposing: held-out samples, none of which trained the network.
        deciding: others, drawn as the former; they must not have fitted the confidences either.
        costs: of each path, such as seconds.
        largest: accuracy that may be lost, in [0, 1].
        confidence: probability, below 1, with which no more is lost.

    Returns:
        The choice, and the thresholds (L,) of all proposals, careful ones first.

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
    thresholds, base = torch.ones(len(each), dtype=torch.float64), torch.ones(len(each), dtype=torch.float64)
    for price in PRICES:
        thresholds = propose(proposing, each, price, thresholds)
        if expected_loss(proposing, thresholds) > EXPECTED * largest:
            break
        base = thresholds
    slid = [slide(base, log_odds).float().double() for log_odds in SLIDES]  # as a module keeps them
    proposals = [one for one, before in zip(slid, [None, *slid]) if before is None or not torch.equal(one, before)]
    taken = torch.ones(len(each), dtype=torch.float64)  # nobody leaves, nothing is lost
    for proposal in proposals:
        if not promised(losses(deciding, proposal), largest, confidence):
            break
        taken = proposal
    lost, cost = losses(deciding, taken), mean_cost(deciding, taken, each)
    nobody = bool((taken[:-1] >= 1).all())
    bound = 0.0 if nobody else upper_bound(lost, confidence)
    return Choice(taken, bound, float(lost.mean()), cost), proposals
