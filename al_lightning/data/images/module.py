"""Images: one uint8 tensor in memory, augmented and normalised by whole batches on their device."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Self

from al_lightning.data.base import BaseDataModule
from al_lightning.data.dataset import LabelledDataset
from al_lightning.data.images.augment import augment as augment_images
from al_lightning.data.images.files import image_files, read_image
from al_lightning.data.options import DataOptions

#: Height and width of batches of a set whose images have no size of their own, if ``image_size`` is not set.
DEFAULT_SIZE = 32


class ImageBatch(NamedTuple):
    """What a loader yields: pixels (B, C, H, W) uint8, labels (B,) int64, sample numbers (B,) int64."""

    images: Tensor
    labels: Tensor
    sample: Tensor


class ImageOptions(DataOptions, total=False):
    """Arguments of :class:`ImageDataModule` for constructors that pass them on as keywords."""

    channels_last: bool


class ImageArrays(LabelledDataset[ImageBatch]):
    """Images and labels in memory.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N, ...).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __getitem__(self, index: Tensor) -> ImageBatch:
        return ImageBatch(self.images[index], self.labels[index], index)

    def take(self, samples: Tensor) -> tuple[Self, Tensor]:
        """Copy some samples, numbered anew, so that the memory of the others is freed."""
        return type(self)(self.images[samples], self.labels[samples]), torch.arange(len(samples))


class ImageDataModule(BaseDataModule[ImageBatch, ImageArrays]):
    """Abstract base of image sets: a subclass says its attributes and loads two splits as uint8 tensors.

    Args:
        root: folder that is searched for the data before they are downloaded.
        batch_size: images per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains; 0 is fastest, as the images are in memory.
        seed: seed of the validation split, label noise, order and augmentation.
        augment: whether training images are cropped, flipped and changed in brightness at random, as in the paper's
            section 6.6; what is usual for the set if None.
        image_size: height and width of the images in a batch: smaller images are padded with zeros; the size of the
            set's own images if None.
        label_noise: share of the training split (validation included) whose labels are redrawn uniformly from all
            classes.
        noisy_validation: whether redrawn labels stay in the validation split.
        train_samples: number of training samples to use (validation included), a seeded subset in the proportions of
            the whole; all if None.
        channels_last: whether the channels of a pixel lie side by side in memory. Convolutions keep this layout and
            tensor cores read it without a copy; results differ by rounding only.
        predict_from: an image file, or a folder of image files, to predict instead of the test split.

    Raises:
        ValueError: if an argument is out of its range.
    """

    raw_batch: ClassVar[type] = ImageBatch
    run_time_arguments: ClassVar[frozenset[str]] = BaseDataModule.run_time_arguments | {"channels_last"}

    #: Number of channels: 3 for colour, 1 for grey.
    in_channels: int = 3
    #: Pixel value that becomes 1 before normalisation.
    pixel_range: float = 255.0
    #: Mean and standard deviation per channel of the training split, after division by ``pixel_range``.
    mean: Sequence[float] = (0.5,)
    std: Sequence[float] = (0.5,)
    #: Height and width of the set's own images, the default of ``image_size``; None if they have no common size.
    native_size: int | None = None
    #: What ``augment=None`` means.
    default_augment: bool = False

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool | None = None,
        image_size: int | None = None,
        label_noise: float = 0.0,
        noisy_validation: bool = True,
        train_samples: int | None = None,
        channels_last: bool = False,
        predict_from: str | None = None,
    ) -> None:
        super().__init__(
            root,
            batch_size,
            val_fraction,
            num_workers,
            seed,
            label_noise=label_noise,
            noisy_validation=noisy_validation,
            train_samples=train_samples,
            predict_from=predict_from,
        )
        if image_size is not None and image_size < 1:
            raise ValueError(f"Expected `image_size` to be at least 1, but got {image_size}.")
        self.augment = self.default_augment if augment is None else augment
        self.image_size = image_size or self.native_size or DEFAULT_SIZE
        self.channels_last = channels_last
        self.record(augment=self.augment, image_size=self.image_size)  # what is usual may change with a version

    @abstractmethod
    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels (N, ...) of a split; class numbers are int64."""

    def load_split(self, split: Literal["train", "test"]) -> tuple[ImageArrays, Tensor]:
        """Load a split and pad its images to ``image_size``."""
        images, labels = self.load(split)
        return ImageArrays(self._padded(images), labels), torch.arange(len(labels))

    def load_unlabelled(self, path: Path) -> tuple[ImageArrays, list[str]]:
        """Read all image files below a folder; they are named by their paths."""
        files = image_files(path)
        size = self.native_size or self.image_size
        pixels = torch.stack([read_image(file, self.in_channels, size) for file in files])
        images = (pixels * (self.pixel_range / 255)).round().to(torch.uint8)
        labels = torch.zeros(len(files), dtype=torch.long)
        return ImageArrays(self._padded(images), labels), [str(file) for file in files]

    def prepare(self, batch: ImageBatch, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """Scale, augment if training, normalise.

        Args:
            batch: what a loader of this module yields, on any device.
            training: whether to augment (if this module does at all).
            epoch: number of the epoch, on which the random augmentation depends.

        Returns:
            x (B, C, H, W) float32 with about zero mean and unit variance, in channels-last memory if
            ``channels_last``, and y (B, ...).
        """
        x = batch.images.float().div_(self.pixel_range)
        if training and self.augment:
            x = augment_images(x, batch.sample, self.seed, epoch)
        mean = x.new_tensor(list(self.mean)).view(-1, 1, 1)
        std = x.new_tensor(list(self.std)).view(-1, 1, 1)
        # Not `contiguous`, which leaves images of one channel as they are, because these fit both layouts.
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return torch.div(x.sub_(mean), std, out=torch.empty_like(x, memory_format=layout)), batch.labels

    def _padded(self, images: Tensor) -> Tensor:
        missing = self.image_size - images.shape[-1]
        if missing < 0:
            raise ValueError(
                f"Expected `image_size` to be at least {images.shape[-1]}, the size of the images of "
                f"{type(self).__name__}, but got {self.image_size}."
            )
        before = missing // 2
        return F.pad(images, (before, missing - before) * 2)
