"""Arrays and maps as text that a page can hold; layers without places as bands, neurons over time."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from spikesam.pipeline.maps.layers import has_places
from spikesam.recordings.raster.schema import LayerSpec

LEVEL = 1  # a hundred times as fast as zlib's 9, for 5 % more bytes


def blob(content: NDArray[Any]) -> str:
    """The bytes of an array in C-order; the page's own `inflate` undoes it."""
    return base64.b64encode(isal_zlib.compress(np.ascontiguousarray(content).tobytes(), LEVEL)).decode("ascii")


def heat_map(heat: NDArray[Any], signed: bool = False) -> dict[str, Any]:
    """A map (H, W) in 256 levels, enough for a picture: 0 to `most`, or with signs -most to most, 128 being 0."""
    most = float(np.abs(heat).max())
    levels = np.rint(heat * ((127 if signed else 255) / most if most > 0 else 0)) + 128 * signed
    return {"shape": heat.shape, "most": most, "levels": blob(levels.astype(np.uint8))}


def is_band(layer: LayerSpec) -> bool:
    """True of a layer without places, and of an input of one column, such as the channels of a sound."""
    return layer.kind == "dense" or not has_places(layer.shape) or (layer.kind == "input" and layer.shape[2] == 1)


def band_map(heat: NDArray[Any], steps: int, signed: bool = False) -> dict[str, Any]:
    """The first steps of (T, C, H, W) as a map (neurons, steps)."""
    return heat_map(heat.reshape(len(heat), -1)[:steps].T, signed)
