"""Adam and clipping for embeddings of which a batch touches few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn


def has_sparse_gradients(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether any gradient holds some rows only."""
    return any(p.grad is not None and p.grad.is_sparse for p in parameters)


def clip_gradient_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scale gradients so that their common 2-norm is at most ``max_norm``.

    It is torch's own function, but for sparse gradients, whose norm torch 2.6 cannot take.

    Args:
        parameters: whose gradients are changed in place; those without one are passed over.
        max_norm: above 0.
    """
    given = list(parameters)
    if not has_sparse_gradients(given):
        nn.utils.clip_grad_norm_(given, max_norm)
        return
    values: list[Tensor] = []
    for p in given:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = p.grad.coalesce()  # a word that stands twice in a batch has one gradient, not two
            values.append(p.grad.values())
        elif p.grad is not None:
            values.append(p.grad)
    factor = (max_norm / (nn.utils.get_total_norm(values) + 1e-6)).clamp(max=1)
    for value in values:
        value.mul_(factor)


class LazyAdam(torch.optim.Adam):
    r"""Adam that updates only the rows a batch touched, where a gradient is sparse; else torch's Adam.

    For a touched row with gradient g, as in Adam,

    .. math::

        m = \beta_1 m + (1 - \beta_1) g,\quad v = \beta_2 v + (1 - \beta_2) g^2,\quad
        p = p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    where t counts all steps. A row that no batch touches keeps its moments and does not move, whereas dense Adam
    lets its momentum run on: the two train different networks. Opt in on a text network by ``sparse_embedding=True``
    and this optimizer. All other parameters take one fused kernel.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the root of the second moment.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, fused=True)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; sparse gradients are left as they were."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse = [
            (group, p, p.grad) for group in self.param_groups for p in group["params"]
            if p.grad is not None and p.grad.is_sparse
        ]  # fmt: skip
        try:
            for _, p, _ in sparse:
                p.grad = None
            super().step()
        finally:
            for _, p, gradient in sparse:
                p.grad = gradient
        with torch.no_grad():
            for group, p, gradient in sparse:
                self._step_rows(group, p, gradient.coalesce())
        return loss

    def _step_rows(self, group: dict[str, Any], p: Tensor, gradient: Tensor) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(p)
            state["exp_avg_sq"] = torch.zeros_like(p)
        state["step"] += 1
        steps, (beta1, beta2) = float(state["step"]), group["betas"]
        rows, g = gradient.indices()[0], gradient.values()
        m = state["exp_avg"][rows].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = m, v
        denominator = (v / (1 - beta2**steps)).sqrt_().add_(group["eps"])
        p.index_add_(0, rows, m.div_(denominator), alpha=-group["lr"] / (1 - beta1**steps))
