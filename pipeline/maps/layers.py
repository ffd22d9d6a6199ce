"""Layers that have maps, as a file of maps describes them, and the steps of which it keeps maps
beside the sums.

A layer without places, whose maps would be one pixel (dense, recurrent, a bank of filters), has
*bands*: each neuron is a row of its own, and its map step by step shows neurons over time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from spikesam.backends.network import Network, Shape
from spikesam.common.errors import InputError
from spikesam.recordings.maps.schema import MapLayer
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.schema import find_layer, steps_that_matter


def has_places(shape: Shape) -> bool:
    """True if a layer of (C, H, W) has more than one place."""
    return shape[1:] != (1, 1)


def laid_out(shape: Shape) -> Shape:
    """(C, H, W) as maps see it: where there are no places, neurons lie below each other, (1, C,
    1).
    """
    return shape if has_places(shape) else (1, shape[0], 1)


def map_layers(header: RasterHeader, layers: Iterable[LayerSpec]) -> tuple[MapLayer, ...]:
    """The entries of a file of maps for layers of a raster."""
    return tuple(
        MapLayer(
            layer.name, layer.number, laid_out(layer.shape)[1:], header.steps_that_matter(layer)
        )
        for layer in layers
    )


def network_layers(network: Network, names: Collection[str]) -> tuple[MapLayer, ...]:
    """The entries of a file of maps for layers of a network or ANN, in order of depth; no raster is
    needed.
    """
    rasters = zip(network.raster_names, network.raster_shapes, strict=True)
    return tuple(
        MapLayer(
            name, number, shape[1:], steps_that_matter(network.timesteps, network.to_readout[name])
        )
        for number, (name, shape) in enumerate(rasters, network.first_raster)
        if name in names
    )


def mapped_layers(
    shapes: Mapping[str, Shape], layer_names: Iterable[str], *, bands: bool
) -> tuple[str, ...]:
    """Names of the layers asked for, by name or number, in order of depth; if none is, all that
    have places, or all.

    `shapes` has (C, H, W) by name. Without `bands`, a layer without places is refused, as is one
    that is unknown.
    """
    first = 0 if "input" in shapes else 1
    numbers = {name: number for number, name in enumerate(shapes, first)}
    names = {
        find_layer(name, numbers)
        for name in ([layer_names] if isinstance(layer_names, str) else layer_names)
    }
    places = [name for name, shape in shapes.items() if has_places(shape)]
    if not bands and not places:
        raise InputError("its layers have no places, expected at least one that has more than one")
    if not bands and (without := names - set(places)):
        raise InputError(
            f"layer {min(without)!r} has no places in the image; choose from {', '.join(places)}"
        )
    return tuple(name for name in shapes if name in (names or places or shapes))


PICTURED = 4  # samples of which a command draws pictures unless it is told otherwise
EXPECTED = '"pictured", "all", "none", or first:last:every, such as 0:100 or ::10'


def kept_steps(
    choice: str, timesteps: int, n_samples: int, pictured: int = PICTURED
) -> tuple[tuple[int, ...], int]:
    """The steps to keep, ascending, and of how many first samples; refuses what is no such choice,
    or means no step.
    """
    if pictured < 0:
        raise InputError(f"pictured: got {pictured}, expected how many samples, at least 0")
    everything = tuple(range(timesteps))
    if choice == "pictured":
        samples = min(pictured, n_samples)
        return (everything, samples) if samples else ((), 0)
    if choice == "none":
        return (), 0
    if choice == "all":
        return everything, n_samples
    parts = re.fullmatch(r"(\d{0,9}):(\d{0,9})(?::(\d{0,9}))?", choice.strip(), re.ASCII)
    if not parts or (parts[3] and not int(parts[3])):
        raise InputError(f"steps: got {choice!r}, expected {EXPECTED}")
    first, last, stride = (int(part) if part else None for part in parts.groups())
    steps = everything[first:last:stride]
    if not steps:
        raise InputError(
            f"steps: {choice!r} means none of the {timesteps} steps, 0 to {timesteps - 1}"
        )
    return steps, n_samples
