"""From an image file to the numbers a network sees, and the same geometry for its box and mask."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from spikesam.common.arguments import Option, checked_fields
from spikesam.common.errors import InputError, at
from spikesam.common.files import read_file
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.images._quiet_libraries import silent_libraries, silent_warnings

if TYPE_CHECKING:
    from spikesam.pipeline.images.events.events import Events

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels, end exclusive

FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "TIFF",
    "WEBP",
    "PPM",
)  # no others: fewer decoders, none starts a program
LARGEST_IMAGE = 1 << 28  # bytes: 64 Mi pixels of RGB without compression take three quarters of it
LARGEST_IMAGE_PIXELS = (
    1 << 26
)  # more than a full-frame camera takes; Pillow holds 4 bytes of each, up to three times
NUMBERS = Option("of each channel, or of grey", python="float | tuple[float, ...]")
TOO_MANY = f"expected at most {LARGEST_IMAGE_PIXELS:,} pixels; make it smaller"
LARGE_IMAGE_PIXELS = (
    LARGEST_IMAGE_PIXELS // 4
)  # beyond, images are unpacked one at a time, however many threads read
ROWS = 64  # of an image, converted at once
UPRIGHT = 1  # EXIF's orientation of most images
LARGEST_INPUT = 1 << 24  # pixels of a network's input, 4096×4096
LARGEST_RESIZED = 1 << 27  # pixels; only absurdly long strips pass it
_one_large_image = threading.Lock()


def read_image(source: Path | bytes, name: str | None = None) -> Image.Image:
    """Read an image file or its bytes as upright RGB, the first frame; refuses what is none, by
    `name` or path.
    """
    where = name or str(source if isinstance(source, Path) else "image")
    try:
        data = read_file(source, LARGEST_IMAGE) if isinstance(source, Path) else source
    except FileNotFoundError:
        raise InputError(f"{where}: no such file; give the path of an image") from None
    except OSError as error:
        raise InputError(
            f"{where}: cannot be read ({error.strerror}); give the path of an image"
        ) from None
    if not data:
        raise InputError(f"{where}: the file is empty (0 bytes), expected an image")
    try:
        with silent_warnings():  # large photos and odd metadata are no concern of the user's
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if (
                image.width * image.height > LARGEST_IMAGE_PIXELS
            ):  # unpacked, which it is not yet, it takes a gigabyte
                raise InputError(f"{where}: {image.width:,}×{image.height:,} pixels; {TOO_MANY}")
            with (
                _one_large_image
                if image.width * image.height > LARGE_IMAGE_PIXELS
                else nullcontext()
            ):
                # libtiff comments on what it reads
                with silent_libraries() if image.format == "TIFF" else nullcontext():
                    image.load()
                with at(where):
                    return to_rgb(image)
    except UnidentifiedImageError:
        expected = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise InputError(
            f"{where}: not an image, or in a format that is not read here; expected {expected}"
        ) from None
    except Image.DecompressionBombError:
        raise InputError(f"{where}: {TOO_MANY}") from None
    except (InputError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever a broken stream makes them stumble over
        reason = printable(error, 200)
        raise InputError(
            f"{where}: broken or truncated image ({reason}); get an intact copy"
        ) from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn upright (EXIF) and convert any mode to 8-bit RGB, without alpha; refuses floats that are
    not in 0 … 255.
    """
    if (
        image.getexif().get(ExifTags.Base.Orientation, UPRIGHT) != UPRIGHT
    ):  # else it would be copied
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        pixels = np.asarray(image)
        if not np.isfinite(pixels).all():
            raise InputError("got NaN or infinite pixels, expected finite numbers")
        low, high = pixels.min(), pixels.max()
        if low < 0 or high > 255:
            raise InputError(f"got pixels in {low:g} … {high:g}, expected 0 … 1 or 0 … 255")
        image = _grey(pixels, lambda rows: np.rint(rows * (255 if high <= 1 else 1)))
    elif image.mode.startswith("I"):
        pixels = np.asarray(image)
        sixteen_bits = image.mode != "I" or pixels.max() > 255
        image = _grey(pixels, lambda rows: np.clip(rows >> 8 if sixteen_bits else rows, 0, 255))
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(pixels: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Image.Image:
    """A grey image of (H, W) numbers, a few rows at a time: they may be many."""
    grey = np.empty(pixels.shape, np.uint8)
    for row in range(0, len(pixels), ROWS):
        grey[row : row + ROWS] = convert(pixels[row : row + ROWS])
    return Image.fromarray(grey)


def check_input_size(height: object, width: object) -> None:
    """Refuse what cannot be the size of a network's input."""
    for name, side in (("height", height), ("width", width)):
        if not isinstance(side, Integral) or side < 1:
            shown = printable(repr(side), LONGEST_NAME)
            raise InputError(f"{name} is {shown}, expected a whole number, at least 1")
    if height * width > LARGEST_INPUT:  # type: ignore[operator]
        raise InputError(f"got size {height}×{width}, expected at most {LARGEST_INPUT:,} pixels")


@checked_fields
@dataclass(frozen=True)
class Preprocessing:
    """RGB or grey, resized bilinearly until it just covers (height, width), centre-cropped, (p/255
    - mean)/std.

    The long side is rounded down and the crop's offset half to even, as torchvision's `Resize` and
    `CenterCrop` do.

    Parameters
    ----------
    height, width : of the network's input, pixels
    mean, std : of pixels in 0 … 1, per RGB channel, or one number each for grey ones (luma of ITU-R
        601)
    """

    height: int
    width: int
    mean: Annotated[tuple[float, ...], NUMBERS]
    std: Annotated[tuple[float, ...], NUMBERS]

    def __post_init__(self) -> None:
        with at("preprocessing"):
            check_input_size(self.height, self.width)
        for name in ("mean", "std"):
            if isinstance(number := getattr(self, name), Real):
                object.__setattr__(self, name, (number,))
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise InputError(
                f"preprocessing: got mean {self.mean} and std {self.std}, expected three numbers "
                "each, or one for grey"
            )
        if min(self.std) <= 0:
            raise InputError(
                f"preprocessing: got mean {self.mean}, std {self.std}, expected std > 0"
            )

    @property
    def channels(self) -> int:
        """3 of RGB images, 1 of grey ones."""
        return len(self.mean)

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest number that an image can have."""
        mean, std = np.array(self.mean), np.array(self.std)
        return float((-mean / std).min()), float(((1 - mean) / std).max())

    def picture(self, image: Image.Image | Events) -> NDArray[np.uint8]:
        """The network's view, for people: (H, W, 3) uint8, resized and cropped; grey is three equal
        channels.

        Raises
        ------
        InputError : if it is events
        """
        if not isinstance(image, Image.Image):
            raise InputError(
                "data: got events, but the network takes images; give images, or a network for "
                "events"
            )
        with at("image"):
            image = to_rgb(image)
        if self.channels == 1:
            image = image.convert("L").convert("RGB")
        resized, (left, top) = self._geometry(*image.size)
        image = image.resize(resized, Image.Resampling.BILINEAR)
        return np.asarray(image.crop((left, top, left + self.width, top + self.height)))

    def normalised(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Input of the encoder: (B, H, W, 3) uint8 pictures -> (B, C, H, W) float32, (p/255 -
        mean)/std.
        """
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        pixels = (
            np.asarray(pictures[..., : self.channels], np.float32) / np.float32(255) - mean
        ) / std
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 1))

    def image(self, image: Image.Image | Events) -> NDArray[np.float32]:
        """An image as the network's encoder gets it: (C, H, W) float32."""
        return self.normalised(self.picture(image)[None])[0]

    def box(self, box: Box, original_size: tuple[int, int]) -> Box | None:
        """The place in pictures of a box of an image of `original_size` (width, height) comes to
        lie; None if it is cropped away.
        """
        (width, height), (left, top) = self._geometry(*original_size)
        x_scale, y_scale = width / original_size[0], height / original_size[1]
        x0, x1 = (min(max(x * x_scale - left, 0.0), float(self.width)) for x in box[::2])
        y0, y1 = (min(max(y * y_scale - top, 0.0), float(self.height)) for y in box[1::2])
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The mask as it comes to lie: (h, w) bool of the original -> (H, W) bool; a pixel counts
        if half covered.
        """
        resized, (left, top) = self._geometry(*mask.shape[::-1])
        image = Image.fromarray(mask.astype(np.uint8) * 255).resize(
            resized, Image.Resampling.BILINEAR
        )
        return np.asarray(image.crop((left, top, left + self.width, top + self.height))) >= 128

    @property
    def picture_size(self) -> tuple[int, int]:
        """(H, W) of pictures."""
        return self.height, self.width

    def _geometry(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(width, height) after resizing, and the crop's (left, top) in it."""
        if self.width * height >= self.height * width:
            resized = (self.width, height * self.width // width)
        else:
            resized = (width * self.height // height, self.height)
        if resized[0] * resized[1] > LARGEST_RESIZED:
            raise InputError(
                f"image of {width}×{height} pixels: too long a strip to be resized; crop it first"
            )
        return resized, (
            round((resized[0] - self.width) / 2),
            round((resized[1] - self.height) / 2),
        )


def box_mask(box: Box, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels whose centre a box (x0, y0, x1, y1) covers, or else the pixel at its centre: (H,
    W) bool.
    """
    x0, y0, x1, y1 = box
    rows, columns = (np.arange(side) + 0.5 for side in size)
    mask: NDArray[np.bool_] = ((rows >= y0) & (rows < y1))[:, None] & (
        (columns >= x0) & (columns < x1)
    )[None, :]
    if not mask.any():
        row, column = np.clip([(y0 + y1) / 2, (x0 + x1) / 2], 0, np.subtract(size, 1)).astype(int)
        mask[row, column] = True
    return mask
