"""Arguments of every data module, for constructors that pass them on as keywords."""

from __future__ import annotations

from typing import TypedDict


class DataOptions(TypedDict, total=False):
    """What they mean stands at :class:`~al_lightning.data.BaseDataModule`."""

    label_noise: float
    noisy_validation: bool
    train_samples: int | None
    predict_from: str | None
