"""What a pipeline of AL stages, or a bound on its rivals, would take on devices that nobody has at hand.

A pipeline's batches are played through one by one (:func:`pipeline_seconds`). Beside it stand bounds that no run of
backpropagation can pass on the same devices: GPipe and 1F1B, which have the same bubble (:func:`microbatch_seconds`),
and data parallelism (:func:`data_parallel_seconds`). They assume that small batches are as efficient as large ones and
that whatever can overlap does. ``predict.py`` puts measured times in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from al_lightning.nn.balance import balance


class Link(NamedTuple):
    """Between two devices, one for each direction.

    Attributes:
        bandwidth: bytes a second.
        latency: seconds until the first byte is there.
    """

    bandwidth: float
    latency: float

    def seconds(self, size: float) -> float:
        """Until so many bytes are there."""
        return self.latency + size / self.bandwidth


def pipeline_seconds(
    work: Sequence[float],
    sizes: Sequence[float],
    link: Link,
    in_flight: int,
    log_every: int,
    batches: int = 500,
    pace: Sequence[float] = (1.0,),
) -> float:
    r"""Seconds a step of a pipeline of AL stages, the first ones that fill it included.

    Stage k begins batch n when it has ended batch n - 1 and batch n has arrived:
    :math:`b_{k,n} = \max(e_{k,n-1}, a_{k,n})`. It ends when it has worked and, since at most ``in_flight`` - 1 batches
    wait to be received, batch n - ``in_flight`` + 1 is there: :math:`e_{k,n} = \max(b_{k,n} + p_n w_k,
    a_{k+1,n-F+1})`. One batch only is received in advance, so that a link carries one at a time:
    :math:`a_{k+1,n} = \max(e_{k,n}, b_{k+1,n-1}) + \mathrm{link}(s_k)`. Where losses are gathered all
    stages wait for the last.

    Args:
        work: seconds of each stage with a batch.
        sizes: bytes that each stage but the last hands on.
        link: between neighbours.
        in_flight: the strategy's.
        log_every: steps between two gatherings of losses.
        batches: how many.
        pace: how many times as long as usual each batch takes in every stage, as longer texts do; taken in turn.
    """
    stages, room = len(work), in_flight - 1
    begun = [[0.0] * batches for _ in work]
    ended = [[0.0] * batches for _ in work]
    arrived = [[0.0] * batches for _ in work]
    waited = 0.0  # until when all stages waited for each other
    for n in range(batches):
        for k in range(stages):
            previous = max(ended[k][n - 1], waited) if n else 0.0
            if k:
                on_the_way = max(ended[k - 1][n], begun[k][n - 1]) if n else ended[k - 1][n]
                arrived[k][n] = on_the_way + link.seconds(sizes[k - 1])
            begun[k][n] = max(previous, arrived[k][n])
            ended[k][n] = begun[k][n] + work[k] * pace[n % len(pace)]
            if k + 1 < stages and n >= room:  # room is made by the next stage, whose batch n - room is known
                ended[k][n] = max(ended[k][n], arrived[k + 1][n - room])
        if (n + 1) % log_every == 0:
            waited = max(stage[n] for stage in ended)
    return ended[-1][-1] / batches


def microbatch_seconds(costs: Sequence[float], sizes: Sequence[float], link: Link, parts: int, stages: int) -> float:
    r"""A bound on the seconds of a step by GPipe or 1F1B: :math:`(m + K - 1) \max_k c_k / m`, and the links' time.

    The first micro-batch goes up and the last gradient comes down over every link while nothing hides it. Both
    schedules have this bubble; they differ in memory (1F1B keeps K micro-batches, GPipe all).

    Args:
        costs: seconds of forward and backward of each block with a whole batch.
        sizes: bytes that enter each block but the first.
        link: between neighbours.
        parts: m, micro-batches.
        stages: K.
    """
    ranges = balance(costs, stages)
    slowest = max(sum(costs[number] for number in own) for own in ranges)
    over = sum(2 * link.seconds(sizes[own.start - 1] / parts) for own in ranges[1:])
    return (parts + stages - 1) / parts * slowest + over


def data_parallel_seconds(step: float, size: float, link: Link, devices: int) -> float:
    r"""A bound on the seconds of a step by data parallelism, :math:`\max(T / D, r)`.

    A ring reduces gradients of P bytes in :math:`r = 2 (D - 1) (\mathrm{latency} + P / (D\,\mathrm{bandwidth}))`, at
    best all of it beside the backward.

    Args:
        step: T, seconds of a step on one device.
        size: P.
        link: between neighbours.
        devices: D.
    """
    return max(step / devices, 2 * (devices - 1) * link.seconds(size / devices))
