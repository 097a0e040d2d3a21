"""How many multiplications a module costs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from al_lightning.nn.state import batch_size, detach


class _LSTMCount:
    """Counts the multiplications of ``nn.LSTM``, whose kernels torch's own counter sees on some devices only.

    Args:
        counter: torch's, which is running.
    """

    def __init__(self, counter: FlopCounterMode) -> None:
        self._counter = counter
        self._before = 0
        #: What has to be added to the counter's number.
        self.missing = 0

    def enter(self, lstm: nn.Module, args: tuple[Any, ...]) -> None:
        """Remember what the counter says before an LSTM works."""
        self._before = self._counter.get_total_flops() // 2

    def leave(self, lstm: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        """Count 4 H (D + H) for each direction, layer, sample and step."""
        assert isinstance(lstm, nn.LSTM)
        samples_and_steps = args[0].shape[0] * args[0].shape[1]
        directions, hidden, width = 1 + lstm.bidirectional, lstm.hidden_size, lstm.input_size
        own = 0
        for _ in range(lstm.num_layers):
            own += directions * 4 * hidden * (width + hidden)
            width = directions * hidden
        self.missing += own * samples_and_steps - (self._counter.get_total_flops() // 2 - self._before)


def multiplications(path: nn.Module, x: Any) -> float:
    """Multiplications that a sample of a batch costs: those of matrix products, convolutions, attention and LSTMs.

    Args:
        path: such as ``module.path(k)``.
        x: a batch that it reads, (B, ...), B at least 1.
    """
    return counted(path, x)[1]


def counted(path: nn.Module, x: Any) -> tuple[Any, float]:
    """What a module makes of a batch, without gradients, and the multiplications that a sample of it costs.

    Args:
        path: any module.
        x: a batch that it reads, (B, ...), B at least 1.
    """
    counter = FlopCounterMode(display=False)
    lstms = _LSTMCount(counter)
    hooks = []
    for part in path.modules():
        if isinstance(part, nn.LSTM):
            hooks += [part.register_forward_pre_hook(lstms.enter), part.register_forward_hook(lstms.leave)]
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # what one kernel does for a whole attention is not counted
    try:
        with sdpa_kernel(SDPBackend.MATH), counter, torch.no_grad():
            out = path(detach(x))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for hook in hooks:
            hook.remove()
    return out, float(counter.get_total_flops() // 2 + lstms.missing) / batch_size(x)
