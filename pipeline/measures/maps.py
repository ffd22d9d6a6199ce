"""What measures share: a map is checked, brought to the size of another, min-max normalised, or called flat."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recordings.errors import InputError

Map = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

AUTHORS_FLOOR = 1e-3
TIE = 1e-6  # relative; resizing leaves equal values equal only up to rounding


def checked(where: str, maps: ArrayLike, axes: str = "(..., H, W)", *, positive: bool = False) -> Map:
    """The maps as floating-point numbers, if they are finite and have at least one pixel.

    Parameters
    ----------
    where : name of the measure, the start of the message
    axes : expected, such as "(T, H, W)"; a leading "..." allows any number more
    positive : whether negative values are refused too

    Raises
    ------
    InputError : if shape or values are not as expected
    """
    array = np.asarray(maps)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    expected = [axis for axis in axes.strip("()").split(", ") if axis != "..."]
    if array.ndim < len(expected) or (array.ndim > len(expected) and "..." not in axes) or not array.size:
        raise InputError(f"{where}: got maps of shape {array.shape}, expected {axes}, not empty")
    if not np.isfinite(array).all():
        raise InputError(f"{where}: got NaN or infinite values, expected finite maps; check what computed them")
    if positive and array.min() < 0:
        raise InputError(f"{where}: got a negative value ({array.min():g}), expected maps ≥ 0")
    return array


def checked_pair(where: str, first: ArrayLike, second: ArrayLike, *, positive: bool = False) -> tuple[Map, Map]:
    """Two maps of one shape, see :func:`checked`.

    Raises
    ------
    InputError : if the shapes differ, or a value is not as expected
    """
    one, other = checked(where, first, positive=positive), checked(where, second, positive=positive)
    if one.shape != other.shape:
        raise InputError(f"{where}: got maps of {one.shape} and {other.shape}, expected the same shape")
    return one, other


def resize_map(maps: Map, size: tuple[int, ...]) -> NDArray[np.float64]:
    """Bilinear, centres aligned: a cell stands for the block of pixels it was computed over.

    Beyond the outermost centres the nearest cell counts. Making a map smaller samples it at the new centres, without
    smoothing first. It is what skimage's `resize` does with `order=1, mode="edge", anti_aliasing=False`; as a product
    with two small matrices it takes a tenth of the time.

    Parameters
    ----------
    maps : (..., h, w)
    size : height and width of the result

    Returns
    -------
    (..., H, W) float64
    """
    resized = np.asarray(maps, np.float64)
    height, width = resized.shape[-2:]
    if width != size[1]:
        resized = resized @ _weights(width, size[1]).T
    return resized if height == size[0] else _weights(height, size[0]) @ resized


def average_map(maps: Map, size: tuple[int, ...]) -> NDArray[np.float64]:
    """A map at a coarser resolution: every cell the mean of what it covers; where it is finer, as :func:`resize_map`.

    Parameters
    ----------
    maps : (..., h, w)
    size : height and width of the result

    Returns
    -------
    (..., H, W) float64
    """
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


@lru_cache(maxsize=64)
def _weights(old: int, new: int) -> NDArray[np.float64]:
    """Weight of each of `old` cells of a row in each of `new` cells: (new, old), with two weights in a row."""
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    weights = np.maximum(1 - np.abs(centres[:, None] - np.arange(old)), 0)
    weights.setflags(write=False)
    return weights


def is_flat(maps: Map) -> NDArray[np.bool_]:
    """Whether a map is the same everywhere, up to rounding (10⁻⁶ of its largest magnitude). (..., H, W) -> (...)."""
    lowest, highest = maps.min(axis=(-2, -1)), maps.max(axis=(-2, -1))
    flat: NDArray[np.bool_] = highest - lowest <= TIE * np.maximum(np.abs(lowest), np.abs(highest))
    return flat


def min_max(maps: ArrayLike, floor: float = 0.0) -> Map:
    """Every map stretched to 0 … 1 by itself: (m - min) / (max - min + floor); a flat map becomes 0.

    The authors' code adds a floor of 10⁻³ (:data:`AUTHORS_FLOOR`). On SAM, whose unit is a spike, that changes a value
    by a part in a thousand at most where one spike is the range. On a gradient, which has no unit, it would decide the
    result: Grad-CAMs may be far below 10⁻³. So measures leave it out.

    Parameters
    ----------
    maps : (..., H, W)
    floor : ≥ 0, in the unit of the maps

    Returns
    -------
    (..., H, W), of the maps' floating-point type

    Raises
    ------
    InputError : if a value is NaN or infinite
    """
    array = checked("min-max", maps)
    lowest = array.min(axis=(-2, -1), keepdims=True)
    span = array.max(axis=(-2, -1), keepdims=True) - lowest + array.dtype.type(floor)
    if floor == 0:
        span = np.where(is_flat(array)[..., None, None], array.dtype.type(np.inf), span)
    scaled: Map = (array - lowest) / span
    return scaled
