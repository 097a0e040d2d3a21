"""Image files of every kind become the grey levels and colours that a viewer shows, or a sentence that names the file."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from al_lightning.data import Digits
from al_lightning.data.images.files import image_files, read_image

SIZE = 6
RAMP = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
COLOUR = (200, 100, 50)


def read(path: Path, channels: int = 1) -> np.ndarray[Any, Any]:
    pixels = read_image(path, channels, SIZE)
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (channels, SIZE, SIZE))
    return pixels.permute(1, 2, 0).squeeze(-1).numpy()


def save(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


# ---------------------------------------------------------------------- numbers that are no bytes


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
@pytest.mark.parametrize("step", [1, 257, 1872])
def test_grey_levels_of_16_bits(name: str, step: int, tmp_path: Path) -> None:
    """Divided by 257 whatever the brightest pixel is, so that a dark image stays dark."""
    path = save(tmp_path / name, (RAMP * step).astype(np.uint16))
    assert np.array_equal(read(path), np.rint(RAMP * step / 257))
    assert np.array_equal(read(path, 3), np.rint(RAMP * step / 257)[..., None].repeat(3, -1))


def test_grey_levels_of_16_bits_in_the_other_byte_order(tmp_path: Path) -> None:
    levels = RAMP * 1872
    Image.frombytes("I;16B", (SIZE, SIZE), levels.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    assert np.array_equal(read(tmp_path / "a.tif"), np.rint(levels / 257))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(path: Path, *chunks: bytes, bits: int = 8) -> Path:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, bits, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b""))
    return path


def test_a_png_of_16_bits_written_by_hand(tmp_path: Path) -> None:
    """The same without Pillow's writer: bytes 0 and 255 alone would not tell clipping from scaling."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RAMP * 1000)
    path = write_png(tmp_path / "a.png", chunk(b"IDAT", zlib.compress(rows)), bits=16)
    assert np.array_equal(read(path), np.rint(RAMP * 1000 / 257))


