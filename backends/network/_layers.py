"""A layer of a network, its weights and neurons; and the readout."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import neurons
from spikesam.backends.network.checks import NetworkError, array, by_channel, real
from spikesam.backends.network.inputs import Input, columns
from spikesam.backends.network.neurons import THETA, Neuron, ReLU, SpikingNeuron
from spikesam.backends.network.sources import Source
from spikesam.backends.network.synapses import Synapse
from spikesam.backends.network.synapses.linear import check_weight
from spikesam.common.errors import InputError, at
from spikesam.common.text import brief
from spikesam.recordings.schema import check_name

UNSAID: dict[str, Any] = {
    "gain": 1,
    "bias": 0,
}  # in graphs of an ANN, so that those without are described as ever
PIXEL_LIMIT = 127  # the largest magnitude of a constant-current pixel, an int8; it stands for 1


@dataclass(frozen=True, eq=False, init=False)
class Layer:
    """Neurons and the inputs that drive them; each has weights, pooling and a gain of its own.

    A layer copies what it is given, so one neuron may be given to several layers. Its first input
    reads the layer before, unless it names others:

        # an array is an Input of it, and so is a synapse
        Layer("conv1", w, LIF(leak=0.9))
        Layer("conv2", Conv(w, padding=1, pool=2), LIF(leak=0.9))
        # a sum of spikes
        Layer("conv3", Input(w, ("conv2", Source("conv1", delay=2))), LIF(leak=0.9))
        # a shortcut
        Layer("conv3", (Conv(w, padding=1), Input(Identity(), "conv1")), LIF(leak=0.9))
        # recurrent weights
        Layer("hidden", (w, Input(recurrent, "hidden")), LIF(leak=0.9))
        # q · kᵀ · v
        Layer("attended", Input(Attention(heads=4), ("q", "k", "v"), 0.0625), LIF(0.5, 0.5))

    Of two inputs, gates are neurons as well: a AND b, a step later, and (NOT a) AND b:

        a, b = Input(Identity(), "a"), Input(Identity(), "b")
        Layer("both", (a, b), LIF(0, 1.5, reset="zero"))
        Layer("b_alone", (Input(Identity(), "a", -1), b), LIF(0, 0.5, reset="zero"))

    Parameters
    ----------
    name : short identifier such as "conv1"
    inputs : an :class:`Input`, a synapse or an array of weights, which are one of it, or several
        of these
    neuron : LIF, or FixedLIF in fixed point, or ReLU in an ANN
    """

    name: str
    inputs: tuple[Input, ...]
    neuron: Neuron

    __repr__ = brief

    def __init__(self, name: str, inputs: Any, neuron: Neuron) -> None:
        try:
            check_name(name)
        except InputError as error:
            raise NetworkError(str(error)) from None
        place_of_layer = f"layer {name!r}"
        if not isinstance(neuron, Neuron):
            raise NetworkError(
                f"{place_of_layer}: neuron is {neuron!r}, expected LIF, FixedLIF or ReLU"
            )
        is_sequence_of_inputs = isinstance(inputs, (tuple, list)) and any(
            isinstance(part, (Input, Synapse)) for part in inputs
        )
        parts = tuple(inputs) if is_sequence_of_inputs else (inputs,)
        further_numbers = range(2, len(parts) + 1)
        places = [
            place_of_layer,
            *(f"{place_of_layer}, input {number}" for number in further_numbers),
        ]
        dtype, layer_inputs = neuron.weight_dtype, list[Input]()
        for part, place in zip(parts, places, strict=True):
            layer_input = part if isinstance(part, Input) else Input(part)
            with at(place):
                layer_inputs.append(layer_input.with_checked_synapse(dtype))
        of_weights = [layer_input.synapse.channels for layer_input in layer_inputs]
        channels = next(filter(None, of_weights), 0)
        if not channels:  # one for all that its sources have, or what constants say
            constants = [getattr(neuron, field.name) for field in fields(neuron)]
            gains = [layer_input.gain for layer_input in layer_inputs]
            channels = max(map(columns, (*gains, *constants)))
        checked = list[Input]()
        for layer_input, place in zip(layer_inputs, places, strict=True):
            with at(place):
                checked.append(layer_input.checked(dtype, channels))
        for layer_input, place in zip(checked[1:], places[1:], strict=True):
            if not layer_input.sources:
                raise NetworkError(f"{place}: has no source, expected the name of a layer")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "inputs", tuple(checked))
        with at(place_of_layer):
            object.__setattr__(self, "neuron", neuron.of_channels(channels))

    def behind(self, previous: str) -> Layer:
        """The layer whose first input reads the layer of a name, if it names no source itself."""
        first, *further = self.inputs
        return (
            self
            if first.sources
            else self.reading((replace(first, source=(Source(previous),)), *further))
        )

    def reading(self, inputs: Sequence[Input]) -> Layer:
        """The layer with the same inputs of other sources: what is checked need not be copied and
        checked again.
        """
        layer = copy(self)
        object.__setattr__(layer, "inputs", tuple(inputs))
        return layer

    def widened(self, channels: int) -> Layer:
        """The layer for so many channels, of one that has no weights and the same constants for all
        channels.
        """
        gain_channels = self.inputs[0].gain.shape[1]
        if gain_channels == channels:
            return self
        if gain_channels != 1:
            raise NetworkError(
                f"layer {self.name!r}: has constants of {gain_channels} channels, its sources "
                f"have {channels}"
            )
        inputs = [
            replace(layer_input, gain=layer_input.gain.repeat(channels, 1))
            for layer_input in self.inputs
        ]
        return Layer(
            self.name, inputs, replace(self.neuron, bias=self.neuron.bias.repeat(channels, 1))
        )

    @property
    def spiking_neuron(self) -> SpikingNeuron:
        """The neuron of a layer that spikes, as those of every network do that a backend runs."""
        if isinstance(self.neuron, ReLU):
            raise NetworkError(
                f"layer {self.name!r}: has neurons ReLU, expected neurons that spike"
            )
        return self.neuron

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources of all its inputs."""
        return tuple(source for layer_input in self.inputs for source in layer_input.sources)

    @property
    def reads_itself(self) -> bool:
        """True if it has recurrent weights."""
        return any(source.layer == self.name for source in self.sources)

    @property
    def kind(self) -> str:
        """Either "conv" or "dense", that of its first input that has weights; "conv" if there is
        none.
        """
        kinds = (
            layer_input.synapse.kind for layer_input in self.inputs if layer_input.synapse.channels
        )
        return next(kinds, "conv")

    def place_of_input(self, number: int) -> str:
        """The name of one of its inputs in messages, counted from 0."""
        return (
            f"layer {self.name!r}, input {number + 1}"
            if len(self.inputs) > 1
            else f"layer {self.name!r}"
        )

    def to_graph(self, previous: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The layer behind that of a name as a JSON-able node, and its tensors by name; undone by
        :meth:`from_graph`.

        In a graph, the first input is the layer's: its shift stands with the neuron, and its source
        stands there if it is another than the layer before.
        """
        first, *further = self.inputs
        node = {"name": self.name, **first.to_graph(), "neuron": neurons.to_graph(self.neuron)}
        shift, source = node.pop("shift"), node.pop("source")
        if first.fixed:
            node["neuron"]["shift"] = shift
        if first.sources not in ((), (Source(previous),)):
            node["source"] = source
        if further:
            node["more"] = [layer_input.to_graph() for layer_input in further]
        numbers = {"gain": first.gain, "bias": self.neuron.bias}
        if isinstance(self.neuron, ReLU):
            numbers = {
                name: value for name, value in numbers.items() if (value != UNSAID[name]).any()
            }
        tensors = {**first.synapse.tensors, **numbers}
        for number, layer_input in enumerate(further, 2):
            tensors |= {f"{number}.{name}": value for name, value in layer_input.tensors.items()}
        return node, {f"{self.name}.{name}": value for name, value in tensors.items()}

    @classmethod
    def from_graph(cls, node: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Layer:
        """Rebuild a layer from its node and the tensors of the network; raises KeyError if a part
        is missing.
        """
        name, neuron_entries = node["name"], dict(node["neuron"])
        first = {
            "source": (),
            **node,
            "shift": neuron_entries.pop("shift") if neuron_entries["type"] == "fixed-lif" else 0,
        }
        if neuron_entries["type"] == neurons.NAMES[ReLU]:
            tensors = {f"{name}.{entry}": value for entry, value in UNSAID.items()} | tensors
        neuron = neurons.from_graph(neuron_entries, tensors, name)
        further = enumerate(node.get("more", ()), 2)
        with at(f"layer {name!r}"):
            inputs = (
                Input.from_graph(first, name, tensors),
                *(
                    Input.from_graph(entry, f"{name}.{number}", tensors)
                    for number, entry in further
                ),
            )
        return cls(name, inputs, neuron)


@dataclass(frozen=True, eq=False)
class Readout:
    """Integrating output without delay: it does not spike.

        r[t] = leak · r[t-1] + W_out s_L[t] + bias[t]          r[-1] = 0
        logits = scale · r[T-1] / T

    In fixed point, leak · r[t-1] is rz(r[t-1]·4096·leak, 12).

    An ANN has T = 1 and leak 1, and activations in place of spikes.

    Parameters
    ----------
    weight : (classes, C·H·W of the last layer) float32, or int8 in fixed point, -127 … 127
    scale : real value of one raw unit; in float32 mostly 1
    leak : in [0, 1], per step; 1 sums the spikes. In fixed point a multiple of 1/4096
    bias : scalar, (classes,), (1, classes) or (T, classes); float64, or int32 in fixed point
    """

    weight: NDArray[Any]
    scale: float = 1.0
    leak: float = 1.0
    bias: Any = 0

    __repr__ = brief

    def __post_init__(self) -> None:
        with at("readout"):
            self._check()

    def _check(self) -> None:
        """Refuse numbers that cannot be, and keep the others as every backend expects them."""
        fixed = getattr(self.weight, "dtype", None) == np.int8
        weight = array(self.weight, np.int8 if fixed else np.float32, "weight")
        if weight.ndim != 2 or 0 in weight.shape:
            raise NetworkError(f"weight has shape {weight.shape}, expected (classes, inputs)")
        check_weight(weight)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "scale", real(self.scale, "scale"))
        leak = real(self.leak, "leak")
        if not 0 <= leak <= 1 or (fixed and leak * THETA % 1):
            raise NetworkError(
                f"leak is {leak}, expected 0 … 1, and in fixed point a multiple of 1/4096"
            )
        object.__setattr__(self, "leak", leak)
        bias = by_channel(self.bias, len(weight), np.int32 if fixed else np.float64, "bias")
        object.__setattr__(self, "bias", bias)
