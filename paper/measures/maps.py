"""What the measures of experiments share: maps are compared in shape, averaged, min-max normalised, or called flat."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.pipeline.measures.maps import TIE, Map, checked, resize_map
from spikesam.recordings.errors import InputError

AUTHORS_FLOOR = 1e-3


def checked_pair(where: str, first: ArrayLike, second: ArrayLike, *, positive: bool = False) -> tuple[Map, Map]:
    """Two maps of one shape, see :func:`checked`."""
    one, other = checked(where, first, positive=positive), checked(where, second, positive=positive)
    if one.shape != other.shape:
        raise InputError(f"{where}: got maps of {one.shape} and {other.shape}, expected the same shape")
    return one, other


def average_map(maps: Map, size: tuple[int, ...]) -> NDArray[np.float64]:
    """Maps (..., h, w) made coarser: each cell the mean of what it covers; where it is finer, resized bilinearly."""
    averaged = np.asarray(maps, np.float64)
    height, width = averaged.shape[-2:]
    if width > size[1]:
        averaged = averaged @ _overlaps(width, size[1]).T
    if height > size[0]:
        averaged = _overlaps(height, size[0]) @ averaged
    return resize_map(averaged, size)


@lru_cache(maxsize=64)
def _overlaps(old: int, new: int) -> NDArray[np.float64]:
    """Which share each of `old` cells in a row has in each of `new` larger ones: (new, old), rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    cells = np.arange(old)
    shared = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    shares = np.maximum(shared, 0) * (new / old)
    shares.setflags(write=False)
    return shares


def is_flat(maps: Map) -> NDArray[np.bool_]:
    """Whether a map is the same everywhere, up to rounding (10⁻⁶ of its largest magnitude). (..., H, W) -> (...)."""
    lowest, highest = maps.min(axis=(-2, -1)), maps.max(axis=(-2, -1))
    flat: NDArray[np.bool_] = highest - lowest <= TIE * np.maximum(np.abs(lowest), np.abs(highest))
    return flat


def min_max(maps: ArrayLike, floor: float = 0.0) -> Map:
    """Every map (..., H, W) stretched to 0 … 1 by itself: (m - min) / (max - min + floor); a flat map becomes 0.

    The authors' code adds a floor of 10⁻³ (:data:`AUTHORS_FLOOR`). On SAM, whose unit is a spike, that changes a value
    by a part in a thousand at most where one spike is the range. On a gradient, which has no unit, it would decide the
    result: Grad-CAMs may be far below 10⁻³. So measures leave it out.
    """
    array = checked("min-max", maps)
    lowest = array.min(axis=(-2, -1), keepdims=True)
    span = array.max(axis=(-2, -1), keepdims=True) - lowest + array.dtype.type(floor)
    if floor == 0:
        span = np.where(is_flat(array)[..., None, None], array.dtype.type(np.inf), span)
    scaled: Map = (array - lowest) / span
    return scaled
