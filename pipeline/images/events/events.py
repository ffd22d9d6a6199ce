"""One recording of an event camera, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import checked_fields
from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, brief, printable
from spikesam.recordings.raster.batch import on_cpu

LATEST = 1 << 48  # µs: times a number of bins, it still fits 64 bits
MOST = (
    1 << 23
)  # events of a file: at about 100 bytes each while they are read, they take less than a gigabyte


def check_count(count: int) -> None:
    """Refuse more events than are read at once."""
    if count > MOST:
        raise InputError(
            f"events: got {count:,} or more, expected at most {MOST:,} in a file; cut the recording"
        )


@checked_fields
@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order of their times.

    Parameters
    ----------
    t : (n,) int64, µs — since the recording began
    x, y : (n,) int — column and row of the pixel, from the upper left corner
    polarity : (n,) bool — True where the pixel became brighter (ON), False where it became darker
        (OFF)
    sensor : (H, W), pixels

    Raises
    ------
    InputError : if there is no event, lengths differ, times go back or begin before 0, or a pixel
        is outside the sensor

    Examples
    --------
    Three events of a sensor with 4 rows and 6 columns, binned in two windows of 10 µs.

    >>> import spikesam
    >>> events = spikesam.Events(t=[0, 4, 12], x=[5, 5, 2], y=[0, 0, 3], polarity=[1, 1, 0],
    ... sensor=(4, 6))
    >>> binned = spikesam.EventBinning(height=4, width=6, bins=2, window_us=10).binned(events)
    >>> binned.bits.shape, int(binned.bits.sum()), binned.merged
    ((2, 2, 4, 6), 2, 1)
    """

    t: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    polarity: NDArray[np.bool_]
    sensor: tuple[int, int]

    __repr__ = brief

    def __post_init__(self) -> None:
        for name in ("t", "x", "y"):
            object.__setattr__(self, name, _whole(getattr(self, name), name))
        polarity = np.asarray(on_cpu(self.polarity))
        object.__setattr__(self, "polarity", polarity)
        lengths = {name: np.shape(getattr(self, name)) for name in ("t", "x", "y", "polarity")}
        if len(set(lengths.values())) > 1 or self.t.ndim != 1:
            raise InputError(
                f"events: got shapes {lengths}, expected one number of each for every event"
            )
        if polarity.dtype != np.bool_:
            if not np.isin(polarity, (0, 1)).all():
                raise InputError(
                    "events: polarity holds other values than 0 and 1 (OFF and ON); map them first"
                )
            polarity = polarity.astype(np.bool_)
        object.__setattr__(self, "polarity", polarity)
        if not len(self.t):
            raise InputError("events: got none, expected at least one event")
        if len(self.sensor) != 2 or min(self.sensor) < 1:
            raise InputError(
                f"events: got a sensor of {self.sensor}, expected (height, width), at least 1 each"
            )
        back = np.flatnonzero(np.diff(self.t) < 0)
        if len(back):
            earlier, later = self.t[back[0] : back[0] + 2]
            raise InputError(
                f"events: time goes back from {earlier} to {later} µs at event {back[0] + 1}; sort "
                "them by t"
            )
        if self.t[-1] >= LATEST:
            raise InputError(
                f"events: the last is at {self.t[-1]:,} µs, expected less than {LATEST:,}, nine "
                "years"
            )
        if self.t[0] < 0:
            raise InputError(
                f"events: the first is at {self.t[0]} µs, expected 0 or more; count from the "
                "beginning"
            )
        outside = np.flatnonzero(
            (self.x < 0) | (self.x >= self.sensor[1]) | (self.y < 0) | (self.y >= self.sensor[0])
        )
        if len(outside):
            first = outside[0]
            raise InputError(
                f"events: event {first} is at x = {self.x[first]}, y = {self.y[first]}, outside "
                "the sensor of "
                f"{self.sensor[0]}×{self.sensor[1]} (height × width) pixels"
            )

    def __len__(self) -> int:
        return len(self.t)

    @classmethod
    def from_tonic(cls, events: Any, sensor_size: tuple[int, int, int]) -> Events:
        """One recording of a data set of tonic, as the set gives it, without transforms.

        Parameters
        ----------
        events : structured array with the fields t (µs), x, y and p
        sensor_size : (W, H, polarities), as data sets of tonic have it; where it is None there,
            that of this recording

        Raises
        ------
        InputError : if a field is missing, or these are no events of such a sensor

        Examples
        --------
        >>> import numpy as np
        >>> import spikesam
        >>> given = np.array([(5, 0, 0, 1), (2, 3, 12, 0)], [("x", int), ("y", int), ("t", int),
        ... ("p", int)])
        >>> spikesam.Events.from_tonic(given, sensor_size=(6, 4, 2)).polarity
        array([ True, False])
        """
        names = getattr(getattr(events, "dtype", None), "names", None) or ()
        if lacks := [name for name in "txyp" if name not in names]:
            raise InputError(
                f"from_tonic: got no field {lacks[0]!r}, expected a structured array with t, x, y "
                "and p"
            )
        sides = tuple(sensor_size) if isinstance(sensor_size, (tuple, list)) else ()
        if len(sides) != 3 or not all(
            isinstance(side, (int, np.integer)) and side >= 1 for side in sides
        ):
            raise InputError(
                f"from_tonic: sensor_size is {printable(repr(sensor_size), LONGEST_NAME)}, "
                "expected (width, height, "
                "polarities) of this recording"
            )
        return cls(
            events["t"], events["x"], events["y"], events["p"], (int(sides[1]), int(sides[0]))
        )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as an image of Pillow says it."""
        return self.sensor[1], self.sensor[0]


def _whole(values: Any, name: str) -> NDArray[np.int64]:
    array = np.asarray(on_cpu(values))
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(
            f"events: got {name} of type {array.dtype}, expected integers (t in µs, x and y in "
            "pixels)"
        )
    return array.astype(np.int64)
