"""Messages of the graph about each sample: which arrays, in which order, and how they become maps
and rasters.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import FormedMaps, MapRequest
from spikesam.backends.network import Network
from spikesam.backends.trace import STEP_TYPE, SUM_TYPE, SpikeTrace, maps_of_packed
from spikesam.recordings.raster.batch import RasterBatch

# By ("bits", "maps", "sum" or "readout", name of the layer): the dtype and shape of an array, and
# the array.
MessageLayout: TypeAlias = dict[tuple[str, str], tuple[Any, tuple[int, ...]]]
Arrays: TypeAlias = dict[tuple[str, str], NDArray[Any]]


def sent_arrays(network: Network, request: MapRequest | None, sample: int) -> MessageLayout:
    """The arrays that the recorder sends of a sample, in order; the spikes of every layer if no
    maps are requested.
    """
    timesteps = network.timesteps
    layout: MessageLayout = {}
    if request is None:
        for name, size in zip(network.raster_names, network.raster_bytes, strict=True):
            layout["bits", name] = np.uint8, (timesteps, size)
    for layer in network.layers:
        if request and layer.name in request.summed:
            _, height, width = network.shape_of[layer.name]
            if sample < request.stepped:
                layout["maps", layer.name] = STEP_TYPE, (timesteps, height, width)
            layout["sum", layer.name] = SUM_TYPE, (height, width)
    layout["readout", ""] = (
        np.int32 if network.precision == "fixed" else np.float32,
        (network.classes,),
    )
    return layout


def message_bytes(layout: MessageLayout) -> int:
    """Bytes of all arrays."""
    return sum(np.dtype(kind).itemsize * prod(shape) for kind, shape in layout.values())


def parse_message(message: bytearray, layout: MessageLayout) -> Arrays:
    """The arrays of a message."""
    arrays: Arrays = {}
    start = 0
    for key, (kind, shape) in layout.items():
        arrays[key] = np.frombuffer(message, kind, prod(shape), start).reshape(shape)
        start += arrays[key].nbytes
    return arrays


def raster_of(network: Network, arrays: Arrays) -> RasterBatch:
    """The spikes and the readout of a sample."""
    spikes = {name: arrays["bits", name][None] for name in network.raster_names}
    return RasterBatch(spikes=spikes, readout=arrays["readout", ""][None])


def maps_of(network: Network, request: MapRequest, sample: int, arrays: Arrays) -> FormedMaps:
    """The maps of a sample as SAM, from the integers that the graph sends."""
    traces = {name: request.trace(network, name) for name in request.summed}
    stepped = traces.items() if sample < request.stepped else ()
    return FormedMaps(
        {name: trace.of_sum(arrays["sum", name]) for name, trace in traces.items()},
        {name: trace.of_steps(arrays["maps", name]) for name, trace in stepped},
        arrays["readout", ""],
    )


class LayerMapRequest(NamedTuple):
    """Maps of a layer that leave the graph: sums over the first `steps_that_matter`, all steps of
    `stepped` samples.
    """

    trace: SpikeTrace
    steps_that_matter: int
    stepped: int


def maps_of_layer(
    network: Network, request: MapRequest | None, name: str
) -> LayerMapRequest | None:
    """The request for one layer's maps, for its process; None if it has none."""
    if request is None or name not in request.summed:
        return None
    return LayerMapRequest(request.trace(network, name), request.summed[name], request.stepped)


def input_maps(network: Network, request: MapRequest, sample: int, spikes: memoryview) -> Arrays:
    """The input's maps of a sample, if requested, as the graph sends those of other layers."""
    name, shape = "input", network.input_shape
    if name not in request.summed:
        return {}
    steps = network.timesteps if sample < request.stepped else 0
    packed = np.frombuffer(spikes, np.uint8).reshape(network.timesteps, -1)
    maps, total = maps_of_packed(
        packed, shape, request.trace(network, name), request.summed[name], steps
    )
    return {("maps", name): maps.reshape(-1, *shape[1:]), ("sum", name): total.reshape(shape[1:])}
