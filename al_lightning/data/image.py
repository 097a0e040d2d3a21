"""Images: one uint8 tensor in memory, augmented and normalised by whole batches on their device."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, TypedDict, cast

import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.functional import pil_to_tensor

from al_lightning.data.base import ClassificationDataModule, Split, stratified_split
from al_lightning.training import randomness

#: Pixels of zero padding before a random crop of the original size.
CROP_PADDING = 4
#: Largest change of brightness, as a share of the pixel range (63 of 255, as in the published image code).
BRIGHTNESS = 63 / 255


class ImageBatch(NamedTuple):
    """What a loader yields: pixels (B, C, H, W) uint8, labels (B,) int64, sample numbers (B,) int64."""

    images: Tensor
    labels: Tensor
    sample: Tensor


class ImageOptions(TypedDict, total=False):
    """Arguments of :class:`ImageDataModule` that every image set passes on."""

    label_noise: float
    noisy_validation: bool
    train_samples: int | None
    channels_last: bool
    predict_from: str | None


class ImageArrays(Dataset[ImageBatch]):
    """Images and labels in memory, indexed by a tensor of sample numbers."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> ImageBatch:
        return ImageBatch(self.images[index], self.labels[index], index)


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
    draws = randomness.uniform(4, index, seed, epoch)
    offsets = (draws[:, :2] * (2 * CROP_PADDING + 1)).long()
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    columns = torch.where(draws[:, 2:3] < 0.5, columns.flip(1), columns)
    padded = F.pad(images, (CROP_PADDING,) * 4)
    sample = torch.arange(len(images), device=images.device)
    cropped = padded[sample[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return cropped + (2 * draws[:, 3].view(-1, 1, 1, 1) - 1) * BRIGHTNESS


def read_image(path: Path, channels: int, size: int) -> Tensor:
    """One image file as uint8 (channels, size, size).

    Raises:
        ValueError: if the file is no image that can be read.
    """
    try:
        with Image.open(path) as image:
            converted = image.convert("L" if channels == 1 else "RGB")
            resized = converted.resize((size, size), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"Expected a readable image, but {path} is not one ({error}). Remove it.") from None
    return cast(Tensor, pil_to_tensor(resized))


def image_files(folder: Path) -> list[Path]:
    """All image files below a folder, sorted.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS) if folder.is_dir() else []
    if not files:
        raise FileNotFoundError(
            f"Expected a folder with image files ({', '.join(IMG_EXTENSIONS)}) at {folder}, but found none."
        )
    return files


class ImageDataModule(ClassificationDataModule[ImageBatch]):
    """Abstract base of image sets: a subclass loads two splits as uint8 tensors.

    Args:
        root: folder that is searched for the data before the network is.
        batch_size: samples a batch and process.
        val_fraction: share of the training split held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names split, label noise, order and augmentation.
        label_noise: share of the training split whose labels are redrawn.
        noisy_validation: whether the validation split keeps redrawn labels.
        augment: crop, flip and change the brightness of training images.
        image_size: height and width that batches have; smaller images are padded with zeros.
        train_samples: use only so many training samples (validation included), a stratified seeded subset;
            all if None.
        channels_last: hand out batches whose channels lie side by side in memory, which convolutions keep from
            layer to layer and tensor cores read without a copy; the same numbers but for rounding.
        predict_from: a folder of image files to predict in place of the test split.
    """

    run_time_arguments: ClassVar[frozenset[str]] = ClassificationDataModule.run_time_arguments | {"channels_last"}

    #: Channels of the images.
    in_channels: int = 3
    #: Pixel value that becomes 1 before normalisation.
    pixel_range: float = 255.0
    #: Mean and standard deviation per channel of the training split, after division by ``pixel_range``.
    mean: Sequence[float] = (0.5,)
    std: Sequence[float] = (0.5,)
    #: Height and width of the set's own images; None if they are resized to ``image_size``.
    native_size: int | None = None

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool = False,
        image_size: int = 32,
        label_noise: float = 0.0,
        noisy_validation: bool = True,
        train_samples: int | None = None,
        channels_last: bool = False,
        predict_from: str | None = None,
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, label_noise, noisy_validation)
        if image_size < 1:
            raise ValueError(f"Expected `image_size` to be at least 1, but got {image_size}.")
        if train_samples is not None and train_samples < 1:
            raise ValueError(f"Expected `train_samples` to be at least 1, but got {train_samples}.")
        self.augment = augment
        self.image_size = image_size
        self.train_samples = train_samples
        self.channels_last = channels_last
        self.predict_from = predict_from
        self._arrays: dict[str, ImageArrays] = {}
        self._indices: dict[str, Tensor] = {}
        self._names: list[str] | None = None

    @abstractmethod
    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels (N,) int64 of ``"train"`` or ``"test"``."""

    def setup(self, stage: str) -> None:
        """Load what a stage needs, once."""
        if stage in ("fit", "validate") and "train" not in self._arrays:
            images, labels = self._checked("train")
            if self.train_samples is not None and self.train_samples < len(labels):
                _, kept = stratified_split(
                    labels, self.train_samples / len(labels), self.seed, "train_samples as a share"
                )
                images, labels = images[kept], labels[kept]
            labels, train, val = self.split_labels(labels)
            arrays = ImageArrays(images, labels)
            self._arrays |= {"train": arrays, "val": arrays}
            self._indices |= {"train": train, "val": val}
        if stage == "predict" and self.predict_from is not None:
            files = image_files(Path(self.predict_from))
            size = self.native_size or self.image_size
            pixels = torch.stack([read_image(f, self.in_channels, size) for f in files])
            images = (pixels * (self.pixel_range / 255)).round().to(torch.uint8)
            self._add("predict", self._padded(images), torch.zeros(len(files), dtype=torch.long))
            self._names = [str(f) for f in files]
        elif stage in ("test", "predict") and stage not in self._arrays:
            images, labels = self._checked("test")
            self._add("test", images, labels)
            self._add("predict", images, labels)

    def dataset(self, split: Split) -> ImageArrays:
        """Images and labels of a split, in memory."""
        self._ready(split)
        return self._arrays[split]

    def indices(self, split: Split) -> Tensor:
        """Sample numbers of a split, (N,) int64."""
        self._ready(split)
        return self._indices[split]

    def prepare(self, batch: ImageBatch, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """Scale, augment if training, normalise.

        Args:
            batch: what a loader of this module yields, on any device.
            training: whether to augment (if this module does at all).
            epoch: number of the epoch, for the augmentation's draws.

        Returns:
            x (B, C, H, W) float32 with about zero mean and unit variance, in channels-last memory if
            ``channels_last``, and y (B,) int64.
        """
        x = batch.images.float().div_(self.pixel_range)
        if training and self.augment:
            x = augment(x, batch.sample, self.seed, epoch)
        mean = x.new_tensor(list(self.mean)).view(-1, 1, 1)
        std = x.new_tensor(list(self.std)).view(-1, 1, 1)
        # Not `contiguous`: both layouts fit images of one channel, which it leaves as they are.
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return torch.div(x.sub_(mean), std, out=torch.empty_like(x, memory_format=layout)), batch.labels

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Called by Lightning on every batch, on its device."""
        trainer = self.trainer
        assert trainer is not None
        return self.prepare(batch, training=trainer.training, epoch=trainer.current_epoch)

    def sample_names(self) -> list[str] | None:
        """Paths of the predicted files, if they are files."""
        return self._names

    def _ready(self, split: Split) -> None:
        """Notebooks ask for a loader without a Trainer that calls ``prepare_data`` and ``setup``."""
        if split not in self._indices:
            self.prepare_data()
            self.setup({"train": "fit", "val": "fit", "test": "test", "predict": "predict"}[split])

    def _add(self, split: Split, images: Tensor, labels: Tensor) -> None:
        self._arrays[split] = ImageArrays(images, labels)
        self._indices[split] = torch.arange(len(labels))

    def _checked(self, split: Split) -> tuple[Tensor, Tensor]:
        images, labels = self.load(split)
        if len(images) == 0:
            raise ValueError(
                f"Expected at least one image in the {split} split of {type(self).__name__}, but it is empty. "
                f"Look at the files under {self.root!r}."
            )
        return self._padded(images), labels

    def _padded(self, images: Tensor) -> Tensor:
        missing = self.image_size - images.shape[-1]
        if missing < 0:
            raise ValueError(
                f"Expected `image_size` to be at least {images.shape[-1]}, the size of the images of "
                f"{type(self).__name__}, but got {self.image_size}."
            )
        before = missing // 2
        return F.pad(images, (before, missing - before) * 2)
