"""The numbers of golden vectors: a network in fixed point as plain arrays, and a graph that names
them.

Attention is refused. Every other kind of synapses is written as one form, which `README.md` of the
vectors explains: places of the sources, a pooling, a kernel, a maximum of the currents, their sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import FixedLIF, Input, Layer, Network, Shape, pair
from spikesam.backends.network.neurons import MEMBRANE_LIMIT, THETA
from spikesam.backends.network.synapses.linear import LinearSynapse, Weighted
from spikesam.common.errors import InputError

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Numbers:
    """A network: `graph` as JSON has it, with all that is no array, and arrays by name."""

    graph: dict[str, Any]
    arrays: Arrays


def numbers_of(network: Network) -> Numbers:
    """The numbers of a network; refuses what the form of the vectors cannot say."""
    if network.precision != "fixed":
        raise InputError(
            f"its network is in {network.precision}, expected fixed point, as `run` and `simulate` "
            "write without another precision"
        )
    if network.driven:
        driven = network.layers[network.driven[0][0]].name
        raise InputError(
            f"layer {driven!r} reads numbers of the input, which a raster does not hold; expected "
            "a network that reads spikes"
        )
    shapes = dict(zip(network.raster_names, network.raster_shapes, strict=True))
    nodes: list[dict[str, Any]] = [{"name": "input", "shape": list(shapes["input"])}]
    arrays: Arrays = {}
    for layer in network.layers:
        node, layer_arrays = _layer(layer, shapes)
        nodes.append(node)
        arrays |= {f"{layer.name}/{name}": array for name, array in layer_arrays.items()}
    readout = network.readout
    arrays["readout/weight"] = readout.weight
    arrays["readout/bias"] = readout.bias.astype(np.int32)
    graph = {
        "timesteps": network.timesteps,
        "layers": nodes,
        "readout": {"classes": network.classes, "leak": round(THETA * readout.leak)},
    }
    return Numbers(graph, arrays)


def _layer(layer: Layer, shapes: Mapping[str, Shape]) -> tuple[dict[str, Any], Arrays]:
    neuron, shape = layer.neuron, shapes[layer.name]
    assert isinstance(neuron, FixedLIF)
    lowest = -MEMBRANE_LIMIT if neuron.min_v_mem is None else neuron.min_v_mem
    constants = {
        "decay": neuron.decay,
        "synaptic_decay": neuron.synaptic_decay,
        "threshold": neuron.threshold,
        "reset_by": neuron.subtracted,
        "lowest": lowest,
    }
    arrays: Arrays = {
        name: np.broadcast_to(np.asarray(value, np.int32), shape[0])
        for name, value in constants.items()
    }
    arrays["bias"] = neuron.bias.astype(np.int32)
    inputs = []
    for number, layer_input in enumerate(layer.inputs, 1):
        node, input_arrays = _input(layer, layer_input, shapes)
        inputs.append(node)
        arrays |= {f"input{number}/{name}": array for name, array in input_arrays.items()}
    node = {
        "name": layer.name,
        "shape": list(shape),
        "reset_to_zero": neuron.reset == "zero",
        "fires_at_threshold": neuron.fires_at_threshold,
        "limits_current": len(inputs) > 1
        or bool(np.any(np.asarray(neuron.synaptic_decay) < THETA)),
        "inputs": inputs,
    }
    return node, arrays


def _input(
    layer: Layer, layer_input: Input, shapes: Mapping[str, Shape]
) -> tuple[dict[str, Any], Arrays]:
    synapse = layer_input.synapse
    if not isinstance(synapse, LinearSynapse):
        raise InputError(
            f"layer {layer.name!r} has {synapse.kind}, expected convolutions, dense layers and "
            "identities"
        )
    source_shape = shapes[layer_input.sources[0].layer]
    arriving = layer_input.arriving(source_shape)
    axes = ("channel", "row", "column")
    arrays: Arrays = {
        f"{axis}_of": places
        for axis, places in zip(axes, _places(synapse, source_shape), strict=True)
    }
    pool_height, pool_width = pair(synapse.pool)
    if isinstance(synapse, Weighted):
        pooled = arriving[0], arriving[1] // pool_height, arriving[2] // pool_width
        arrays["weight"] = synapse.kernel(synapse.weight, pooled)
    arrays["gain"] = layer_input.gain.astype(np.int16)
    sources = []
    for number, source in enumerate(layer_input.sources, 1):
        channels = shapes[source.layer][0]
        arrays[f"delay{number}"] = np.broadcast_to(np.asarray(source.delay, np.int16), channels)
        sources.append({"layer": source.layer, "sign": source.sign})
    windows = synapse.windows
    node = {
        "sources": sources,
        "shape": list(arriving),
        "pool": [pool_height, pool_width],
        "pools_maximum": synapse.pooling == "max",
        "weighted": "weight" in arrays,
        "stride": list(pair(synapse.stride)),
        "padding": list(pair(synapse.padding)),
        "currents": list(layer_input.unpooled_shape(source_shape)),
        "window": list(windows.sides),
        "window_stride": list(windows.stride),
        "window_padding": list(windows.padding),
        "sums_places": synapse.current_sum,
        "shift": layer_input.shift,
    }
    return node, arrays


def _places(synapse: LinearSynapse, source_shape: Shape) -> Iterator[NDArray[np.int32]]:
    """Of each channel, row and column of x, which one of the sources it is, -1 for zeros."""
    for side, times, chosen in zip(
        source_shape, synapse.spread, ((), synapse.rows, synapse.columns), strict=True
    ):
        spread = np.arange(side, dtype=np.int32).repeat(times)
        if not chosen:
            yield spread
            continue
        numbers = np.array(chosen)
        yield np.where(numbers < 0, np.int32(-1), spread[numbers])
