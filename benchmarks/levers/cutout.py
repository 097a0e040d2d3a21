"""Images that lose a part in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from al_lightning.data import FashionMNIST
from al_lightning.data.images.module import ImageBatch
from al_lightning.training.randomness import Purpose, uniform


class CutoutFashionMNIST(FashionMNIST):
    """Fashion-MNIST whose training images lose a square at a random place (DeVries and Taylor, 2017).

    Args:
        hole: height and width of the square, pixels.
        options: see :class:`~al_lightning.data.FashionMNIST`.
    """

    def __init__(self, hole: int = 8, **options: Any) -> None:
        super().__init__(**options)
        self.hole = hole

    def prepare(self, batch: ImageBatch, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """Cut out after normalisation, where zero is the mean."""
        x, y = super().prepare(batch, training, epoch)
        if training:
            size = x.shape[-1]
            centre = uniform(Purpose.AUGMENTATION, 2, batch.sample, self.seed, epoch) * size
            near = (torch.arange(size, device=x.device) - centre[..., None]).abs() < self.hole / 2
            x = x.masked_fill((near[:, 0, :, None] & near[:, 1, None, :])[:, None], 0)
        return x, y
