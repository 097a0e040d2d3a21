"""The augmentation of training images, by whole batches and the same on every device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from al_lightning.training.randomness import Purpose, uniform

#: Pixels of zero padding before a random crop of the original size.
CROP_PADDING = 4
#: Largest change of brightness, as a share of the pixel range (63 of 255, as in the published image code).
BRIGHTNESS = 63 / 255


def augment(images: Tensor, index: Tensor, seed: int, epoch: int) -> Tensor:
    """The paper's augmentation (section 6.6), random per sample and the same for (seed, epoch, sample).

    Pad by 4 and crop back, flip left and right, add a brightness in -63/255..63/255.

    Args:
        images: (B, C, H, W) float32 in [0, 1].
        index: (B,) int64, sample numbers.
        seed: the data seed.
        epoch: number of the epoch.

    Returns:
        (B, C, H, W) float32, in channels-last memory; brightness may leave [0, 1].
    """
    height, width = images.shape[-2:]
    draws = uniform(Purpose.AUGMENTATION, 4, index, seed, epoch)
    offsets = (draws[:, :2] * (2 * CROP_PADDING + 1)).long()
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    columns = torch.where(draws[:, 2:3] < 0.5, columns.flip(1), columns)
    padded = F.pad(images, (CROP_PADDING,) * 4)
    sample = torch.arange(len(images), device=images.device)
    cropped = padded[sample[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return cropped + (2 * draws[:, 3].view(-1, 1, 1, 1) - 1) * BRIGHTNESS
