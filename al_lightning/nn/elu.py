"""ELU, the activation of the paper's CNN, in operations that are fast on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from al_lightning.nn.unrecorded import unrecorded_on_cpu

#: Numbers that are worked on at a time, so that they stay in the processor's cache.
CHUNK = 131_072


class ELU(nn.ELU):
    r"""``nn.ELU``, :math:`\max(x, 0) + \alpha (e^{\min(x, 0)} - 1)`, with a faster forward where nothing is trained.

    torch computes ``expm1`` for it, which on a CPU takes several times as long as ``exp``; the paper's CNN, whose
    activation it is, needs two thirds of the time without (benchmarks/results/shortcuts-cpu-before.json). What comes
    out differs from torch's by rounding, 1e-7 in float32.

    Args:
        alpha: :math:`\alpha`.
        inplace: overwrite the input.

    Example:
        >>> with torch.no_grad():
        ...     ELU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.6321,  0.0000,  2.0000])
    """

    def forward(self, x: Tensor) -> Tensor:
        """From (B, ...) to the same shape and dtype."""
        if not unrecorded_on_cpu(x) or x.ndim == 0:
            return super().forward(x)
        y = x if self.inplace else x.clone()
        for part in torch.split(y, max(1, CHUNK * len(y) // max(1, y.numel()))):
            below = part.clamp(max=0).exp_().sub_(1)
            part.clamp_(min=0).add_(below, alpha=self.alpha)
        return y
