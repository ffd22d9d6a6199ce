"""Measures of how well a map finds the object, beside baselines: centred guesses, and spikes
counted without SAM's kernel.

A map is first summed over the steps whose spikes can still change the answer, then resized to the
image. The object is a mask of the image. The measures lie between 0 (the map misses the object) and
1. A map that is zero everywhere scores 0: it points at nothing. Every measure takes one map or a
   stack of them, (..., H, W), and gives a value for each, (...).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.errors import at
from spikesam.pipeline.measures.maps import TIE, Map, Mask, checked_maps


def pointing_game(maps: Map, mask: Mask) -> NDArray[np.float64]:
    """Share of maxima on the object, 0 … 1, without tolerance around it (Zhang et al. 2016,
    arXiv:1608.00507).
    """
    with at("pointing game"):
        values, inside = _rows(maps, mask)
    highest = values.max(axis=-1, keepdims=True)
    maxima = values >= highest * (1 - TIE)
    return _fraction(_count(maxima & inside), _count(maxima), highest)


def energy_in_object(maps: Map, mask: Mask) -> NDArray[np.float64]:
    """Fraction of the sum, of values above 0, on the object (Wang et al. 2020, Score-CAM,
    arXiv:1910.01279).
    """
    with at("energy in object"):
        values, inside = _rows(maps, mask)
    energy = np.maximum(values, 0, dtype=np.float64)
    total = energy.sum(axis=-1)
    return _fraction(energy.compress(inside, axis=-1).sum(axis=-1), total, total[..., None])


def iou(maps: Map, mask: Mask) -> NDArray[np.float64]:
    """Intersection over union of the object with the pixels from half the maximum on, which was
    never tuned.

    Zhou et al. 2016 (CAM, arXiv:1512.04150) threshold at 0.2 and take the largest component's box.
    """
    with at("IoU"):
        values, inside = _rows(maps, mask)
    highest = values.max(axis=-1, keepdims=True)
    region = values >= 0.5 * highest * (1 - TIE)
    return _fraction(_count(region & inside), _count(region | inside), highest)


MEASURES: dict[str, Callable[[Map, Mask], NDArray[np.float64]]] = {
    "pointing game": pointing_game,
    "energy in object": energy_in_object,
    "IoU": iou,
}


def _rows(maps: Map, mask: Mask) -> tuple[Map, Mask]:
    """Pixels in a row: (..., H·W) of the maps, checked, and (H·W,) of the mask."""
    values = checked_maps(maps)
    return values.reshape(*values.shape[:-2], -1), mask.ravel()


def _count(pixels: Mask) -> NDArray[Any]:
    """Number of pixels that are set: (..., H·W) -> (...)."""
    return pixels.sum(axis=-1)


def _fraction(part: NDArray[Any], total: NDArray[Any], highest: Map) -> NDArray[np.float64]:
    """part / whole, and 0 for a map without a positive value: (...), (...) and (..., 1) ->
    (...).
    """
    has_values = highest[..., 0] > 0
    return np.divide(part, total, out=np.zeros(np.shape(part)), where=has_values)[()]


def centred_box(size: tuple[int, ...], area: float) -> NDArray[np.float64]:
    """Guess without the image: a centred box of `area` pixels with the proportions of the image, as
    a map (H, W).

    1 inside, and 1 + 1e-5 in the very centre, one or two pixels wide, where it points in the
    pointing game.
    """
    height, width = size
    scale = np.sqrt(area / (height * width))
    x, y = scale * width / 2, scale * height / 2
    rows, columns = (np.arange(side) + 0.5 for side in size)
    inside_rows = (rows >= height / 2 - y) & (rows < height / 2 + y)
    inside_columns = (columns >= width / 2 - x) & (columns < width / 2 + x)
    guess = (inside_rows[:, None] & inside_columns).astype(np.float64)
    guess[(height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1] = 1 + 10 * TIE
    return guess


@lru_cache(maxsize=64)
def centred_gaussian(size: tuple[int, ...]) -> NDArray[np.float64]:
    """Guess without image and area: a centred Gaussian (H, W) ≤ 1, with deviations of a quarter of
    the sides.
    """
    rows, columns = (
        np.exp(-((((np.arange(side) + 0.5) / side - 0.5) / 0.25) ** 2) / 2) for side in size
    )
    guess: NDArray[np.float64] = rows[:, None] * columns[None, :]
    guess.setflags(write=False)
    return guess
