r"""Thresholds for early exits that lose at most a given accuracy, with a given confidence.

A proposal is one calibrated probability for all paths above which samples leave; each path has a temperature of its
own, so that it is another threshold on the scores of each. Held-out samples test proposals in their order, from careful
to bold, each at the full level, until the first that they cannot promise; the last one before it is taken. Proposals do
not depend on the samples that test them, and a wrong one can only be taken if the first wrong one in the order passes
its test, so that the number of tries costs nothing (fixed-sequence testing; Angelopoulos et al., *Learn then Test*,
arXiv 2110.01052, section 3). Thresholds that were searched for each path, by what it loses, were worse: where a path
disagrees with the full one as often to its gain as to its loss, they let everyone leave, and nothing could be promised.

The loss of a sample is 1 if the full path is right where the exit is wrong, -1 if it is the other way round, else 0:
its mean is the accuracy that is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from al_lightning.inspection.risk import promised, upper_bound

#: Log odds of the probabilities that are proposed, careful first: from 0.9999 to 0.12.
LOG_ODDS = tuple(step / 10 for step in range(92, -21, -1))


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
    """

    thresholds: Tensor
    bound: float
    lost: float


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


def proposals(paths: int) -> list[Tensor]:
    """Thresholds (L,) of L paths to choose from, careful ones first."""
    probabilities = torch.tensor(LOG_ODDS, dtype=torch.float64).sigmoid().float().double()  # as a module keeps them
    return list(probabilities.unsqueeze(1).expand(-1, paths))


def choose(deciding: Held, largest: float, confidence: float) -> Choice:
    """The boldest thresholds that lose at most some accuracy, with some confidence.

    Args:
        deciding: held-out samples, none of which trained the network or fitted its confidences.
        largest: accuracy that may be lost, in [0, 1].
        confidence: probability, below 1, with which no more is lost.

    Raises:
        ValueError: if the samples cannot promise it, saying what they can.
    """
    n, paths = deciding.right.shape
    least = upper_bound(torch.zeros(n), confidence)
    if largest < least:
        raise ValueError(
            f"Expected a loss that {n} held-out samples can promise with confidence {confidence}, but got "
            f"{100 * largest:.3g} points: without a single lost answer they promise {100 * least:.3g}. Ask for that, "
            "for less confidence, or train with a larger `--data.val_fraction`."
        )
    taken = None
    for proposal in proposals(paths):
        if not promised(losses(deciding, proposal), largest, confidence):
            break
        taken = proposal
    if taken is None:  # nobody leaves, nothing is lost
        return Choice(torch.ones(paths, dtype=torch.float64), 0.0, 0.0)
    lost = losses(deciding, taken)
    return Choice(taken, upper_bound(lost, confidence), float(lost.mean()))
