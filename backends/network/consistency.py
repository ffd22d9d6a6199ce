"""Checks that parts of a network agree, and that its sums stay small: called when a network is
built.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network._layers import PIXEL_LIMIT
from spikesam.backends.network.checks import NetworkError, pair
from spikesam.backends.network.synapses.linear import largest_row
from spikesam.backends.network.synapses.synapse import CURRENT_LIMIT
from spikesam.backends.network.table import by_sides
from spikesam.common.errors import at

if TYPE_CHECKING:
    from spikesam.backends.network.graph import Network

# What a network may ask for: a small file can declare much. VGG16 has 2²⁴ neurons at 224×224, and
# 2²⁶ at 512×512.
LONGEST = 1 << 16  # steps, as many as a raster can hold
MOST_LAYERS = 1 << 10
MOST_READ = 1 << 15  # sources of all layers together
LARGEST_MAP = (
    1 << 24
)  # neurons of a layer: 64 channels of 512×512; with padding, twice as many numbers are read
MOST_NEURONS = 1 << 27  # of all layers together, and of the input
MOST_BITS = 1 << 34  # of a sample: neurons times steps

FLOAT_LIMIT = (
    2.0**100
)  # of sums in float32, which holds 2¹²⁸: some ways to compute a convolution need more on the way


def check_network_size(network: Network) -> None:
    """Refuse more layers or sources than any network needs."""
    sources = sum(
        max(1, len(layer_input.sources)) for layer in network.layers for layer_input in layer.inputs
    )
    for count, limit, quantity in (
        (len(network.layers), MOST_LAYERS, "layers"),
        (sources, MOST_READ, "sources of layers"),
    ):
        if count > limit:
            raise NetworkError(f"network: got {count:,} {quantity}, expected at most {limit:,}")


def check_parts(network: Network) -> None:
    """Refuse parts that do not agree, maps that are too large, and sums that could overflow."""
    _check_neurons(network)
    _check_sources(network)
    _check_maps(network)
    inputs, expected = math.prod(network.shapes[-1]), network.readout.weight.shape[1]
    if expected != inputs:
        raise NetworkError(
            f"readout: weight expects {expected} inputs, layer {network.names[-1]!r} has {inputs} "
            "neurons"
        )
    if network.precision == "fixed":
        _check_sums(network)
    elif network.kind == "snn":
        _check_float_range(network)


def _check_maps(network: Network) -> None:
    """Refuse maps larger than any network needs, alone, padded, together, or over all steps."""
    for name, shape in zip(network.names, network.shapes, strict=True):
        if math.prod(shape) > LARGEST_MAP:
            raise NetworkError(
                f"layer {name!r}: its map is {by_sides(shape)}, expected at most {LARGEST_MAP:,} "
                "neurons"
            )
    for layer in network.layers:
        for layer_input in layer.inputs:
            synapse, (channels, *sides) = (
                layer_input.synapse,
                layer_input.arriving(network.shape_read(layer_input)),
            )
            geometry = zip(sides, pair(synapse.pool), pair(synapse.padding), strict=True)
            padded = (channels, *(side // pool + 2 * padding for side, pool, padding in geometry))
            if math.prod(padded) > 2 * LARGEST_MAP:
                raise NetworkError(
                    f"layer {layer.name!r}: with padding {synapse.padding} its input is "
                    f"{by_sides(padded)}, expected at "
                    f"most {2 * LARGEST_MAP:,} numbers"
                )
    neurons = sum(map(math.prod, network.shapes))
    if neurons > MOST_NEURONS or neurons * network.timesteps > MOST_BITS:
        raise NetworkError(
            f"network: has {neurons:,} neurons with the input, over {network.timesteps:,} steps; "
            f"expected at most {MOST_NEURONS:,}, and neurons times steps at most {MOST_BITS:,}"
        )


def _check_sources(network: Network) -> None:
    """Refuse a source that no spike can arrive from, and a layer that nothing reads."""
    for layer in network.layers:
        for source in layer.sources:
            if source.longest > max(1, network.timesteps - 1):
                raise NetworkError(
                    f"layer {layer.name!r}: reads {source.layer!r} {source.longest} steps later, "
                    f"expected less than T = {network.timesteps}"
                )
    for place, number in network.driven:
        layer = network.layers[place]
        where, layer_input = f"layer {layer.name!r}", layer.inputs[number]
        synapse = layer_input.synapse
        if (
            not synapse.reads_numbers
            or len(layer_input.sources) > 1
            or layer_input.sources[0].sign != 1
        ):
            raise NetworkError(
                f"{where}, input {number + 1}: reads the numbers of 'input', expected weights and "
                "no other source there"
            )
        if isinstance(layer_input.sources[0].delay, tuple):
            raise NetworkError(
                f"{where}, input {number + 1}: has a delay for each channel of the numbers of "
                "'input', expected one: "
                "they are weighed and summed before they arrive"
            )
        if synapse.pooling == "max" and synapse.pool != 1:
            raise NetworkError(
                f"{where}: pooling is 'max', expected 'average' in front of a current: maximum "
                "pooling is of spikes"
            )
    if lost := [layer.name for layer in network.layers if layer.name not in network.to_readout]:
        raise NetworkError(
            f"layer {lost[0]!r}: no way leads from there to the readout, expected one"
        )


def _check_neurons(network: Network) -> None:
    """Refuse neurons that cannot work together, or have constants for another number of steps."""
    if len({layer.neuron.spikes for layer in network.layers}) > 1:
        raise NetworkError("layers: got ReLU and spiking neurons in one network, expected either")
    if (
        len(
            {
                network.readout.weight.dtype,
                *(np.dtype(layer.neuron.weight_dtype) for layer in network.layers),
            }
        )
        > 1
    ):
        raise NetworkError(
            "layers and readout must be all float32 or all fixed point; see quantise()"
        )
    if (network.encoder == "image") != (network.kind == "ann"):
        neurons = "neurons that spike" if network.kind == "snn" else "neurons ReLU"
        expected = "an encoder of spikes or currents" if network.kind == "snn" else "'image'"
        raise NetworkError(
            f"encoder is {network.encoder!r}, expected {expected} of a network with {neurons}"
        )
    if network.kind == "ann" and network.timesteps != 1:
        raise NetworkError(
            f"timesteps is {network.timesteps}, expected 1 of a network with neurons ReLU"
        )
    if network.kind == "ann" and network.readout.leak != 1:
        raise NetworkError(
            f"readout: leak is {network.readout.leak}, expected 1 of a network with neurons ReLU, "
            "which has no steps"
        )
    for number, layer in enumerate(network.layers if network.kind == "ann" else (), 1):
        for source in layer.sources:
            if source.delay != 1 or network.place(source.layer) >= number:
                raise NetworkError(
                    f"layer {layer.name!r}: reads {source.layer!r} with delay {source.longest}, "
                    "expected a layer before it, and delay 1, of a network with neurons ReLU, "
                    "which has no steps"
                )
    if network.kind == "ann":
        with at("neurons ReLU"):
            network.check_sums_alone()
        if odd := [layer.name for layer in network.layers if not layer.inputs[0].synapse.channels]:
            raise NetworkError(
                f"layer {odd[0]!r}: its input has no weights, expected some in front of neurons "
                "ReLU"
            )
    rows = [(f"layer {layer.name!r}", "bias", layer.neuron.bias) for layer in network.layers]
    rows += [
        (layer.place_of_input(number), "gain", layer_input.gain)
        for layer in network.layers
        for number, layer_input in enumerate(layer.inputs)
    ]
    for where, field, values in (*rows, ("readout", "bias", network.readout.bias)):
        if len(values) not in (1, network.timesteps):
            raise NetworkError(
                f"{where}: {field} has {len(values)} steps, expected 1 or T = {network.timesteps}"
            )


def _check_sums(network: Network) -> None:
    """Refuse a network in fixed point whose sums could overflow."""
    worst = int(np.abs(network.readout.weight.astype(np.int64)).sum(axis=1).max())
    biases = int(np.abs(network.readout.bias.astype(np.int64)).max())
    if worst >= CURRENT_LIMIT or (worst + biases) * network.timesteps >= 1 << 31:
        raise NetworkError(
            f"readout: the int8 weights of one class sum to {worst:,}, its bias is up to "
            f"{biases:,}; over {network.timesteps} steps that could overflow; use fewer inputs or "
            "steps"
        )
    for place, number in network.driven:
        largest = network.layers[place].inputs[number].largest_current
        if largest * PIXEL_LIMIT >= CURRENT_LIMIT:
            raise NetworkError(
                f"layer {network.layers[place].name!r}: the int8 weights of one neuron sum to "
                f"{largest:,} in magnitude, which a current of pixels up to {PIXEL_LIMIT} could "
                f"take past 2²³ = {CURRENT_LIMIT:,}; use fewer inputs per neuron, less pooling, or "
                "the encoder 'poisson'"
            )


def _check_float_range(network: Network) -> None:
    """Refuse a network whose sums could leave float32: inf - inf is no number, and no neuron fires
    of it.
    """
    steps, readout = network.timesteps, network.readout
    sums = largest_row(readout.weight) + _largest(readout.bias)
    reached = {"readout": steps * sums * max(1.0, abs(readout.scale))}
    for layer in network.layers:
        neuron = layer.spiking_neuron
        current = sum(
            float(layer_input.most(network.shape_read(layer_input), layer_input.synapse.rough_sum))
            * max(1.0, _largest(layer_input.gain))
            for layer_input in layer.inputs
        )
        current += _largest(neuron.bias)
        current *= steps if np.any(neuron.synaptic_leak) else 1
        reached[f"layer {layer.name!r}"] = steps * float(
            current + np.max(neuron.threshold + neuron.subtracted)
        )
    for where, bound in reached.items():
        if not bound < FLOAT_LIMIT:
            raise NetworkError(
                f"{where}: what its numbers sum to over {steps} steps could reach {bound:.0e}, "
                f"expected less than {FLOAT_LIMIT:.0e} in float32; use smaller weights, gains, "
                "biases and thresholds"
            )


def _largest(numbers: NDArray[Any]) -> float:
    """The largest magnitude."""
    return max(float(numbers.max()), -float(numbers.min()))
