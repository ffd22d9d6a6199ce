"""A layer as a hierarchical Lava Process with two models.

"stock" builds the graph of Lava's own `Conv` or `Dense` and this project's neurons. "event" does the same work in one
process with the event-driven kernels. A process or message costs Lava more time per step than the work itself, so half
as many of them save the most.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from numpy.typing import NDArray

from backends.event.kernels.layer import LayerKernel
from backends.lava.magma import (
    AbstractProcess,
    AbstractSubProcessModel,
    InPort,
    OutPort,
    PyLoihiProcessModel,
    model_of,
    receives,
    sends,
)
from backends.lava.process.maps import MapGatherer, MapMessages, map_ports, sum_over_channels
from backends.lava.process.neuron import LIFNeurons
from backends.lava.process.pooling import CurrentPooling, SpikePooling
from backends.lava.process.recorder import MESSAGE_STEPS, ends_message
from backends.lava.transfer import LayerMapRequest
from backends.network import Layer, Shape, pair
from backends.trace import StepMaps


class LayerProcess(AbstractProcess):
    """Synapses, which take one step, and the neurons they drive; or these neurons alone, driven by a constant current.

    Parameters
    ----------
    layer : weights, pooling and neurons
    shape : (C, H, W) of the input
    timesteps : steps of a sample; at the first one the neurons are at rest, and currents from the sample before
        are dropped
    constant : whether the current is constant
    maps : which maps of the layer leave the graph, if any

    Ports: `s_in` (H, W, C), or (H·W·C,) in front of a dense layer, and `s_out` (H', W', C') or (C',), bool; or in place
    of `s_in`, the constant current `a_in`, as `s_out`; `bits_out`, the spikes packed to bits in C-order (C', H', W'), a
    message where :func:`~.recorder.ends_message`; `maps_out` and `sum_out`, see :class:`~.maps.MapGatherer`.
    """

    def __init__(
        self, *, layer: Layer, shape: Shape, timesteps: int, constant: bool, maps: LayerMapRequest | None
    ) -> None:
        super().__init__(layer=layer, shape=shape, timesteps=timesteps, constant=constant, maps=maps, name=layer.name)
        channels, height, width = shape
        outputs, rows, columns = layer.output_shape(shape)
        neurons = (rows, columns, outputs) if layer.kind == "conv" else (outputs,)
        self.s_in = InPort(shape=(height, width, channels) if layer.kind == "conv" else (channels * height * width,))
        self.a_in, self.s_out = InPort(shape=neurons), OutPort(shape=neurons)
        self.bits_out = OutPort(shape=(MESSAGE_STEPS, -(-prod(neurons) // 8)))
        self.maps_out, self.sum_out = map_ports(neurons)


@model_of(LayerProcess)
class StockLayer(AbstractSubProcessModel):
    """Lava's synapses, then this project's neurons, with maximum pooling before or between them where there is any.

    Processes that form maps follow, if they are requested.
    """

    def __init__(self, process: LayerProcess) -> None:
        about = process.proc_params
        layer, timesteps, maps = about["layer"], about["timesteps"], about["maps"]
        currents = process.a_in if about["constant"] else self._synapses(process, layer, about["shape"])
        self.neurons = LIFNeurons(
            shape=process.s_out.shape,
            timesteps=timesteps,
            neuron=layer.spiking_neuron,
            trace=maps and maps.trace,
            name=layer.name,
        )
        currents.connect(self.neurons.a_in)
        self.neurons.s_out.connect(process.s_out)
        self.neurons.bits_out.connect(process.bits_out)
        if maps:
            self.sums = sum_over_channels(process.s_out.shape, f"{layer.name}_sums")
            shape = self.sums.a_out.shape
            self.gatherer = MapGatherer(shape=shape, maps=maps, timesteps=timesteps, name=f"{layer.name}_maps")
            self.neurons.p_out.connect(self.sums.s_in)
            self.sums.a_out.connect(self.gatherer.a_in)
            self.gatherer.maps_out.connect(process.maps_out)
            self.gatherer.sum_out.connect(process.sum_out)

    def _synapses(self, process: LayerProcess, layer: Layer, shape: Shape) -> OutPort:
        """From the spikes that arrive to the currents."""
        pool = pair(layer.pool)
        averaged, seen = ((1, 1), pooled(shape, pool)) if layer.pooling == "max" else (pool, shape)
        self.synapses: Conv | Dense
        if layer.kind == "conv":
            self.synapses = stock_conv(layer, seen, averaged)
        else:
            self.synapses = exact_dense(channels_last(layer.averaged_weight, seen, averaged), f"{layer.name}_synapses")
        spikes, currents = process.s_in, self.synapses.a_out
        if layer.pooling == "max":
            channels, height, width = shape
            flat, name = layer.kind == "dense", f"{layer.name}_spike_pooling"
            self.spike_pooling = SpikePooling(shape=(height, width, channels), pool=pool, flat=flat, name=name)
            spikes.connect(self.spike_pooling.s_in)
            spikes = self.spike_pooling.s_out
        spikes.connect(self.synapses.s_in)
        if layer.current_pool != 1:
            name = f"{layer.name}_current_pooling"
            self.current_pooling = CurrentPooling(shape=currents.shape, pool=pair(layer.current_pool), name=name)
            currents.connect(self.current_pooling.a_in)
            currents = self.current_pooling.a_out
        return currents


@model_of(LayerProcess)
class EventLayer(PyLoihiProcessModel):
    """The kernels of the event backend, one step at a time."""

    s_in = receives(bool)
    a_in = receives(np.float32)
    s_out = sends(bool)
    bits_out = sends(np.uint8)
    maps_out = sends(np.uint16)
    sum_out = sends(np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.timesteps = proc_params["timesteps"]
        self.kernel = LayerKernel(proc_params["layer"], proc_params["shape"])
        self.state = self.kernel.rest()
        self.fired = np.zeros(self.kernel.output_shape, np.bool_)
        self.bits = np.zeros((MESSAGE_STEPS, -(-self.fired.size // 8)), np.uint8)
        if maps := proc_params["maps"]:
            height, width, _ = self.fired.shape
            self.step_maps = StepMaps(maps.trace, self.fired.shape)
            self.messages = MapMessages(maps, height * width, self.timesteps)

    def run_spk(self) -> None:
        """Send what the last step's input causes, so that the next layer need not wait; then receive input."""
        t = (self.time_step - 1) % self.timesteps
        self.kernel.advance(t, self.state, self.fired, self.bits[t % MESSAGE_STEPS])
        self.s_out.send(self.fired.reshape(self.s_out.shape))
        if ends_message(t, self.timesteps):
            self.bits_out.send(self.bits)
        if self.proc_params["maps"]:
            self.messages.send(self)
            self.messages.leaving.add(t, self.step_maps.step(t, self.fired))
        if self.proc_params["constant"]:
            self.state.current[0] = self.a_in.recv().reshape(self.fired.shape)
        else:
            channels, height, width = self.proc_params["shape"]
            self.kernel.add([self.s_in.recv().reshape(height, width, channels)], self.state)


def pooled(shape: Shape, pool: tuple[int, int]) -> Shape:
    """(C, H, W) behind pooling."""
    channels, height, width = shape
    return channels, height // pool[0], width // pool[1]


def stock_conv(layer: Layer, shape: Shape, pool: tuple[int, int]) -> Conv:
    """Lava's `Conv` of a map (C, H, W), with average pooling folded into its weights.

    Pool 2, then a 3×3 kernel, is a 6×6 kernel of stride 2 and padding 2. In fixed point it sums; the neuron's gain
    absorbs the average.
    """
    channels, height, width = shape
    # Lava's Conv is a true convolution: flip. Its weights are (O, H, W, C).
    kernel = layer.averaged_weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)
    return Conv(
        weight=kernel.repeat(pool[0], axis=1).repeat(pool[1], axis=2),
        input_shape=(height, width, channels),
        padding=tuple(np.multiply(pair(layer.padding), pool).tolist()),
        stride=tuple(np.multiply(pair(layer.stride), pool).tolist()),
        name=f"{layer.name}_synapses",
    )


def channels_last(weight: NDArray[Any], shape: Shape, pool: tuple[int, int]) -> NDArray[Any]:
    """(O, C·h·w) weights of a pooled map -> (O, H·W·C) weights of the map (C, H, W) before, in Lava's layout."""
    channels, height, width = shape
    tensor = weight.reshape(-1, channels, height // pool[0], width // pool[1])
    tensor = tensor.repeat(pool[0], axis=2).repeat(pool[1], axis=3).transpose(0, 2, 3, 1)
    return tensor.reshape(len(weight), -1)


def exact_dense(weight: NDArray[Any], name: str) -> Dense:
    """Lava's `Dense` of int8 or float32 weights (O, N).

    Its fixed-point model drops the lowest bit of mixed-sign weights; doubled and halved again, none is lost.
    """
    if weight.dtype == np.int8:
        return Dense(weights=weight.astype(np.int16) * 2, weight_exp=-1, name=name)
    return Dense(weights=weight, name=name)
