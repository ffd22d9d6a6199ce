"""Neurons whose spikes are numbers, as layers of bits that read each other.

A neuron that fires 0 … D spikes at a step, or -1, 0, 1, becomes layers with the same input, one for
each threshold. What one fires is subtracted from the membranes of the others at the next step, as
it is from its own; so all of them hold the same membrane. Whoever reads such a neuron reads all its
layers:

    hidden = Layer("hidden", Input(w, "input"), LIF(0.5))
    planes = integer_planes(hidden, thresholds=(0.5, 1.5, 2.5))  # I-LIF, up to 3
    Layer("next", Input(w2, ("hidden_1", "hidden_2", "hidden_3")), LIF(0.5))

    planes = ternary_planes(hidden)
    Layer("next", Input(w2, ("hidden_plus", Source("hidden_minus", sign=-1))), LIF(0.5))

In fixed point the layers round for themselves, each in units of its own threshold.

References
----------
Yao et al. 2025, Scaling spike-driven transformer with efficient spike firing approximation training
(I-LIF).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spikesam.backends.network._layers import Layer
from spikesam.backends.network.checks import NetworkError, array
from spikesam.backends.network.inputs import Input
from spikesam.backends.network.neurons import LIF
from spikesam.backends.network.synapses import Identity
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import at


@checked_arguments
def integer_planes(layer: Layer, thresholds: Sequence[float]) -> tuple[Layer, ...]:
    """A layer that fires as many spikes as its membrane passes thresholds: NAME_1, NAME_2, …

    Parameters
    ----------
    layer : in float32, which names its sources, and subtracts when it fires: each spike `reset_by`,
        or its threshold
    thresholds : ascending, above 0; they take the place of the layer's own

    Raises
    ------
    NetworkError : if it is another kind of layer, or thresholds do not ascend

    Examples
    --------
    >>> from spikesam import LIF, Input, Layer, integer_planes
    >>> hidden = Layer("hidden", Input([[1.0]], "input"), LIF(0.5))
    >>> [layer.name for layer in integer_planes(hidden, (0.5, 1.5))]
    ['hidden_1', 'hidden_2']
    """
    with at("integer_planes"):
        neuron = _subtracting(layer)
        steps = array(thresholds, np.float64, "thresholds")
    if steps.ndim != 1:
        raise NetworkError(
            f"integer_planes: thresholds have shape {steps.shape}, expected ascending numbers "
            "above 0"
        )
    if not len(steps) or (np.diff(steps, prepend=0) <= 0).any():
        raise NetworkError(
            f"integer_planes: thresholds are {steps.tolist()}, expected ascending numbers above 0"
        )
    names = [f"{layer.name}_{number}" for number in range(1, len(steps) + 1)]
    planes = []
    for name, threshold in zip(names, steps.tolist(), strict=True):
        siblings = tuple(sibling for sibling in names if sibling != name)
        reset = (
            (Input(Identity(), siblings, gain=-np.asarray(neuron.subtracted)),) if siblings else ()
        )
        plane_neuron = replace(neuron, threshold=threshold, reset_by=neuron.subtracted)
        planes.append(
            replace(layer, name=name, neuron=plane_neuron, inputs=(*layer.inputs, *reset))
        )
    return tuple(planes)


@checked_arguments
def ternary_planes(layer: Layer) -> tuple[Layer, Layer]:
    """A layer that fires 1 above its threshold and -1 below minus its threshold: NAME_plus and
    NAME_minus.

    Parameters
    ----------
    layer : in float32, which names its sources, and subtracts when it fires

    Raises
    ------
    NetworkError : if it is another kind of layer
    """
    with at("ternary_planes"):
        neuron = _subtracting(layer)
    plus, minus = f"{layer.name}_plus", f"{layer.name}_minus"
    back = np.asarray(neuron.subtracted)
    first, *further = layer.inputs
    weighs = bool(first.synapse.tensors)
    opposite = first.weighed(np.negative) if weighs else replace(first, gain=-first.gain)
    mirrored = opposite, *(replace(layer_input, gain=-layer_input.gain) for layer_input in further)
    return (
        replace(layer, name=plus, inputs=(*layer.inputs, Input(Identity(), minus, gain=back))),
        Layer(
            minus,
            (*mirrored, Input(Identity(), plus, gain=back)),
            replace(neuron, bias=-neuron.bias),
        ),
    )


def _subtracting(layer: Layer) -> LIF:
    """The neuron of a layer whose spikes can be planes."""
    neuron = layer.neuron
    if (
        not isinstance(neuron, LIF)
        or neuron.reset != "subtract"
        or neuron.min_v_mem is not None
        or np.any(neuron.synaptic_leak)
    ):
        raise NetworkError(
            f"layer {layer.name!r} has {neuron!r}, expected LIF that subtracts, without "
            "synaptic_leak and min_v_mem"
        )
    if not layer.inputs[0].sources:
        raise NetworkError(
            f"layer {layer.name!r} names no source, expected the name of the layer before"
        )
    return neuron
