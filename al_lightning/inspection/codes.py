"""How far apart the codes of classes are, layer by layer (paper, section 6.9)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Below this spread the codes of all classes are nearly one point: what stands above them cannot tell classes apart.
COLLAPSED = 0.05


class Spread(NamedTuple):
    """Of the codes of K classes at one layer.

    Attributes:
        spread: mean distance of a code from the mean of all, over the mean length of a code.
        cosine: mean cosine of two classes' codes.
        simplex: root mean square of what cosines of centred codes are away from -1 / (K - 1), which they have where all
            classes are equally far apart.
    """

    spread: float
    cosine: float
    simplex: float

    @property
    def collapsed(self) -> bool:
        """Whether the codes are nearly one point."""
        return self.spread < COLLAPSED


def spread_of(codes: Tensor) -> Spread:
    """How far apart codes are.

    Args:
        codes: (K, N), K at least 2.

    Example:
        >>> spread_of(torch.eye(3))  # equally far apart
        Spread(spread=0.816..., cosine=0.0, simplex=0.0)
    """
    codes = codes.double()
    classes = len(codes)
    others = ~torch.eye(classes, dtype=torch.bool, device=codes.device)
    centred = codes - codes.mean(0)
    unit, centred_unit = F.normalize(codes, dim=1), F.normalize(centred, dim=1)
    away = (centred_unit @ centred_unit.T)[others] + 1 / (classes - 1)
    return Spread(
        float(centred.norm(dim=1).mean() / codes.norm(dim=1).mean().clamp_min(1e-12)),
        float((unit @ unit.T)[others].mean()),
        float(away.square().mean().sqrt().round(decimals=12)),
    )
