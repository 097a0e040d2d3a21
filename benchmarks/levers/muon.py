"""Muon for networks whose weights are not all matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn


class MatrixMuon(torch.optim.Optimizer):
    """Muon for matrices and for convolutions' kernels, each read as a matrix (out, rest); Adam for all other weights.

    Its state is not saved: a trial is never resumed.

    Args:
        params: the weights.
        lr: learning rate of Adam; Muon's is as large, and scaled to Adam's usual update.
        momentum: of Muon.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 1e-3, momentum: float = 0.95) -> None:
        given = list(params)
        self.kernels = [p for p in given if p.ndim > 1]
        others = [p for p in given if p.ndim < 2]
        groups = [{"params": part} for part in (self.kernels, others) if part]
        super().__init__(groups, {"lr": lr})
        self.matrices = [nn.Parameter(p.data.view(len(p), -1)) for p in self.kernels]  # the same memory
        self.inner: list[torch.optim.Optimizer] = []
        if self.kernels:
            adjust = "match_rms_adamw"
            muon = torch.optim.Muon(self.matrices, lr, weight_decay=0, momentum=momentum, adjust_lr_fn=adjust)
            self.inner.append(muon)
        if others:
            self.inner.append(torch.optim.Adam(others, lr))

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both, at the learning rates that a scheduler has set here."""
        loss = None if closure is None else closure()
        for matrix, kernel in zip(self.matrices, self.kernels):
            matrix.grad = None if kernel.grad is None else kernel.grad.reshape(matrix.shape)
        for group, optimizer in zip(self.param_groups, self.inner):
            optimizer.param_groups[0]["lr"] = group["lr"]
            optimizer.step()
        return loss
