"""Float networks whose weights take a byte each: whole numbers times a scale per layer, on disk
stored as int8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.checks import NetworkError
from spikesam.backends.network.graph import Network
from spikesam.backends.network.quantise import integer_weight, weight_steps
from spikesam.backends.network.synapses.linear import WEIGHT_LIMIT
from spikesam.common.arguments import checked_arguments

Tensors = Mapping[str, NDArray[Any]]
WEIGHT, SCALE = ".weight", ".weight_scale"


@checked_arguments
def compact(network: Network) -> Network:
    """Round weights to the int8 grid of fixed point, gains and biases to float32; the network stays
    a float32 one.

        W' = float32(W_q · max|W|/n),  W_q = rint(n·W / max|W|)

    n is 127, or less where all weights are multiples of max|W|/n already, which then stay as they
    are. Fixed point has the same int8 weights before and after, or, where the rounded ones are
    multiples of a larger unit, as many of those. A file of the result is about a quarter as large,
    since storage then writes W_q.

    Raises
    ------
    NetworkError : if the network is in fixed point

    Examples
    --------
    >>> from dataclasses import replace
    >>> import spikesam
    >>> checkpoint = spikesam.load("cluttered-digits")
    >>> # for spikesam.save
    >>> small = replace(checkpoint, network=spikesam.compact(checkpoint.network))
    >>> small.network.precision
    'float32'
    """
    if network.precision == "fixed":
        raise NetworkError("compact: the network is in fixed point already, whose weights are int8")
    layers = []
    for layer in network.layers:
        neuron = replace(layer.neuron, bias=_to_float32(layer.neuron.bias))
        inputs = tuple(
            replace(layer_input.weighed(_on_grid), gain=_to_float32(layer_input.gain))
            for layer_input in layer.inputs
        )
        layers.append(replace(layer, inputs=inputs, neuron=neuron))
    readout = replace(
        network.readout,
        weight=_on_grid(network.readout.weight),
        bias=_to_float32(network.readout.bias),
    )
    return replace(network, layers=tuple(layers), readout=readout)


def pack_tensors(tensors: Tensors) -> dict[str, NDArray[Any]] | None:
    """Tensors of a compact network on disk: int8 weights with their scales, float32; None if bits
    would be lost.
    """
    packed: dict[str, NDArray[Any]] = {}
    for name, tensor in tensors.items():
        if not name.endswith(WEIGHT):
            packed[name] = tensor.astype(np.float32) if tensor.dtype == np.float64 else tensor
        elif tensor.dtype == np.float32:
            packed[name], scale = _integers(tensor)
            packed[_scale(name)] = np.array([scale])
        else:
            return None
    unpacked = unpack_tensors(packed)
    return (
        packed
        if all(unpacked[name].tobytes() == tensor.tobytes() for name, tensor in tensors.items())
        else None
    )


def unpack_tensors(packed: Tensors) -> dict[str, NDArray[Any]]:
    """Undo :func:`pack_tensors`.

    Raises
    ------
    NetworkError : if a weight has no scale, or a scale no weight
    """
    weights = {name for name in packed if name.endswith(WEIGHT)}
    scales = {name for name in packed if name.endswith(SCALE)}
    if odd := scales ^ {_scale(name) for name in weights}:
        raise NetworkError(
            f"tensors: expected a scale for every int8 weight, but {min(odd)!r} has no partner"
        )
    tensors: dict[str, NDArray[Any]] = {
        name: packed[name].astype(np.float64) for name in packed.keys() - scales - weights
    }
    return tensors | {
        name: (packed[name] * packed[_scale(name)]).astype(np.float32) for name in weights
    }


def _scale(weight: str) -> str:
    return weight.removesuffix(WEIGHT) + SCALE


def _on_grid(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    integers, scale = _integers(weight)
    return (integers * scale).astype(np.float32)


def _integers(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    return integer_weight(weight, weight_steps(weight) or WEIGHT_LIMIT)


def _to_float32(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return numbers.astype(np.float32).astype(np.float64)
