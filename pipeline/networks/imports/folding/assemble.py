"""A followed model as a network: its layers in order, and the steps by which they stand later.

In a network of this project every layer costs a step; in most libraries none does. So the bits of layer l stand l steps
later, the network has L steps more, and in layer l there is no bias before anything can have arrived. Where a library
delays what a layer gives, that delay is the network's own, and nothing stands later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from backends.network import LIF, Layer, Network, NetworkError, Readout, Shape
from pipeline.networks.delays import delayed
from pipeline.networks.imports.example import Example
from pipeline.networks.imports.following.calling import FollowedModel
from pipeline.networks.imports.following.raster import FollowedLayer
from pipeline.networks.imports.following.stream import INPUT
from pipeline.networks.layer_names import layer_name

from .folds import fold
from .readout import FoldedReadout, fold_readout
from .synapses import FoldedSynapses


@dataclass(frozen=True, eq=False)
class Imported:
    """A network, and the model that it is of.

    Parameters
    ----------
    network : the network
    layers : the model's neurons, one for each layer of the network
    neurons : their equations, driven by the currents that drive them in the model
    shifts : by how many steps the bits of each layer stand later in the network
    readout : behind the last layer
    """

    network: Network
    layers: tuple[FollowedLayer, ...]
    neurons: tuple[LIF, ...]
    shifts: tuple[int, ...]
    readout: FoldedReadout


def layers_in_order(followed: FollowedModel) -> list[FollowedLayer]:
    """The neurons that the answer comes from, from the input on."""
    layers: list[FollowedLayer] = []
    source = followed.answer.path.source
    while source != INPUT:
        layers.insert(0, followed.layers[source])
        source = layers[0].path.source
    if not layers:
        last = followed.answer.path.last
        raise NetworkError(f"the model's output comes from {last}, with no neurons that fire in between; return spikes")
    return layers


def shifts_of(layers: list[FollowedLayer]) -> tuple[int, ...]:
    """By how many steps the bits of each layer stand later in a network that has the layers."""
    delays = {layer.about.delayed for layer in layers}
    if len(delays) > 1:
        raise NetworkError("lava-dl's blocks: some have delay_shift, some have not; expected one setting in all")
    return tuple(0 if layer.about.delayed else number for number, layer in enumerate(layers, start=1))


def assemble(model: nn.Module, followed: FollowedModel, example: Example) -> Imported:
    """The network that a followed model is."""
    layers = layers_in_order(followed)
    shifts = shifts_of(layers)
    timesteps = example.timesteps + shifts[-1]
    names = [layer_name(model, layer.name) for layer in layers]
    shape, built, neurons = example.shape, [], []
    for name, layer, shift in zip(names, layers, shifts, strict=True):
        synapses = fold(layer.path, shape).connected
        neuron = _neuron(layer, synapses.shape)
        silent = shift + layer.about.delayed - 1  # steps before anything can have arrived
        built.append(_layer(name, synapses, neuron, silent, timesteps))
        neurons.append(neuron)
        shape = synapses.shape
    if example.encoder != "spikes":
        built[0] = replace(built[0], weight=2 * built[0].weight)  # there 1 stands for a pixel of 2
    readout = fold_readout(followed.answer.path, shape, example.timesteps)
    integrated = Readout(readout.weight, 1.0, readout.leak, delayed(readout.bias, shifts[-1], timesteps))
    network = Network(example.shape, timesteps, tuple(built), integrated, example.encoder, example.input_range)
    return Imported(network, tuple(layers), tuple(neurons), shifts, readout)


def _neuron(layer: FollowedLayer, shape: Shape) -> LIF:
    """The neurons of a module, by channel."""
    neuron, where = layer.about.neuron, layer.label
    assert isinstance(neuron, LIF)
    numbers = ("leak", "threshold", "gain", "bias", "reset_by", "synaptic_leak", "min_v_mem")
    given = {name: getattr(neuron, name) for name in numbers if getattr(neuron, name) is not None}
    by_channel = {name: _by_channel(value, shape, where, name) for name, value in given.items()}
    return replace(neuron, **by_channel).of_channels(shape[0], where)


def _layer(name: str, synapses: FoldedSynapses, neuron: LIF, silent: int, timesteps: int) -> Layer:
    assert synapses.weight is not None
    bias = synapses.bias * neuron.gain + neuron.bias
    driven = replace(neuron, gain=synapses.gain * neuron.gain, bias=delayed(bias[0], silent, timesteps))
    pooling: Any = synapses.pooling
    about = synapses.pool, synapses.stride, synapses.padding, pooling, synapses.current_pool
    return Layer(name, synapses.weight, driven, *about)


def _by_channel(value: Any, shape: Shape, where: str, what: str) -> Any:
    """A constant of neurons, one number or (C,)."""
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return array.item()
    channels = shape[0]
    for map_shape in (shape, (int(np.prod(shape)),)):
        try:
            whole = np.broadcast_to(array, (1, *map_shape)).reshape(channels, -1)
        except ValueError:
            continue
        if (whole == whole[:, :1]).all():
            return whole[0, 0].item() if (whole == whole[0, 0]).all() else whole[:, 0].copy()
    raise NetworkError(f"{where}: its {what} has shape {array.shape}, expected one number, or one for each channel")
