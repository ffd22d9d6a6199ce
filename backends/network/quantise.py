"""Float network -> Loihi-style fixed point: int8 weights, integer gains, 24-bit membranes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network._layers import PIXEL_LIMIT, Layer, Readout
from spikesam.backends.network.checks import NetworkError
from spikesam.backends.network.graph import DEFAULT_RANGE, Network
from spikesam.backends.network.inputs import GAIN_LIMIT, LARGEST_SHIFT, Input
from spikesam.backends.network.neurons import (
    BIAS_LIMIT,
    LIF,
    MEMBRANE_LIMIT,
    THETA,
    FixedLIF,
)
from spikesam.backends.network.synapses.linear import WEIGHT_LIMIT
from spikesam.common.errors import at

THETAS = tuple(
    THETA >> lower for lower in range(5)
)  # thresholds to choose from, the usual one first
ROUNDING = 2.0**-22  # of numbers that were computed from a few float32 ones


@np.errstate(over="ignore", invalid="ignore")  # what overflows is refused below
def quantise(network: Network) -> Network:
    """Round every number of a float32 network to integers; rounding is half-to-even throughout.

    Per input of each layer, with n neurons in a pooling window (fixed point sums what float
    averages):

        W_q = rint(127·W / max|W|)             gain = g·(max|W|/127)/n·Θ/θ
        G = rint(gain·2^shift), shift the largest in 0…30 with |G| ≤ 32767
        B = rint(b·Θ/θ)                     decay = rint(4096·(1 - leak)), also of the synaptic leak
        reset_by = rint(ρ·Θ/θ), ρ being what the float neuron subtracts; min_v_mem =
        rint(min_v_mem·Θ/θ)

    Maximum pooling does not sum, so there gain is without 1/n. The readout's bias and leak are
    rounded alike, with the real value of a unit of its weights.

    Θ is 4096, or where a gain would be beyond 32767 the largest of 2048 … 256 with which it is not:
    there weights are many times the threshold, and membranes become coarser.

    Exact grids: where currents, biases and θ of a layer are multiples of one number u, of weights
    up to 127 u (as in binary and ternary networks), nothing is rounded, since a sum that meets the
    threshold must meet it in integers, too: W_q = W/u, Θ = (θ/u)·2^s with the largest s for which
    it is at most 4096, and gain = 2^s.

    With a current as input, the gain of what reads it has another factor, the real value of one
    unit of the input: 1/127, or more where `input_range` is; see input_currents.py.

    Raises
    ------
    NetworkError : if the network is an ANN, a gain is too large to represent, or weight sums could
        overflow

    Examples
    --------
    >>> import spikesam
    >>> network = spikesam.quantise(spikesam.load("cluttered-digits").network)
    >>> network.precision, network.layers[0].inputs[0].weight.dtype.name
    ('fixed', 'int8')
    """
    if not isinstance(network, Network):
        raise NetworkError(
            f"quantise: got {type(network).__name__}, expected a Network, such as "
            "checkpoint.network"
        )
    with at("quantise"):
        network.check_spiking()
    if network.precision == "fixed":
        return network
    unit = network.input_range / DEFAULT_RANGE / PIXEL_LIMIT
    layers = tuple(
        _quantise_layer(
            layer,
            [
                unit if (place, number) in network.driven else 1.0
                for number in range(len(layer.inputs))
            ],
        )
        for place, layer in enumerate(network.layers)
    )
    return replace(network, layers=layers, readout=_quantise_readout(network.readout))


def _quantise_layer(layer: Layer, units: list[float]) -> Layer:
    """One layer; `units` are the real values of a 1 in each of its inputs."""
    assert isinstance(layer.neuron, LIF)
    neuron, inputs = layer.neuron, layer.inputs
    largest, thetas = _exact_grid(inputs, units, neuron) or ([WEIGHT_LIMIT] * len(inputs), THETAS)
    integers, scales = zip(*map(_integer_weight, inputs, largest), strict=True)
    for theta in thetas:
        per_membrane = theta / neuron.threshold
        gains = [
            layer_input.gain * scale * unit / layer_input.synapse.averaged * per_membrane
            for layer_input, scale, unit in zip(inputs, scales, units, strict=True)
        ]
        shifts = [shift for gain in gains if (shift := _largest_shift(gain)) is not None]
        if len(shifts) == len(gains):
            break
    else:
        raise NetworkError(
            f"layer {layer.name!r}: gain {max(np.abs(gain).max() for gain in gains):.3g} exceeds "
            f"{GAIN_LIMIT} in fixed "
            f"point, with a threshold of {theta}; is a BNTT variance close to zero, or the "
            "threshold tiny?"
        )
    bias = np.rint(neuron.bias * per_membrane)
    if not np.abs(bias).max() <= BIAS_LIMIT:
        raise NetworkError(
            f"layer {layer.name!r}: a bias of {np.abs(neuron.bias).max():g} is too large for fixed "
            "point"
        )
    fixed = FixedLIF(
        decay=_rounded(THETA * (1 - neuron.leak)),
        bias=bias.astype(np.int32),
        reset=neuron.reset,
        reset_by=None if neuron.reset_by is None else _rounded(neuron.reset_by * per_membrane),
        fires_at_threshold=neuron.fires_at_threshold,
        synaptic_decay=_rounded(THETA * (1 - neuron.synaptic_leak)),
        threshold=theta,
        min_v_mem=None if neuron.min_v_mem is None else _lowest(neuron.min_v_mem * per_membrane),
    )
    rounded = tuple(
        replace(layer_input, gain=np.rint(gain * 2.0**shift).astype(np.int32), shift=shift)
        for layer_input, gain, shift in zip(integers, gains, shifts, strict=True)
    )
    return Layer(layer.name, rounded, fixed)


def _exact_grid(
    inputs: Sequence[Input], units: Sequence[float], neuron: LIF
) -> tuple[list[int], list[int]] | None:
    """For each input the integer that its largest weight becomes, and thresholds to choose from;
    None if none is exact.

    Parameters
    ----------
    units : the real values of a 1 in each of the inputs
    """
    largest = [
        max(map(weight_steps, layer_input.synapse.tensors.values()), default=1)
        for layer_input in inputs
    ]
    if not all(largest):
        return None
    currents = [  # of a weight of 1, in thresholds
        layer_input.gain
        * _integer_weight(layer_input, bound)[1]
        * unit
        / layer_input.synapse.averaged
        / neuron.threshold
        for layer_input, bound, unit in zip(inputs, largest, units, strict=True)
    ]
    least = min(
        (np.abs(current[current != 0]).min() for current in currents if current.any()),
        default=np.inf,
    )
    candidates = np.rint(np.arange(1, WEIGHT_LIMIT + 1) / least)
    for theta in (
        np.unique(candidates[(candidates > 0) & (candidates <= THETA)]).astype(int).tolist()
    ):
        factors = [theta * current for current in currents]
        biases = theta * neuron.bias / neuron.threshold
        fits = (
            max(
                bound * np.abs(factor).max() for bound, factor in zip(largest, factors, strict=True)
            )
            < WEIGHT_LIMIT + 1
        )
        if fits and all(map(_whole, (*factors, biases))):
            common = list(map(_divisor, factors))  # goes into the weights
            if neuron.reset == "zero" and theta % np.gcd.reduce([*common, _divisor(biases)]):
                return None  # sums of currents alone, none of which can meet the threshold
            thetas = [theta << power for power in range(LARGEST_SHIFT) if theta << power <= THETA]
            return [
                bound * max(1, gain) for bound, gain in zip(largest, common, strict=True)
            ], thetas[::-1]
    return None


def weight_steps(weight: NDArray[np.float32]) -> int:
    """The smallest n ≤ 127 for which all weights are multiples of max|W|/n; 0 if there is none."""
    unit = float(np.abs(weight).max()) or 1.0
    few = (
        weight.ravel()[:4096].astype(np.float64) / unit
    )  # most weights that are on no grid show it here
    fits = (multiple for multiple in range(1, WEIGHT_LIMIT + 1) if _whole(multiple * few))
    return next(
        (multiple for multiple in fits if _whole(multiple * (weight.astype(np.float64) / unit))), 0
    )


def _divisor(numbers: NDArray[np.float64]) -> int:
    """The greatest common divisor of whole numbers."""
    return int(np.gcd.reduce(np.rint(numbers).astype(np.int64), axis=None))


def _whole(numbers: NDArray[np.float64]) -> bool:
    """True if all are integers, up to rounding."""
    return bool((np.abs(numbers - np.rint(numbers)) <= ROUNDING * np.abs(numbers)).all())


def _integer_weight(layer_input: Input, largest: int) -> tuple[Input, float]:
    """An input with int8 weights, and the real value of one unit, see :func:`integer_weight`."""
    scales = [1.0]  # of the identity and of attention

    def integers(weight: NDArray[np.float32]) -> NDArray[np.int8]:
        rounded, scales[0] = integer_weight(weight, largest)
        return rounded

    return layer_input.weighed(integers), scales[0]


def _quantise_readout(readout: Readout) -> Readout:
    weight, unit = integer_weight(readout.weight)
    unit = unit or float(np.abs(readout.bias).max()) / THETA  # a bias alone
    bias = np.rint(readout.bias / unit) if unit else np.zeros_like(readout.bias)
    if not np.abs(bias).max() <= BIAS_LIMIT:
        raise NetworkError(
            f"readout: a bias of {np.abs(readout.bias).max():g} is too large for fixed point"
        )
    leak = 1 - float(_rounded(THETA * (1 - readout.leak))) / THETA
    return Readout(weight, unit * readout.scale, leak, bias.astype(np.int32))


def _rounded(numbers: Any) -> NDArray[np.int64]:
    return np.rint(numbers).astype(np.int64)


def _lowest(membrane: Any) -> NDArray[np.int64]:
    """`min_v_mem` in integers; one that no membrane reaches is the lowest that there is."""
    return _rounded(np.maximum(membrane, -MEMBRANE_LIMIT))


def integer_weight(
    weight: NDArray[np.float32], limit: int = WEIGHT_LIMIT
) -> tuple[NDArray[np.int8], float]:
    """Weights as int8, -limit … limit, and the real value of a unit; an all-zero layer stays
    zero.
    """
    largest = float(np.abs(weight).max())
    if largest == 0:
        return np.zeros(weight.shape, np.int8), 0.0
    return np.rint(limit * weight.astype(np.float64) / largest).astype(np.int8), largest / limit


def _largest_shift(gain: NDArray[np.float64]) -> int | None:
    for shift in range(LARGEST_SHIFT, -1, -1):
        if np.abs(np.rint(gain * 2.0**shift)).max() <= GAIN_LIMIT:
            return shift
    return None
