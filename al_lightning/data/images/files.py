"""Image files on disk."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.functional import pil_to_tensor


def read_image(path: Path, channels: int, size: int) -> Tensor:
    """Decode one image file and resize it (bilinear; proportions are not kept).

    Args:
        path: the file.
        channels: 1 for grey, 3 for colour.
        size: height and width of the result.

    Returns:
        (channels, size, size) uint8.

    Raises:
        ValueError: if the file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            converted = image.convert("L" if channels == 1 else "RGB")
            resized = converted.resize((size, size), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"Expected a readable image, but {path} is not one ({error}). Remove the file.") from None
    return cast(Tensor, pil_to_tensor(resized))


def image_files(folder: Path) -> list[Path]:
    """All image files below a folder, sorted.

    Raises:
        FileNotFoundError: if there is no such folder, or no image file in it.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS) if folder.is_dir() else []
    if not files:
        raise FileNotFoundError(
            f"Expected a folder with image files ({', '.join(IMG_EXTENSIONS)}) at {folder}, but found none. "
            "Name another folder, or put images there."
        )
    return files
