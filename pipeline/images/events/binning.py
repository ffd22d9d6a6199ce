"""Events to the spikes of a network: binned in time, and brought to the size of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikesam.common.arguments import checked_fields
from spikesam.common.errors import InputError, at
from spikesam.common.text import LONGEST_NAME, brief, printable
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.preprocessing import Box, check_input_size

LARGEST = 1 << 31  # of the whole numbers of a binning
By = Literal["time", "count"]
ON, OFF, DARK = (
    np.array([255, 170, 90]),
    np.array([90, 170, 255]),
    24,
)  # colours of pictures, RGB and grey


@dataclass(frozen=True, eq=False)
class BinnedEvents:
    """Events as bits."""

    bits: NDArray[
        np.bool_
    ]  # (T, 2, H, W); plane 0 holds OFF events, plane 1 ON events: the plane is the polarity bit
    merged: int  # events that fell on a bit that another one had set already
    left_out: int  # events outside the crop, or later than the last bin

    __repr__ = brief

    @property
    def count(self) -> int:
        """The number of events."""
        return int(self.bits.sum()) + self.merged + self.left_out


@checked_fields
@dataclass(frozen=True)
class EventBinning:
    """The way from events to spikes: the preparation of a network whose input is events.

    Several events of one pixel, polarity and bin become one bit. A sensor larger than the input is
    cut to its middle and made smaller by a whole number: the middle `f·height` × `f·width` pixels,
    `f` the largest that fits, and each block of `f × f` pixels becomes one by OR. A smaller sensor
    is laid in the middle.

    Parameters
    ----------
    height, width : of the network's input, pixels
    bins : T, the number of bins
    window_us : length of a bin in µs, from time 0 on; None: the bins are equal parts of the whole
        recording
    by : "time"; or "count", where each bin holds equally many events of the part that is seen,
        whenever they happened

    Raises
    ------
    InputError : if a number is out of range, or a window is given beside "count"
    """

    height: int
    width: int
    bins: int
    window_us: int | None = None
    by: By = "time"

    def __post_init__(self) -> None:
        for name in (
            "height",
            "width",
            "bins",
            *(["window_us"] if self.window_us is not None else []),
        ):
            value = getattr(self, name)
            if not 1 <= value < LARGEST:
                shown = printable(repr(value), LONGEST_NAME)
                raise InputError(
                    f"event binning: {name} is {shown}, expected a whole number, at least 1"
                )
        with at("event binning"):
            check_input_size(self.height, self.width)
        if self.by == "count" and self.window_us is not None:
            raise InputError(
                "event binning: got window_us beside by='count', whose bins have no fixed length"
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(2, H, W) of the network's input."""
        return 2, self.height, self.width

    def binned(self, events: Image.Image | Events) -> BinnedEvents:
        """The events as bits; an InputError if it is an image, or no event is in the crop and in a
        bin.
        """
        if not isinstance(events, Events):
            raise InputError(
                "data: got an image, but the network takes events; give saccade-digits or "
                "recordings of events, or a "
                "network for images"
            )
        if self.width == 1 and events.sensor != (
            self.height,
            1,
        ):  # a channel is a pitch: none stands for another
            raise InputError(
                f"events: come from {events.sensor[0]:,}×{events.sensor[1]:,} channels, expected "
                f"{self.height:,}×1, as "
                "the network hears them"
            )
        factor, left, top = self._geometry(*events.size)
        x, y = (events.x - left) // factor, (events.y - top) // factor
        in_crop = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        bin_of = self._bins(events.t, in_crop)
        binned = in_crop & (bin_of < self.bins)
        if not binned.any():
            raise InputError(
                f"events: none of {len(events):,} is in the first {self.bins} bins and in the part "
                "of the sensor that "
                "the network sees; is t counted from the beginning of the recording, in µs?"
            )
        bits = np.zeros((self.bins, 2, self.height, self.width), np.bool_)
        bits[bin_of[binned], events.polarity[binned].astype(np.intp), y[binned], x[binned]] = True
        count = int(binned.sum())
        return BinnedEvents(bits, count - int(bits.sum()), len(events) - count)

    @property
    def picture_size(self) -> tuple[int, int]:
        """(H, W) of pictures: of a single column its pixels and the bins."""
        return self.height, self.bins if self.width == 1 else self.width

    def picture(self, events: Image.Image | Events) -> NDArray[np.uint8]:
        """The network's view, for people: (H, W, 3) uint8, see :func:`picture_of`."""
        return picture_of(self.binned(events).bits)

    def box(self, box: Box, original_size: tuple[int, int]) -> Box | None:
        """The place in pictures of a box of a sensor of `original_size` (width, height) lies in
        pictures; None if it is cropped away.
        """
        factor, left, top = self._geometry(*original_size)
        x0, x1 = (min(max((x - left) / factor, 0.0), float(self.width)) for x in box[::2])
        x0, x1 = (x * self.picture_size[1] / self.width for x in (x0, x1))
        y0, y1 = (min(max((y - top) / factor, 0.0), float(self.height)) for y in box[1::2])
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The mask as it comes to lie: (h, w) bool of the sensor -> (H, W) bool; a pixel counts if
        half covered.
        """
        factor, left, top = self._geometry(*mask.shape[::-1])
        crop_height, crop_width = self.height * factor, self.width * factor
        padded_mask = np.pad(mask, ((max(-top, 0), crop_height), (max(-left, 0), crop_width)))
        window = padded_mask[max(top, 0) :, max(left, 0) :][:crop_height, :crop_width]
        blocks = window.reshape(self.height, factor, self.width, factor)
        covered: NDArray[np.bool_] = 2 * blocks.sum(axis=(1, 3)) >= factor**2
        return covered

    def _bins(self, t: NDArray[np.int64], in_crop: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The bin of every event that is seen; `bins` or more for those that are later than the
        last.
        """
        if self.by == "count":
            return (np.cumsum(in_crop) - 1) * self.bins // max(int(in_crop.sum()), 1)
        if self.window_us is not None:
            return t // self.window_us
        return t * self.bins // (t[-1] + 1)

    def _geometry(self, width: int, height: int) -> tuple[int, int, int]:
        """Pixels per input pixel, and the (left, top) of the middle that is kept; negative of a
        smaller sensor.
        """
        factor = max(1, min(width // self.width, height // self.height))
        return factor, (width - self.width * factor) // 2, (height - self.height * factor) // 2


def picture_of(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Spikes (T, 2, H, W) as a picture (H, W, 3) uint8, ON orange, OFF blue: sums; of a single
    column (H, T, 3).
    """
    planes = (
        bits[..., 0].transpose(1, 2, 0) if bits.shape[3] == 1 else bits.sum(axis=0, dtype=np.int64)
    )
    off, on = planes.astype(np.int64)[..., None]
    spikes = np.maximum(on + off, 1)
    colour = (on * (ON - DARK) + off * (OFF - DARK)) / spikes
    return np.rint(DARK + colour * np.sqrt(spikes / spikes.max())).astype(np.uint8)
