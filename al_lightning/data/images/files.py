"""Image files on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.functional import pil_to_tensor

#: Modes of Pillow whose last channel says how opaque a pixel is.
_MODES_WITH_ALPHA = ("LA", "PA", "RGBA")
#: File formats that store grey levels of 16 bits which older versions of Pillow hold as 32-bit integers.
_FORMATS_OF_16_BITS = ("PNG", "PPM")
#: Floating-point numbers may leave their range by so much, as rounding makes them.
_TOLERANCE = 1e-3


def read_image(path: Path, channels: int, size: int) -> Tensor:
    """Decode one image file and resize it (bilinear; proportions are not kept).

    The orientation that a camera wrote beside the pixels is applied, and transparent pixels are shown on white. Grey
    levels of 16 bits are divided by 257, so that 65535 becomes 255. Floating-point numbers count as grey levels in
    [0, 1] or in [0, 255], whichever range they fit first, and 32-bit integers as grey levels of 8 or of 16 bits.

    Args:
        path: the file.
        channels: 1 for grey, 3 for colour.
        size: height and width of the result.

    Returns:
        (channels, size, size) uint8.

    Raises:
        ValueError: if the file cannot be read as an image, has more pixels than Pillow accepts, or holds numbers that
            are no grey levels.
    """
    image, kind = _decode(path)
    if image.mode[0] in "IF":
        image = Image.fromarray(_grey_levels(image, kind, path))
    elif image.mode in _MODES_WITH_ALPHA or "transparency" in image.info:
        pixels = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
    try:
        converted = image.convert("L" if channels == 1 else "RGB")
    except ValueError:  # Pillow converts from LAB only with colour profiles
        raise ValueError(
            f"Expected an image of grey levels or of colours that Pillow converts to RGB, but {path} has the mode "
            f"{image.mode}. Save it as RGB, or remove the file."
        ) from None
    return cast(Tensor, pil_to_tensor(converted.resize((size, size), Image.Resampling.BILINEAR)))


def image_files(path: Path) -> list[Path]:
    """All image files below a folder, sorted, without hidden ones; or the one file that is named.

    Raises:
        FileNotFoundError: if there is neither, or no image file in the folder.
    """
    if path.is_file():
        return [path]
    files = sorted(_visible_images(path))
    if not files:
        raise FileNotFoundError(
            f"Expected an image file or a folder with image files ({', '.join(IMG_EXTENSIONS)}) at {path}, but found "
            "none. Name another folder, or put images there."
        )
    return files


def holds_images(folder: Path, deep: bool = True) -> bool:
    """Whether image files that are not hidden lie in a folder or, with ``deep``, anywhere below it."""
    return any(True for _ in _visible_images(folder, "**/*" if deep else "*"))


def visible_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones; none if there is no such folder."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not _is_hidden(p.name)) if folder.is_dir() else []


def _is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to programs: names with a dot in front, and what macOS adds to archives."""
    return name.startswith(".") or name == "__MACOSX"


def _visible_images(folder: Path, pattern: str = "**/*") -> Iterator[Path]:
    for file in folder.glob(pattern) if folder.is_dir() else ():
        if file.suffix.lower() not in IMG_EXTENSIONS or not file.is_file():
            continue
        if not any(_is_hidden(part) for part in file.relative_to(folder).parts):  # folders above may be hidden
            yield file


def _decode(path: Path) -> tuple[Image.Image, str | None]:
    """The upright pixels of a file in the mode that they are stored in, and the name of the file's format."""
    try:
        with Image.open(path) as image:
            image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"Expected an image of at most {Image.MAX_IMAGE_PIXELS} pixels, but {path} has more ({error}). Scale it "
            "down, remove the file, or set `PIL.Image.MAX_IMAGE_PIXELS` to a larger number if you trust it."
        ) from None
    except Exception as error:  # decoders raise errors of any type on damaged files: OSError, SyntaxError, ...
        raise ValueError(f"Expected a readable image, but {path} is not one ({error}). Remove the file.") from None
    try:
        return ImageOps.exif_transpose(image), image.format
    except Exception:  # of any type too; an orientation that cannot be read does not make pixels unreadable
        return image, image.format


def _grey_levels(image: Image.Image, kind: str | None, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Grey levels of 8 bits, (H, W), of an image of 16-bit, 32-bit or floating-point numbers.

    Pillow itself clips such numbers at 255, which leaves two grey levels of most images.
    """
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        largest, slack = [1, 255], _TOLERANCE
    elif image.mode == "I" and kind not in _FORMATS_OF_16_BITS:
        largest, slack = [255, 65535], 0.0
    else:
        largest, slack = [65535], 0.0
    low, high = values.min(), values.max()
    for limit in largest:
        if -slack <= low and high <= limit + slack:
            return np.rint(values.clip(0, limit) * (255 / limit)).astype(np.uint8)
    ranges = " or ".join(f"from 0 to {limit}" for limit in largest)
    raise ValueError(
        f"Expected the grey levels of {path} to be numbers {ranges}, but got numbers from {low:.6g} to {high:.6g}. "
        "Scale them to one of these ranges, or remove the file."
    )
