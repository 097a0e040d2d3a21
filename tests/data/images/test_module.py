"""What all image sets share: sizes, files to predict, arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
from set_files import draw

from al_lightning.data import CIFAR10, Digits, FashionMNIST


def test_padding_to_a_larger_size() -> None:
    data = Digits(image_size=12)
    images = data.dataset("test").images
    assert images.shape[-2:] == (12, 12)
    assert int(images[:, :, :2].sum() + images[:, :, -2:].sum()) == 0


def test_a_smaller_size_than_the_images_is_refused() -> None:
    with pytest.raises(ValueError, match="`image_size` to be at least 8, .* but got 4"):
        Digits(image_size=4).setup("fit")


def test_pixel_range_of_predicted_files(tmp_path: Path) -> None:
    """A photo of a digit has 256 grey values, the data set 17."""
    draw(tmp_path / "in" / "a.png", 255)
    data = Digits(predict_from=str(tmp_path / "in"))
    data.setup("predict")
    assert int(data.dataset("predict").images.max()) == 16


def test_a_set_says_what_is_usual() -> None:
    assert (CIFAR10().augment, CIFAR10(augment=False).augment) == (True, False)
    assert (Digits().augment, Digits(augment=True).augment) == (False, True)
    assert [kind().image_size for kind in (CIFAR10, Digits, FashionMNIST)] == [32, 8, 28]
    assert FashionMNIST(image_size=32).image_size == 32
