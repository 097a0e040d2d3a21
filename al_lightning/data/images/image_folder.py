"""A user's own images, in one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.class_names import ClassNames, checked_names
from al_lightning.data.images.files import holds_images, image_files, visible_folders
from al_lightning.data.images.module import DEFAULT_SIZE, ImageOptions
from al_lightning.data.images.own_images import OwnImages

#: Folders of these names and no others are splits, unless the user says that they are classes.
_SPLIT_NAMES = {"train", "test", "val", "valid", "validation"}


class ImageFolder(OwnImages):
    """Images of ``root/<class>/*``, or of ``root/train/<class>/*`` and ``root/test/<class>/*``.

    The latter are read if ``root/train`` holds folders of images and no images itself: classes may be called train and
    test. ``root/test`` may lack classes, or be absent, but has none that ``root/train`` lacks. Hidden files and
    folders (``.name``, ``__MACOSX``) are neither images nor classes.

    All images are decoded and resized once and stay in memory: N x C x H x W bytes.

    Args:
        root: the folder.
        batch_size: images per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains.
        seed: seed of the validation split, label noise, order and augmentation.
        augment: whether training images are cropped, flipped and changed in brightness at random.
        image_size: height and width to which images are resized (bilinear; proportions are not kept).
        in_channels: 3 for colour, 1 for grey.
        test_fraction: share of the images that is the test split where there is no ``root/test``; always the same
            images.
        mean: mean of pixels in [0, 1], per channel or one for all.
        std: standard deviation of pixels in [0, 1], per channel or one for all.
        class_names: names of the folders, or whole numbers that are their names, in the order of the class numbers;
            all, sorted by name, if None.
        options: see :class:`~al_lightning.data.ImageDataModule`.

    Raises:
        FileNotFoundError: if ``root`` holds no folder of images.
        TypeError: if ``class_names`` are no names.
        ValueError: if an argument is out of its range, or ``root/test`` has a class that ``root/train`` lacks.
    """

    class_names: Sequence[str]

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        augment: bool = False,
        image_size: int = DEFAULT_SIZE,
        in_channels: Literal[1, 3] = 3,
        test_fraction: float = 0.2,
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.5,),
        class_names: ClassNames | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(
            root, batch_size, val_fraction, num_workers, seed, augment=augment, image_size=image_size,
            in_channels=in_channels, test_fraction=test_fraction, mean=mean, std=std, **options,
        )  # fmt: skip
        names = self._find_classes() if class_names is None else checked_names(class_names)
        self.class_names = names
        self.num_classes = len(names)
        self.record(class_names=names)  # so that predicting needs no training images

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels (N,) int64 of a split."""
        folder, is_whole = self._folder(split)
        names = list(enumerate(self.class_names))
        if is_whole and split == "test":
            self._refuse_new_classes(self.class_names)
            names = [(label, name) for label, name in names if holds_images(folder / name)]
        found = [(file, label) for label, name in names for file in image_files(folder / name)]
        if not found:
            raise FileNotFoundError(
                f"Expected folders of images called {', '.join(self.class_names)} in {folder}, but found none. Sort "
                f"the images into them, move {folder} away to test on a part of the training images, or predict images "
                "of unknown classes with `predict_from`."
            )
        labels = torch.tensor([label for _, label in found])
        own = torch.arange(len(found)) if is_whole else self.own_part(labels, split)
        return self.read_images([found[i][0] for i in own.tolist()]), labels[own]

    def _folder(self, split: Literal["train", "test"]) -> tuple[Path, bool]:
        """The folder of class folders that a split comes from, and whether all images in it are the split's."""
        root = Path(self.root)
        if self._is_split():
            return (root / split, True) if (root / "test").is_dir() else (root / "train", False)
        return root, False

    def _is_split(self) -> bool:
        root = Path(self.root)
        # A folder of nothing but test images serves to test a trained model, whose checkpoint knows the classes.
        parent = root / "test" if visible_folders(root) == ["test"] else root / "train"
        has_folders = any(holds_images(parent / name) for name in visible_folders(parent))
        return has_folders and not holds_images(parent, deep=False)

    def _find_classes(self) -> list[str]:
        folder, is_whole = self._folder("train")
        names = visible_folders(folder)
        if len(names) < 2:
            raise FileNotFoundError(
                f"Expected at least two folders of images, one per class, under {folder}, "
                f"but found {len(names)}. Name the right folder with `root`."
            )
        train = folder / "train"
        if set(names) <= _SPLIT_NAMES and any(holds_images(train / name) for name in visible_folders(train)):
            raise ValueError(
                f"Expected {train} to hold either images or one folder of images per class, but got both. Move the "
                f"images out of {train}, or pass `class_names={names}` if these are the classes."
            )
        if is_whole:
            self._refuse_new_classes(names)
        return names

    def _refuse_new_classes(self, names: Sequence[str]) -> None:
        train, test = Path(self.root) / "train", Path(self.root) / "test"
        known = {*names, *visible_folders(train)}  # classes may be left out by `class_names`
        new = [name for name in visible_folders(test) if name not in known and holds_images(test / name)]
        if new:
            raise ValueError(
                f"Expected every class of {test} to be one of {train}, but got {', '.join(new)} in addition. Remove "
                f"what no model can learn, or add the classes to {train}."
            )
