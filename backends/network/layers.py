"""A layer of a network, its weights and neurons; and the readout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import neurons
from spikesam.backends.network.checks import NetworkError, Sides, array, by_channel, real
from spikesam.backends.network.inputs import (
    GEOMETRY,
    Input,
    Pooling,
    Shape,
    Windows,
    check_weight,
    checked_weight,
    geometry_from_graph,
    geometry_to_graph,
    sources_from_graph,
    sources_to_graph,
)
from spikesam.backends.network.neurons import THETA, Neuron, ReLU, SpikingNeuron
from spikesam.recordings.errors import InputError
from spikesam.recordings.schema import check_name
from spikesam.recordings.text import LONGEST_NAME, brief, printable

PIXEL_LIMIT = 127  # the largest magnitude of a constant-current pixel, an int8; it stands for 1


@dataclass(frozen=True, eq=False)
class Layer:
    """Neurons and the synapses that drive them: pooling, then convolution or matrix product, then neurons.

    A layer copies what it is given, so one neuron may be given to several layers. It reads the layer before, unless
    `source` names others; what it reads through other weights is in `more`:

        Layer("conv2", w, LIF(leak=0.9), padding=1, more=(Input(None, "input"),))                a shortcut
        Layer("hidden", w, LIF(leak=0.9), more=(Input(recurrent, "hidden"),))                    recurrent weights
        Layer("conv3", w, LIF(leak=0.9), source=("conv2", Source("conv1", delay=2)))             a sum of spikes

    Parameters
    ----------
    name : short identifier such as "conv1"
    weight : (out, in, y, x) for a convolution or (out, in) for a dense layer; float32, or
        int8 in fixed point, -127 … 127
    neuron : LIF, or FixedLIF in fixed point, or ReLU in an ANN
    pool : sides of the pooling in front; like those below one integer, or (y, x) where rows and columns differ
    stride, padding : of the convolution, after pooling
    pooling : "average" (fixed point sums instead; the gain absorbs the factor), or "max", which of spikes is their OR
    current_pool : sides of a maximum pooling of the currents `a`, between the synapses and the neurons
    current_stride, current_padding : of that pooling; its windows stand side by side if not given, and what lies around
        the currents is never the maximum
    source : whose spikes the weights are for: a name, a :class:`Source`, or several, which are summed; the layer
        before, one step later, if not given
    more : further inputs, each with its own sources, weights and gain; those above, with the gain of the neuron, are
        the first input
    """

    name: str
    weight: NDArray[Any]
    neuron: Neuron
    pool: Sides = 1
    stride: Sides = 1
    padding: Sides = 0
    pooling: Pooling = "average"
    current_pool: Sides = 1
    current_stride: Sides | None = None
    current_padding: Sides = 0
    source: Any = ()
    more: tuple[Input, ...] = ()

    __repr__ = brief

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
        except InputError as error:
            raise NetworkError(str(error)) from None
        where = f"layer {self.name!r}"
        if not isinstance(self.neuron, Neuron):
            raise NetworkError(f"{where}: neuron is {self.neuron!r}, expected LIF, FixedLIF or ReLU")
        dtype = self.neuron.weight_dtype
        weight = checked_weight(self.weight, dtype, where)
        neuron = self.neuron.of_channels(len(weight), where)
        geometry = {name: getattr(self, name) for name in GEOMETRY}
        first = Input(weight, self.source, getattr(neuron, "gain", 1), shift=getattr(neuron, "shift", 0), **geometry)
        first = first.checked(dtype, len(weight), where)
        more = tuple(self.more) if isinstance(self.more, (tuple, list)) else (self.more,)
        if odd := [each for each in more if not isinstance(each, Input)]:
            raise NetworkError(
                f"{where}: more holds {printable(repr(odd[0]), LONGEST_NAME)}, expected a tuple of Input"
            )
        more = tuple(
            each.checked(dtype, len(weight), f"{where}, input {number}") for number, each in enumerate(more, 2)
        )
        if empty := [number for number, each in enumerate(more, 2) if not each.sources]:
            raise NetworkError(f"{where}, input {empty[0]}: has no source, expected the name of a layer")
        checked = {"weight": first.weight, "neuron": neuron, "source": first.sources, "more": more}
        for field, value in (checked | {name: getattr(first, name) for name in GEOMETRY}).items():
            object.__setattr__(self, field, value)
        if (more or first.sources) and isinstance(neuron, ReLU):
            raise NetworkError(f"{where}: neurons ReLU have one input, the layer before; got other sources")

    @cached_property
    def first(self) -> Input:
        """The input that this layer's own weights are for."""
        geometry = {name: getattr(self, name) for name in GEOMETRY}
        gain, shift = getattr(self.neuron, "gain", 1), getattr(self.neuron, "shift", 0)
        return Input(self.weight, self.source, gain, shift=shift, **geometry)

    @property
    def spiking_neuron(self) -> SpikingNeuron:
        """The neuron of a layer that spikes, as those of every network do that a backend runs."""
        if isinstance(self.neuron, ReLU):
            raise NetworkError(f"layer {self.name!r}: has neurons ReLU, expected neurons that spike")
        return self.neuron

    @property
    def summed(self) -> int:
        """See :attr:`Input.summed`."""
        return self.first.summed

    @property
    def windows(self) -> Windows:
        """See :attr:`Input.windows`."""
        return self.first.windows

    @property
    def kind(self) -> str:
        """Either "conv" or "dense"."""
        return self.first.kind

    @property
    def largest_current(self) -> int:
        """See :attr:`Input.largest_current`."""
        return self.first.largest_current

    def output_shape(self, shape: Shape, before: str = "the layer before it") -> Shape:
        """(C, H, W) of this layer's spikes for an input of (C, H, W); refuses what does not fit."""
        return self.first.output_shape(shape, f"layer {self.name!r}", before)

    def to_graph(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The layer as a JSON-able node of the graph, and its tensors by name; undone by :meth:`from_graph`."""
        node = {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.weight.shape),
            **geometry_to_graph(self),
            "neuron": neurons.to_graph(self.neuron),
        }
        tensors = {"weight": self.weight, **{name: getattr(self.neuron, name) for name in self.neuron.arrays}}
        if self.source:  # so that chains are described as ever
            node["source"] = sources_to_graph(self.source)
        if self.more:
            node["more"] = [each.to_graph() for each in self.more]
        for number, each in enumerate(self.more, 2):
            tensors |= {f"{number}.{name}": value for name, value in each.tensors.items()}
        return node, {f"{self.name}.{name}": value for name, value in tensors.items()}

    @classmethod
    def from_graph(cls, node: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Layer:
        """Rebuild a layer from its node and the tensors of the network; raises KeyError if a part is missing."""
        name = node["name"]
        neuron = neurons.from_graph(node["neuron"], tensors, name)
        more = tuple(
            Input.from_graph(each, f"{name}.{number}", tensors) for number, each in enumerate(node.get("more", ()), 2)
        )
        source = sources_from_graph(node.get("source", ()))
        return cls(name, tensors[f"{name}.weight"], neuron, **geometry_from_graph(node), source=source, more=more)


@dataclass(frozen=True, eq=False)
class Readout:
    """Integrating output without delay: it does not spike.

        r[t] = leak · r[t-1] + W_out s_L[t] + bias[t]          r[-1] = 0; in fixed point rz(r[t-1]·4096·leak, 12)
        logits = scale · r[T-1] / T

    An ANN has T = 1, and activations in place of spikes.

    Parameters
    ----------
    weight : (classes, C·H·W of the last layer) float32, or int8 in fixed point, -127 … 127
    scale : real value of one raw unit; 1 in float32
    leak : in [0, 1], per step; 1 sums the spikes. In fixed point a multiple of 1/4096
    bias : scalar, (classes,), (1, classes) or (T, classes); float64, or int32 in fixed point
    """

    weight: NDArray[Any]
    scale: float = 1.0
    leak: float = 1.0
    bias: Any = 0

    __repr__ = brief

    def __post_init__(self) -> None:
        fixed = getattr(self.weight, "dtype", None) == np.int8
        weight = array(self.weight, np.int8 if fixed else np.float32, "weight", "readout")
        if weight.ndim != 2 or 0 in weight.shape:
            raise NetworkError(f"readout: weight has shape {weight.shape}, expected (classes, inputs)")
        check_weight(weight, "readout")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "scale", real(self.scale, "scale", "readout"))
        leak = real(self.leak, "leak", "readout")
        if not 0 <= leak <= 1 or (fixed and leak * THETA % 1):
            raise NetworkError(f"readout: leak is {leak}, expected 0 … 1, and in fixed point a multiple of 1/4096")
        object.__setattr__(self, "leak", leak)
        bias = by_channel(self.bias, len(weight), np.int32 if fixed else np.float64, "bias", "readout")
        object.__setattr__(self, "bias", bias)
