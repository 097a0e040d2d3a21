"""Stops runs whose losses are no longer finite, and names samples that cannot be answered."""

from __future__ import annotations

import math
import warnings
from typing import NoReturn

import lightning.pytorch as pl
from torch import Tensor


def first_bad(losses: Tensor) -> int | None:
    """Number of the first of some losses (n,) that is infinite or NaN; None if all are finite.

    The device is waited for once, for the sum of all.
    """
    if math.isfinite(losses.sum().item()):
        return None
    # A sum of finite losses may still be too large.
    return next((number for number, value in enumerate(losses.tolist()) if not math.isfinite(value)), None)


def raise_not_finite(trainer: pl.Trainer, what: str, batch_idx: int) -> NoReturn:
    """Say which loss it was, and which checkpoint is still good.

    Args:
        trainer: of the run.
        what: the loss and its value.
        batch_idx: number of the batch in its epoch.

    Raises:
        FloatingPointError: always.
    """
    saved = trainer.checkpoint_callback
    path = getattr(saved, "last_model_path", "") or getattr(saved, "best_model_path", "")
    kept = f"The last good checkpoint is {path}." if path else "No checkpoint was written before."
    raise FloatingPointError(
        f"Expected finite losses, but the {what} at batch {batch_idx} of epoch {trainer.current_epoch}. Lower the "
        f"learning rate, set `gradient_clip_norm`, or look for infinities in the data. {kept}"
    )


def warn_of_bad_samples(scores: Tensor) -> Tensor:
    """Name the samples of a batch whose scores (B, ...) are no numbers; the device is waited for once.

    Returns:
        The scores.
    """
    bad = scores.isnan().unsqueeze(-1).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        warnings.warn(
            f"Expected inputs that are numbers, but the scores of {len(bad)} of {len(scores)} samples are not: numbers "
            f"{bad[:10]}{' and more' if len(bad) > 10 else ''} of the batch, from 0. The others are answered; look for "
            "NaN or infinity in these.",
            stacklevel=3,
        )
    return scores
