"""Early exits: samples that a path is sure of leave, and the rest goes on as a smaller batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from al_lightning.nn.layer import ALLayer
from al_lightning.nn.path import Reader, bridged
from al_lightning.nn.state import Compactable, State, select

#: Part of a batch that has to have left before the rest is copied together. On a CPU anything from 0 to 0.1 is as fast
#: (benchmarks/exits.py), a CNN is slower from 0.2 on and a Bi-LSTM from 0.4.
LEAVING = 0.1


class ExitThresholds(nn.Module):
    """Confidences above which samples leave, as a calibration has chosen them; part of the state dict.

    Args:
        depth: L, number of AL layers.
    """

    #: (L,), -1 while none were chosen.
    thresholds: Tensor
    #: (3,): the accuracy that they may lose, the confidence of that, and the number of the way to read paths out.
    promise: Tensor

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.register_buffer("thresholds", torch.full((depth,), -1.0))
        self.register_buffer("promise", torch.full((3,), -1.0))

    def keep(self, thresholds: Tensor, largest: float, confidence: float, way: int) -> None:
        """Keep what a calibration chose.

        Args:
            thresholds: of the first paths; at longer ones nobody leaves.
            largest: accuracy that they may lose.
            confidence: probability with which they do not lose more.
            way: number of the way to read paths out that they belong to.
        """
        self.thresholds.fill_(1.0)
        self.thresholds[: len(thresholds)] = thresholds.to(self.thresholds)
        self.promise.copy_(torch.tensor([largest, confidence, way]))

    def chosen(self) -> tuple[list[float], int] | None:
        """Thresholds and the number of the way to read paths out; None if none were chosen."""
        if bool((self.thresholds < 0).any()):
            return None
        return self.thresholds.tolist(), int(self.promise[2])


def exit_early(
    layers: Sequence[ALLayer],
    x: State,
    sure: Callable[[Tensor, int], Tensor],
    read: Reader | None = None,
    leaving: float = LEAVING,
    asked: Collection[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Let each sample leave at the first path that is sure of it.

    Samples that have left are taken out of the batch, so that the layers above work on fewer. While they are less than
    a part of it they stay: copying all others may cost more than it saves. What becomes of them is not looked at.

    Args:
        layers: all AL layers, in evaluation mode.
        x: the input, (B, ...), B at least 1.
        sure: from scores (B', width) and path length k to (B',) bool, which samples leave.
        read: reads the paths out; by their decoders if None.
        leaving: the part.
        asked: lengths of the paths at which anybody may leave; others are not read out. All if None.

    Returns:
        Scores (B, width) and the path length that made them, (B,) int64.
    """
    s: Any = x
    depth, read = len(layers), read or Reader(layers, "decoder")
    scores = place = exits = inside = torch.empty(0)
    for k, layer in enumerate(layers, 1):
        looked_at = k == depth or asked is None or k in asked
        faster = bridged(layer.f, layer.b, s) if looked_at else None
        if faster is None:
            s = layer.f(s)
        if not looked_at and not read.accumulates:
            continue
        path = read(k, layer.b(s) if faster is None else faster)
        if not len(scores):
            scores, place = torch.empty_like(path), torch.arange(len(path), device=path.device)
            exits, inside = torch.full_like(place, depth), torch.ones_like(place, dtype=torch.bool)
        if not looked_at:
            continue
        leaves = inside & sure(path, k) if k < depth else inside
        scores[place[leaves]] = path[leaves]
        exits[place[leaves]] = k
        inside = inside & ~leaves
        staying = int(inside.sum())
        if staying == 0:
            break
        if staying <= (1 - leaving) * len(inside):
            s, place = select(s, inside), place[inside]
            read.select(inside)
            inside = inside[inside]
        if faster is not None:  # those that stay need the layer's own state
            s = layer.f(s)
            s = s.compact() if isinstance(s, Compactable) else s
    return scores, exits
