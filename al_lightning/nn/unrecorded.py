"""When a module may compute the same another way: on a CPU, where nobody looks at how it is done."""

from __future__ import annotations

import torch
from torch import Tensor


def unrecorded_on_cpu(x: Tensor) -> bool:
    """Whether nothing records what is done with a tensor: neither autograd nor a compiler nor an export.

    Args:
        x: any tensor; on another device than the CPU the answer is no, and so it is for half precision, where a sum or
            a difference that is computed another way would be far off.
    """
    precise = x.dtype in (torch.float32, torch.float64)
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    recorded = torch.is_grad_enabled() or torch.compiler.is_compiling() or tracing
    return precise and x.device.type == "cpu" and not recorded
