"""What a module reads: a batch ``(x, y)``, and samples in the type that the network computes with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from al_lightning.nn.sequence import Tokens


def split_batch(batch: Any) -> tuple[Any, Tensor]:
    """Take samples and labels out of a batch.

    Args:
        batch: a tuple or list of two, the second of them labels.

    Returns:
        ``x`` and ``y``.

    Raises:
        ValueError: if it is anything else, saying what to return.
    """
    if isinstance(batch, (tuple, list)) and not isinstance(batch, Tokens) and len(batch) == 2:
        x, y = batch
        if isinstance(y, Tensor):
            return x, y
    remedy = "return (x, y)"
    if isinstance(batch, Mapping):
        keys = list(batch)
        came = f"a dictionary with the keys {', '.join(map(str, keys))}"
        if len(keys) > 1:
            remedy = f"return batch[{keys[0]!r}], batch[{keys[1]!r}]"
    elif isinstance(batch, (tuple, list)):
        came = f"{type(batch).__name__} of {', '.join(type(part).__name__ for part in batch)}"
    else:
        came = type(batch).__name__
    raise ValueError(
        f"Expected a batch (x, y) of samples and a tensor of labels, but got {came}. Let the data set return the two, "
        f"or override `on_after_batch_transfer(self, batch, dataloader_idx)` of the data module: `{remedy}`."
    )


def in_own_dtype(x: Any, network: nn.Module) -> Any:
    """Floating-point samples in the type of a network's parameters; whatever else as it is.

    Data are float32 as a rule, also for networks that compute in float64 or bfloat16 throughout.

    Args:
        x: a tensor, or a NamedTuple of tensors.
        network: whose first floating-point parameter says the type.
    """
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    return x if dtype is None else _cast(x, dtype)


def _cast(x: Any, dtype: torch.dtype) -> Any:
    if isinstance(x, Tensor):
        return x.to(dtype) if x.is_floating_point() else x
    if isinstance(x, tuple) and "_fields" in vars(type(x)):
        return type(x)(*(_cast(part, dtype) for part in x))
    return x
