"""The numbers of a network with which the page itself simulates what depends on silenced spikes;
see js/simulate.js.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    LIF,
    NO_POOLING,
    THETA,
    Attention,
    Input,
    Layer,
    Network,
    Weighted,
    pair,
)
from spikesam.pipeline.measures.synaptic_operations import connections
from spikesam.pipeline.page._packing import blob
from spikesam.pipeline.page._shown_run import ShownRun

MOST = 1_000_000  # bytes of weights
MOST_OPERATIONS = 4_000_000_000  # of a sample: ten or twenty seconds, which can be stopped


def multiplying_counts(network: Network) -> list[str]:
    """Names of layers whose attention multiplies counts, or values of other channels than queries
    and keys.
    """
    return [
        layer.name
        for layer, layer_input, attention in network.inputs_of(Attention)
        if not attention.of_bits(
            layer_input, layer_input.arriving(network.shape_read(layer_input))[0]
        )
    ]


def unsimulated(run: ShownRun, steps: int) -> str | None:
    """The reason why the page cannot simulate a run of which it holds `steps` steps; None if it
    can.
    """
    if (network := run.whole_network) is None:
        return (
            "Nothing can be silenced here without the network: spikesam.report(run, network=…) "
            "makes a page with it."
        )
    weights = _weights(network)
    driven = [network.layers[place].name for place, _ in network.driven]
    counting = multiplying_counts(network)
    again = {name for layer in network.layers for name in network.dependents(layer.name)}
    if steps < run.steps:
        reason = "the page does not hold all steps"
    elif weights > MOST:
        reason = f"the network has weights of {weights:,} bytes, and a page holds at most {MOST:,}"
    elif (operations := _operations(run, network)) > MOST_OPERATIONS:
        reason = (
            f"a sample costs {operations:,} synaptic operations, and a page computes at most "
            f"{MOST_OPERATIONS:,}"
        )
    elif counting:
        reason = (
            f"{counting[0]} attends to counts of spikes, or to values of more channels; a "
            "page knows only bits"
        )
    elif lost := [name for name in driven if name in again]:
        reason = (
            f"currents of the input drive {lost[0]} beside spikes, and the run does not hold them"
        )
    else:
        return None
    return f"No spikes can be silenced here: {reason}. spikesam edit silences them."


def integers_of(network: Network) -> dict[str, Any]:
    """The numbers of a network as the page's script reads them: integers, or `real` ones of a
    network in float32.
    """
    readout, real = network.readout, network.precision != "fixed"
    leak_factor = THETA * np.float32(readout.leak)
    return {
        "classes": network.classes,
        "first": network.first_raster,
        "real": real,
        "shapes": network.shapes,
        "timesteps": network.timesteps,
        "layers": [_layer(layer, network) for layer in network.layers],
        "readout": {
            "weights": blob(readout.weight.T),
            "kept": float(leak_factor) if real else round(THETA * readout.leak),
            "bias": _rows(readout.bias, real),
            "scale": readout.scale / network.timesteps,
        },
    }


def _layer(layer: Layer, network: Network) -> dict[str, Any]:
    neuron, real = layer.spiking_neuron, network.precision != "fixed"
    channels = neuron.bias.shape[1]

    def every(constant: Any) -> list[float]:
        exact = (
            np.float32(constant).astype(np.float64) if real else np.rint(constant).astype(np.int64)
        )
        numbers: list[float] = np.broadcast_to(exact, channels).tolist()
        return numbers

    above = every(neuron.threshold if isinstance(neuron, LIF) else neuron.fires_above)
    if real and neuron.fires_at_threshold:
        above = np.nextafter(above, -np.inf).tolist()
    return {
        "inputs": [_input(layer_input, network) for layer_input in layer.inputs],
        "bias": _rows(neuron.bias, real),
        "kept": every(THETA * np.asarray(neuron.leak)),
        "keptCurrent": every(THETA * np.asarray(neuron.synaptic_leak)),
        "toZero": neuron.reset == "zero",
        "subtracted": every(0 if neuron.reset == "zero" else neuron.subtracted),
        "firesAbove": above,
        "lowest": None if neuron.min_v_mem is None else every(neuron.min_v_mem),
    }


def _input(layer_input: Input, network: Network) -> dict[str, Any]:
    """One input: its kernel, (C, y, x, outputs), is as large as the pooled map where the layer is
    dense.
    """
    places = [network.place(source.layer) for source in layer_input.sources]
    synapse, kernel = layer_input.synapse, None
    if isinstance(synapse, Weighted):
        pooled = synapse.pooled_shape(layer_input.arriving(network.shapes[places[0]]))
        kernel = synapse.kernel(synapse.weight, pooled)
    return {
        "sources": [
            [
                place,
                delay,
                source.sign,
                *([] if isinstance(channels, slice) else [channels.tolist()]),
            ]
            for place, source in zip(places, layer_input.sources, strict=True)
            for delay, channels in source.delays.items()
        ],
        "kernel": None if kernel is None else [*kernel.shape[2:]],
        "weights": None if kernel is None else blob(kernel.transpose(1, 2, 3, 0)),
        "pool": pair(synapse.pool),
        "largest": synapse.pooling == "max",
        "stride": pair(synapse.stride),
        "padding": pair(synapse.padding),
        "repeated": synapse.spread,
        "taken": [synapse.rows, synapse.columns],
        "heads": synapse.geometry.get("heads", 0),
        "summed": synapse.current_sum,
        "windows": None if synapse.windows == NO_POOLING else synapse.windows,
        "gain": _rows(layer_input.gain, False)
        if layer_input.fixed
        else _rows(layer_input.gain / synapse.averaged, True),
        "shift": layer_input.shift,
    }


def _rows(numbers: NDArray[Any], real: bool) -> str:
    """(1 or T, C) numbers as int32 or, if `real`, float64, little-endian."""
    return blob(numbers.astype("<f8" if real else "<i4"))


def _operations(run: ShownRun, network: Network) -> int:
    """Additions of weights in a sample, of the mean spikes and the mean fan-out of each layer."""
    spikes = {
        layer.name: run.raster.counts(layer).sum(axis=1, dtype=np.int64).mean()
        for layer in run.raster.layers
    }
    return round(
        sum(
            spikes.get(connection.source, 0) * connection.fan_out.mean()
            for connection in connections(network)
        )
    )


def _weights(network: Network) -> int:
    of_layers = sum(
        weight.nbytes
        for layer in network.layers
        for layer_input in layer.inputs
        for weight in layer_input.synapse.tensors.values()
    )
    return of_layers + network.readout.weight.nbytes
