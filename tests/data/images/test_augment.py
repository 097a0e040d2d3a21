"""The augmentation of whole batches against one of single pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from al_lightning.data.images.augment import BRIGHTNESS, augment
from al_lightning.training.randomness import Purpose, uniform


def augment_reference(image: Tensor, index: int, seed: int, epoch: int) -> Tensor:
    """One image at a time, pixel by pixel."""
    top, left, flip, light = uniform(Purpose.AUGMENTATION, 4, torch.tensor([index]), seed, epoch)[0].tolist()
    channels, height, width = image.shape
    out = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            source = (width - 1 - column) if flip < 0.5 else column
            y, x = row + int(top * 9) - 4, source + int(left * 9) - 4
            if 0 <= y < height and 0 <= x < width:
                out[:, row, column] = image[:, y, x]
    return out + (2 * light - 1) * BRIGHTNESS


def test_augmentation_equals_the_reference() -> None:
    images = torch.rand(12, 3, 7, 7)
    index = torch.arange(100, 112)
    batch = augment(images, index, seed=4, epoch=2)
    for n in range(12):
        torch.testing.assert_close(batch[n], augment_reference(images[n], 100 + n, 4, 2))
    assert torch.equal(augment(images[[3, 1]], index[[3, 1]], 4, 2), batch[[3, 1]])
    assert not torch.equal(augment(images, index, 4, 3), batch)
