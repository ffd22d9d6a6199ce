"""What measures share: a map is checked, and brought to the size of another."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.recordings.errors import InputError

Map = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

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


@lru_cache(maxsize=64)
def _weights(old: int, new: int) -> NDArray[np.float64]:
    """Weight of each of `old` cells of a row in each of `new` cells: (new, old), with two weights in a row."""
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    weights = np.maximum(1 - np.abs(centres[:, None] - np.arange(old)), 0)
    weights.setflags(write=False)
    return weights
