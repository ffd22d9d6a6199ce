"""Layers that have maps, as a file of maps describes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from spikesam.backends.network import Network
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.schema import MapLayer
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.schema import find_layer, steps_that_matter


def map_layers(header: RasterHeader, layers: Iterable[LayerSpec]) -> tuple[MapLayer, ...]:
    """The entries of a file of maps for layers of a raster."""
    return tuple(
        MapLayer(layer.name, layer.number, layer.shape[1:], header.steps_that_matter(layer)) for layer in layers
    )


def network_layers(network: Network, names: Collection[str]) -> tuple[MapLayer, ...]:
    """The entries of a file of maps for layers of a network or ANN, in order of depth; no raster is needed."""
    rasters = zip(network.raster_names, network.raster_shapes, strict=True)
    return tuple(
        MapLayer(name, number, shape[1:], steps_that_matter(network.timesteps, network.to_readout[name]))
        for number, (name, shape) in enumerate(rasters, network.first_raster)
        if name in names
    )


def spatial_layers(kinds: Mapping[str, str], asked: Iterable[str], where: object) -> tuple[str, ...]:
    """Names of the layers asked for, in order of depth, or of all that have a spatial extent if none is.

    `kinds` has "input", "conv" or "dense" by name, in order of depth: the input has number 0, the layer behind it
    number 1. `asked` holds names or numbers. An InputError if a layer is unknown or dense, or none is left.
    """
    first = 0 if "input" in kinds.values() else 1
    numbers = {name: number for number, name in enumerate(kinds, first)}
    names = {find_layer(name, numbers, where) for name in ([asked] if isinstance(asked, str) else asked)}
    spatial = [name for name, kind in kinds.items() if kind != "dense"]
    if dense := names - set(spatial):
        raise InputError(
            f"{where}: layer {min(dense)!r} is dense, its neurons have no place in the image; "
            f"choose from {', '.join(name for name in spatial) or 'none'}"
        )
    if not spatial:
        raise InputError(f"{where}: has dense layers only, expected at least one with a spatial extent")
    return tuple(name for name in spatial if name in names or not names)
