"""The model of a layer that is made of Lava's own `Conv` or `Dense`, one for each input, and this
project's neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.proc.conv.process import Conv as LavaConv
from lava.proc.dense.process import Dense as LavaDense
from numpy.typing import NDArray

from spikesam.backends.lava._magma import (
    AbstractProcess,
    AbstractSubProcessModel,
    OutPort,
    model_of,
)
from spikesam.backends.lava.process._parts import Arriving, LIFNeurons, MapGatherer, MaximumPooling
from spikesam.backends.lava.process.layer import LayerProcess, channels_last
from spikesam.backends.network import NO_POOLING, Conv, Input, Shape, Weighted, pair

SUM_MESSAGE_BITS = 8  # of spikes that are summed before they are sent
PAYLOAD_MESSAGE_BITS = 24  # of a graded spike


@model_of(LayerProcess)
class StockLayer(AbstractSubProcessModel):
    """Lava's synapses, then this project's neurons, between the sums, poolings and maps that they
    need.
    """

    def __init__(self, process: LayerProcess) -> None:
        self.process, self.processes = process, dict[str, AbstractProcess]()
        parameters = process.proc_params
        self.shapes, self.timesteps = parameters["shapes"], parameters["timesteps"]
        layer, maps = parameters["layer"], parameters["maps"]
        shape = process.s_out.shape
        neurons = self._with(
            LIFNeurons(
                shape=shape,
                timesteps=self.timesteps,
                neuron=layer.spiking_neuron,
                inputs=layer.inputs,
                trace=maps and maps.trace,
                name=layer.name,
            )
        )
        for number, layer_input in enumerate(layer.inputs):
            name = f"{layer.name}_{number + 1}" if number else layer.name
            current_port = getattr(process, f"a_in_{number}", None)  # a current in place of spikes
            currents = current_port or self._currents(layer_input, name).reshape(shape)
            currents.connect(getattr(neurons, f"a_in_{number}"))
        neurons.s_out.connect(process.s_out)
        neurons.bits_out.connect(process.bits_out)
        if maps:
            identity: dict[str, Any] = {
                "weight": np.ones((1, 1, 1, shape[-1]), np.int8),
                "name": f"{layer.name}_sums",
            }
            sums = self._with(
                LavaConv(input_shape=shape, num_message_bits=PAYLOAD_MESSAGE_BITS, **identity)
            )
            about_maps: dict[str, Any] = {
                "maps": maps,
                "timesteps": self.timesteps,
                "name": f"{layer.name}_maps",
            }
            gatherer = self._with(MapGatherer(shape=sums.a_out.shape, **about_maps))
            neurons.p_out.connect(sums.s_in)
            sums.a_out.connect(gatherer.a_in)
            gatherer.maps_out.connect(process.maps_out)
            gatherer.sum_out.connect(process.sum_out)

    def find_sub_procs(self) -> dict[str, AbstractProcess]:
        """The processes that take the place of the layer."""
        return self.processes

    def _with(self, process: Any) -> Any:
        self.processes[process.name] = process
        return process

    def _currents(self, layer_input: Input, name: str) -> OutPort:
        """From the spikes that arrive at an input to its currents, of as many neurons as the layer
        has.
        """
        synapse, first = layer_input.synapse, layer_input.sources[0]
        plain = (
            len(layer_input.sources) == 1
            and first.delay == 1
            and first.sign > 0
            and not synapse.copies
        )
        if not isinstance(synapse, Weighted):
            return self._summed(layer_input, f"{name}_spikes", ahead=0)
        spikes = (
            self.process.port_of(first.layer)
            if plain
            else self._summed(layer_input, f"{name}_spikes", ahead=1)
        )
        shape = layer_input.arriving(self.shapes[first.layer])
        if synapse.pooling == "max":
            spikes = self._pooled(
                spikes,
                shape=channels_last(shape),
                pool=pair(synapse.pool),
                name=f"{name}_spike_pooling",
            )
        process = self._with(
            stock_synapses(synapse, shape, 0 if plain else SUM_MESSAGE_BITS, f"{name}_synapses")
        )
        spikes.reshape(process.s_in.shape).connect(process.s_in)
        currents: OutPort = process.a_out
        if synapse.windows != NO_POOLING or synapse.current_sum:
            pooling_options = {
                "pool": synapse.windows,
                "summed": synapse.current_sum,
                "name": f"{name}_current_pooling",
            }
            return self._pooled(currents, shape=currents.shape, **pooling_options)
        return currents

    def _pooled(self, currents: OutPort, **pooling_options: Any) -> OutPort:
        pooling = self._with(MaximumPooling(**pooling_options))
        currents.connect(pooling.a_in)
        return pooling.a_out

    def _summed(self, layer_input: Input, name: str, ahead: int) -> OutPort:
        """The spikes that arrive at an input, summed; see :class:`~._parts.Arriving`."""
        shapes = [channels_last(self.shapes[source.layer]) for source in layer_input.sources]
        sums = self._with(
            Arriving(
                layer_input=layer_input,
                shapes=shapes,
                timesteps=self.timesteps,
                ahead=ahead,
                name=name,
            )
        )
        for number, source in enumerate(layer_input.sources):
            self.process.port_of(source.layer).connect(getattr(sums, f"in_{number}"))
        return sums.x_out


def stock_synapses(synapse: Weighted, shape: Shape, bits: int, name: str) -> Any:
    """Lava's synapses in place of some that read a map (C, H, W); messages of `bits`, 0 of
    spikes.
    """
    channels, height, width = shape
    averaged = pair(synapse.pool)
    if synapse.pooling == "max":  # in a process in front
        height, width, averaged = height // averaged[0], width // averaged[1], (1, 1)
    if isinstance(synapse, Conv):
        return stock_conv(synapse, (channels, height, width), averaged, bits, name)
    return exact_dense(
        dense_weights(synapse.averaged_weight, (channels, height, width), averaged), bits, name
    )


def stock_conv(
    synapse: Conv, shape: Shape, pool: tuple[int, int], bits: int, name: str
) -> LavaConv:
    """Lava's `Conv` of a map (C, H, W), with average pooling folded into its weights; in fixed
    point it sums.
    """
    # Lava's Conv is a true convolution: flip. Its weights are (O, H, W, C).
    kernel = synapse.averaged_weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)
    return LavaConv(
        weight=kernel.repeat(pool[0], axis=1).repeat(pool[1], axis=2),
        input_shape=channels_last(shape),
        padding=tuple(np.multiply(pair(synapse.padding), pool).tolist()),
        stride=tuple(np.multiply(pair(synapse.stride), pool).tolist()),
        num_message_bits=bits,
        name=name,
    )


def dense_weights(weight: NDArray[Any], shape: Shape, pool: tuple[int, int]) -> NDArray[Any]:
    """(O, C·h·w) weights of a pooled map -> (O, H·W·C) weights of the map (C, H, W) before, in
    Lava's layout.
    """
    channels, height, width = shape
    tensor = weight.reshape(-1, channels, height // pool[0], width // pool[1])
    tensor = tensor.repeat(pool[0], axis=2).repeat(pool[1], axis=3).transpose(0, 2, 3, 1)
    return tensor.reshape(len(weight), -1)


def exact_dense(weight: NDArray[Any], bits: int, name: str) -> LavaDense:
    """Lava's `Dense` of int8 or float32 weights (O, N), doubled and halved: of mixed signs it drops
    the lowest bit.
    """
    dense_options: dict[str, Any] = {"num_message_bits": bits, "name": name}
    if weight.dtype == np.int8:
        return LavaDense(weights=weight.astype(np.int16) * 2, weight_exp=-1, **dense_options)
    return LavaDense(weights=weight, **dense_options)
