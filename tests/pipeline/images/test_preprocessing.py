"""From image files to numbers: against torchvision, by hand, and with whatever a disk may hold."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spikesam.common.errors import InputError
from spikesam.pipeline.images.preprocessing import Preprocessing, read_image, to_rgb

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    "size", [(64, 64), (100, 64), (64, 101), (333, 217), (31, 90), (7, 5), (1, 1)]
)
def test_as_torchvision_does(size):
    from torchvision import transforms as tv

    mean, std = (0.48, 0.45, 0.4), (0.27, 0.26, 0.28)
    steps = [tv.Resize(64), tv.CenterCrop(64), tv.ToTensor(), tv.Normalize(mean, std)]
    expected = tv.Compose(steps)(noise(*size))
    got = Preprocessing(64, 64, mean, std).image(noise(*size))
    assert got.dtype == np.float32
    # The same pixels: a grey level is 0.014, rounding 1e-6 (torch divides through a reciprocal on
    # some machines).
    assert np.abs(got - expected.numpy()).max() < 1e-6


def test_normalisation_by_hand():
    image = Image.new("RGB", (2, 2), (255, 0, 51))  # 1, 0 and 0.2
    x = Preprocessing(2, 2, (0.5, 0.5, 0.1), (0.25, 0.5, 0.2)).image(image)
    assert x[:, 0, 0].tolist() == pytest.approx([2.0, -1.0, 0.5])


def test_a_wide_input_is_just_covered():
    # A square image for a 2:1 input: the width decides, a quarter is cut off above and below.
    image = Image.new("RGB", (40, 40), (0, 0, 255))
    image.paste((255, 0, 0), (0, 10, 40, 30))
    picture = Preprocessing(height=20, width=40, **PLAIN).picture(image)
    assert picture.shape == (20, 40, 3)
    assert (picture == [255, 0, 0]).all()


def test_a_box_goes_where_its_pixels_go():
    # 200×100 → 64 high is 128×64, of which columns 32 … 96 are kept: x·0.64 - 32, y·0.64.
    prepare = Preprocessing(64, 64, **PLAIN)
    assert prepare.box((75, 25, 125, 75), (200, 100)) == pytest.approx((16, 16, 48, 48))
    assert prepare.box((0, 0, 100, 100), (200, 100)) == pytest.approx((0, 0, 32, 64))
    assert prepare.box((0, 0, 50, 100), (200, 100)) is None


@settings(max_examples=50)
@given(st.data(), st.integers(8, 60), st.integers(8, 60), st.integers(8, 40), st.integers(8, 40))
def test_box_and_mask_agree(data, width, height, rows, columns):
    x0, y0 = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    prepare = Preprocessing(rows, columns, **PLAIN)
    moved, box = prepare.mask(mask), prepare.box((x0, y0, x1, y1), (width, height))
    assert moved.shape == (rows, columns)
    assert moved.dtype == np.bool_
    if box is None:
        assert not moved.any()
    else:
        assert 0 <= box[0] < box[2] <= columns
        assert 0 <= box[1] < box[3] <= rows
        ys, xs = np.nonzero(moved)
        if len(ys):  # a mask thinner than half a pixel may vanish
            assert box[0] - 1 <= xs.min()
            assert xs.max() <= box[2]
            assert box[1] - 1 <= ys.min()
            assert ys.max() <= box[3]


def test_a_mask_of_the_same_size_stays_as_it_is():
    mask = np.random.default_rng(1).random((16, 16)) < 0.5
    assert np.array_equal(Preprocessing(16, 16, **PLAIN).mask(mask), mask)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_any_mode(mode):
    grey = Image.new("RGB", (9, 7), (255, 255, 255)).convert(mode)
    assert (Preprocessing(4, 4, **PLAIN).picture(grey) == 255).all()


def test_sixteen_bits_keep_their_upper_half_and_floats_are_of_1_or_255(tmp_path):
    pixels = np.array([[0, 255, 256], [0x7FFF, 0x8000, 0xFFFF]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    rgb = np.asarray(read_image(tmp_path / "deep.png"))
    assert rgb[..., 0].tolist() == [[0, 0, 1], [127, 128, 255]]
    assert (rgb[..., 0] == rgb[..., 2]).all()
    for shades, expected in (([0, 1], [0, 255]), ([0, 7.4], [0, 7])):
        assert (
            np.asarray(to_rgb(Image.fromarray(np.float32([shades]))))[0, :, 0].tolist() == expected
        )


def test_exif_orientation_is_honoured(tmp_path):
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise to view
    image.save(tmp_path / "photo.png", exif=exif)
    upright = read_image(tmp_path / "photo.png")
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 255, 255)
    assert to_rgb(upright).size == (2, 4)  # turned once, not again


def half(format: str) -> bytes:
    noise(40, 40).save(buffer := io.BytesIO(), format)
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


def tiff(*pixels: float) -> bytes:
    Image.fromarray(np.float32([pixels])).save(buffer := io.BytesIO(), "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(
            (half(format), "broken or truncated image|not an image")
            for format in ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
        ),
        (None, "no such file; give the path of an image"),
        (b"", r"the file is empty \(0 bytes\), expected an image"),
        (b"hello, world", "not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "broken or truncated|not an image"),
        (tiff(0, np.nan), "got NaN or infinite pixels, expected finite numbers"),
        (tiff(0, np.inf), "got NaN or infinite pixels, expected finite numbers"),
        (tiff(-3, 1000), "got pixels in -3 … 1000, expected 0 … 1 or 0 … 255"),
    ],
)
def test_files_that_are_no_images(content, message, tmp_path):
    file = tmp_path / "cat.jpg"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=rf"cat\.jpg: ({message})") as caught:
        read_image(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: read_image(Path(__file__).parent), "a folder, expected a file"),
        (
            lambda: Preprocessing(64, 64, **PLAIN).image(Image.new("RGB", (1_000_000, 2))),
            "image of 1000000×2 pixels: too long a strip",
        ),
        (
            lambda: Preprocessing(0, 64, (0, 0, 0), (1, 1, 1)),
            "height is 0, expected a whole number, at least 1",
        ),
        (
            lambda: Preprocessing(64, 64, "0.5", 1),
            "mean is '0.5', expected a number or a list of finite numbers",
        ),
        (lambda: Preprocessing(64, 64, (0, 0), (1, 1, 1)), "expected three numbers each"),
        (
            lambda: Preprocessing(64, 64, (0, 0, 0), (1, 0, 1)),
            "expected std > 0",
        ),
        (
            lambda: Preprocessing(64, 64, (0, float("nan"), 0), (1, 1, 1)),
            "mean has the member nan, expected a number or a list of finite numbers",
        ),
    ],
)
def test_what_cannot_be_prepared(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_one_number_is_that_of_grey_images() -> None:
    assert Preprocessing(8, 8, mean=0.5, std=0.25) == Preprocessing(8, 8, (0.5,), (0.25,))
