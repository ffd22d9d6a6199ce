"""PNG files: what Pillow reads of them is what was written."""

import io

import numpy as np
import pytest
from PIL import Image

from spikesam.pipeline.images.png import png


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (1, 1, 3), (16, 33, 3)])
def test_pixels_come_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png(pixels))) as image:
        image.verify()  # checksums
    with Image.open(io.BytesIO(png(pixels))) as image:
        assert image.mode == ("RGB" if len(shape) == 3 else "L")
        assert "dpi" not in image.info
        assert np.array_equal(np.asarray(image), pixels)


def test_the_file_says_how_many_pixels_an_inch_has() -> None:
    with Image.open(io.BytesIO(png(np.zeros((2, 2, 3), np.uint8), 120))) as image:
        assert image.info["dpi"] == pytest.approx((120, 120), abs=0.02)