def test_modes_of_older_versions_of_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow 10 opens a PNG of 16 bits as 32-bit integers; a dark one has no other range than a bright one."""
    path = save(tmp_path / "a.png", (RAMP * 7).astype(np.uint16))
    original = Image.open

    def opened(name: Path) -> Image.Image:
        image = original(name)
        older = Image.fromarray(np.asarray(image).astype(np.int32))
        older.format = image.format
        return older

    monkeypatch.setattr(Image, "open", opened)
    assert np.array_equal(read(path), np.rint(RAMP * 7 / 257))


@pytest.mark.parametrize("low", [0.0, -1e-6])
def test_floating_point_grey_levels(low: float, tmp_path: Path) -> None:
    ramp = (RAMP / 35).astype(np.float32)
    ramp[0, 0] = low  # rounding leaves the range by a little
    assert np.array_equal(read(save(tmp_path / "a.tif", ramp)), np.rint(RAMP / 35 * 255))
    assert np.array_equal(read(save(tmp_path / "b.tif", ramp * 1.000001)), np.rint(RAMP / 35 * 255))
    assert np.array_equal(read(save(tmp_path / "c.tif", ramp * 255)), np.rint(RAMP / 35 * 255))
    assert np.array_equal(read(save(tmp_path / "d.tif", ramp * 0.4)), np.rint(RAMP / 35 * 0.4 * 255))


@pytest.mark.parametrize(("step", "divisor"), [(7, 1), (8, 257), (1872, 257)])
def test_integers_of_32_bits(step: int, divisor: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", (RAMP * step).astype(np.int32))
    assert np.array_equal(read(path), np.rint(RAMP * step / divisor))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (RAMP.astype(np.float32) * 8, "from 0 to 1 or from 0 to 255, but got numbers from 0 to 280"),
        (RAMP.astype(np.float32) - 20, "from 0 to 1 or from 0 to 255, but got numbers from -20 to 15"),
        (RAMP.astype(np.float32) / 35 - 0.1, "from 0 to 1 or from 0 to 255, but got numbers from -0.1 to 0.9"),
        (np.full((SIZE, SIZE), np.nan, np.float32), "from 0 to 1 or from 0 to 255, but got numbers from nan to nan"),
        (RAMP.astype(np.int32) * 2000, "from 0 to 255 or from 0 to 65535, but got numbers from 0 to 70000"),
        (RAMP.astype(np.int32) - 1, "from 0 to 255 or from 0 to 65535, but got numbers from -1 to 34"),
    ],
)
def test_numbers_that_are_no_grey_levels(pixels: np.ndarray[Any, Any], message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "scan.tif", pixels)
    with pytest.raises(ValueError, match=rf"^Expected the grey levels of .*scan\.tif to be numbers {message}\. Scale"):
        read(path)


# ---------------------------------------------------------------------- kinds of pixels


def test_palettes(tmp_path: Path) -> None:
    image = Image.new("P", (SIZE, SIZE), 1)
    image.putpalette([1, 2, 3, *COLOUR, 9, 9, 9])
    image.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", 3)[0, 0].tolist() == list(COLOUR)
    image.putpixel((0, 0), 2)
    image.putpixel((1, 0), 0)
    image.save(tmp_path / "b.png", transparency=bytes([128, 255, 0]))  # one opacity per colour
    assert read(tmp_path / "b.png", 3)[0, 2].tolist() == list(COLOUR)
    assert read(tmp_path / "b.png", 3)[0, 0].tolist() == [255] * 3
    assert read(tmp_path / "b.png", 3)[0, 1].tolist() == [127 + 1, 127 + 1, 127 + 2]


def test_transparent_pixels_are_shown_on_white(tmp_path: Path) -> None:
    """A drawing in black on nothing would else be black all over."""
    drawing = np.zeros((SIZE, SIZE, 4), np.uint8)
    drawing[1, 2] = [*COLOUR, 255]
    path = save(tmp_path / "a.png", drawing)
    assert read(path, 3)[1, 2].tolist() == list(COLOUR)
    assert read(path, 3)[0, 0].tolist() == [255] * 3
    assert read(path)[0, 0] == 255
    grey = np.zeros((SIZE, SIZE, 2), np.uint8)
    grey[1, 2] = [77, 255]
    path = save(tmp_path / "b.png", grey)
    assert (read(path)[1, 2], read(path)[0, 0]) == (77, 255)
    assert read(path, 3)[1, 2].tolist() == [77] * 3


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_colour_that_stands_for_transparency(mode: str, tmp_path: Path) -> None:
    image = Image.new(mode, (SIZE, SIZE), "black")
    image.putpixel((2, 1), 255 if mode == "L" else COLOUR)
    image.save(tmp_path / "a.png", transparency=0 if mode == "L" else (0, 0, 0))
    assert read(tmp_path / "a.png", 3)[0, 0].tolist() == [255] * 3
    assert read(tmp_path / "a.png", 3)[1, 2].tolist() == ([255] * 3 if mode == "L" else list(COLOUR))


def test_inks_and_single_bits(tmp_path: Path) -> None:
    Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif", 3)[0, 0].tolist() == [255, 0, 0]
    Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read(tmp_path / "a.jpg", 3)[0, 0].astype(int) - [255, 0, 0]).max() < 8
    assert 70 < read(tmp_path / "a.tif")[0, 0] < 82
    path = save(tmp_path / "b.png", RAMP % 2 == 1)
    assert np.array_equal(read(path), RAMP % 2 * 255)


def test_colours_without_a_conversion_are_refused(tmp_path: Path) -> None:
    Image.new("LAB", (SIZE, SIZE)).save(tmp_path / "lab.tif")
    with pytest.raises(ValueError, match=r"converts to RGB, but .*lab\.tif has the mode LAB\. Save it as RGB"):
        read(tmp_path / "lab.tif")


# ---------------------------------------------------------------------- orientation

#: What each orientation of EXIF does to the stored rows and columns (tag 274 of CIPA DC-008).
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("name", "kind"), [("a.png", np.uint8), ("a.png", np.uint16), ("a.tif", np.float32)])
def test_orientation(orientation: int, name: str, kind: type, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    step = 257 if kind is np.uint16 else 1
    ramp = RAMP.clip(2).astype(kind) * step  # floating-point numbers above 1 are bytes
    assert np.array_equal(read(save(tmp_path / name, ramp.astype(kind), exif=exif)), UPRIGHT[orientation](RAMP.clip(2)))


def test_photos_are_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    photo = np.zeros((48, 96), np.uint8)
    photo[:, :48] = 255  # white on the left as stored, which the camera held as the top
    pixels = read(save(tmp_path / "a.jpg", photo, exif=exif))
    assert (pixels[:2] > 200).all()
    assert (pixels[-2:] < 55).all()


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03", b"Exif\0\0II*\0\xff\xff\0\0"]
)
def test_an_orientation_that_cannot_be_read_is_none(exif: bytes, tmp_path: Path) -> None:
    assert np.array_equal(read(save(tmp_path / "a.png", RAMP.astype(np.uint8), exif=exif)), RAMP)


# ---------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.ppm", "a.webp"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_truncated_files(name: str, share: float, tmp_path: Path) -> None:
    path = save(tmp_path / name, np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"^Expected a readable image, but .*{re.escape(name)} is not one .*Remove"):
        read(path)


def test_damage_of_which_decoders_raise_other_errors(tmp_path: Path) -> None:
    """Pillow raises a SyntaxError of the first file and a ValueError of the second, without the file's name."""
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in RAMP.tolist()))
    broken = [chunk(b"IDAT", pixels[:8]), chunk(b"ID\0T", pixels[8:])]
    bomb = [chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000))), chunk(b"IDAT", pixels)]
    for name, chunks in (("broken", broken), ("bomb", bomb)):
        path = write_png(tmp_path / f"{name}.png", *chunks)
        with pytest.raises(ValueError, match=rf"^Expected a readable image, but .*{name}\.png is not one .*Remove"):
            read(path)
    assert np.array_equal(read(write_png(tmp_path / "whole.png", chunk(b"IDAT", pixels))), RAMP)


