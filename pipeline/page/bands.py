"""Bands: layers without places, which a page shows as neurons over time."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from spikesam.pipeline.maps.layers import has_places
from spikesam.pipeline.page.blob import heat_map
from spikesam.recordings.raster.schema import LayerSpec


def is_band(layer: LayerSpec) -> bool:
    """True of a layer without places, and of an input of one column, such as the channels of a sound."""
    return layer.kind == "dense" or not has_places(layer.shape) or (layer.kind == "input" and layer.shape[2] == 1)


def band_map(heat: NDArray[Any], steps: int, signed: bool = False) -> dict[str, Any]:
    """The first steps of (T, C, H, W) as a map (neurons, steps)."""
    return heat_map(heat.reshape(len(heat), -1)[:steps].T, signed)
