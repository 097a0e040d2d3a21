"""Consecutive parts of a whole in groups of about the same cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def balance(costs: Sequence[float], groups: int) -> list[range]:
    """Consecutive parts for each of some groups, so that the most expensive group costs as little as can be.

    A pipeline is as fast as its slowest stage. Among the splits that are equally good by it, the one with the smallest
    sum of squares is taken.

    Args:
        costs: of each part, at least as many as groups.
        groups: how many.

    Returns:
        Numbers, from 0, of each group's parts.

    Example:
        >>> balance([1.0, 1.0, 1.0, 3.0], 2)
        [range(0, 3), range(3, 4)]
    """
    sums = [0.0, *itertools.accumulate(costs)]
    # best[n]: of the first n parts in the groups so far, the largest cost, the squares, and where groups end.
    best: dict[int, tuple[float, float, list[int]]] = {0: (0.0, 0.0, [0])}
    for group in range(1, groups + 1):
        new: dict[int, tuple[float, float, list[int]]] = {}
        for end in range(group, len(costs) - (groups - group) + 1):
            candidates = [
                (max(largest, sums[end] - sums[start]), squares + (sums[end] - sums[start]) ** 2, [*ends, end])
                for start, (largest, squares, ends) in best.items()
                if start < end
            ]
            new[end] = min(candidates)
        best = new
    ends = best[len(costs)][2]
    return [range(start, end) for start, end in itertools.pairwise(ends)]