@pytest.mark.parametrize("limit", [10, 30])
def test_decompression_bombs(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above twice the limit Pillow raises an error, below it a warning, which is an error here."""
    path = save(tmp_path / "a.png", RAMP.astype(np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(
        ValueError, match=rf"^Expected an image of at most {limit} pixels, but .*a\.png has more .*Scale"
    ):
        read(path)


# ---------------------------------------------------------------------- which files


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    root = tmp_path / ".cache" / "photos"  # folders above the named one do not matter
    for name in (
        "b.png",
        "deep/a.PNG",
        "._b.png",
        ".ipynb_checkpoints/b.png",
        "__MACOSX/b.png",
        "deep/__MACOSX/x/._b.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        save(root / name, RAMP.astype(np.uint8))
    (root / "folder.png").mkdir()
    (root / "notes.txt").write_text("no image")
    assert image_files(root) == [root / "b.png", root / "deep" / "a.PNG"]
    assert image_files(root / "__MACOSX") == [root / "__MACOSX" / "b.png"]
    data = Digits(predict_from=str(root))
    data.setup("predict")
    assert data.sample_names() == [str(root / "b.png"), str(root / "deep" / "a.PNG")]


def test_one_file_is_predicted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((9, 9), 65535, np.uint16))
    data = Digits(predict_from=str(path))
    data.setup("predict")
    assert data.sample_names() == [str(path)]
    assert int(data.dataset("predict").images.min()) == 16
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"readable image, but .*a\.txt is not one"):
        Digits(predict_from=str(tmp_path / "a.txt")).setup("predict")


def test_nothing_to_predict(tmp_path: Path) -> None:
    (tmp_path / ".hidden.png").touch()
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="an image file or a folder with image files .* but found none"):
            Digits(predict_from=str(path)).setup("predict")
