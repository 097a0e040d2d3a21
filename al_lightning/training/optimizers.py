"""Optimizers for recipes that torch's own arguments cannot say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class ConvDecayAdam(torch.optim.Adam):
    """Adam with an L2 penalty on the kernels of convolutions alone, as in the published VGG code.

    The penalty ``weight_decay / 2 * sum(w^2)`` adds ``weight_decay * w`` to the gradient, as Adam's own does (it is no
    AdamW). Adam scales every gradient to about the learning rate, so on the large linear maps of bridges and heads,
    whose gradients are tiny, even a small penalty would win over the loss.

    Args:
        params: parameters, not groups of them; the tensors of four dimensions or more are kernels.
        lr: learning rate.
        weight_decay: of the kernels, at least 0.

    Raises:
        ValueError: if ``weight_decay`` is below 0, or there is no parameter.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Linear(4, 5))
        >>> [group["weight_decay"] for group in ConvDecayAdam(net.parameters(), weight_decay=0.1).param_groups]
        [0.1, 0.0]
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, weight_decay: float = 0.0) -> None:
        if not weight_decay >= 0:
            raise ValueError(f"Expected `weight_decay` to be at least 0, but got {weight_decay}.")
        given = list(params)
        kernels = [p for p in given if p.ndim >= 4]
        others = [p for p in given if p.ndim < 4]
        groups: list[dict[str, Any]] = [
            {"params": kernels, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        # A layer may have no convolution; torch refuses to be given nothing at all.
        super().__init__([group for group in groups if group["params"]], lr)
