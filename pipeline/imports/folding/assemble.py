"""A followed model as a network: its layers in order, what each reads, and the steps by which they stand later.

In a network of this project every layer costs a step; in most libraries none does. So the bits of a layer stand as many
steps later as it is deep, the network has so many steps more as its last layer, and in no layer is there a bias before
anything can have arrived, or a spike behind the model's last step. Where a library delays what a layer gives, that
delay is the network's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from spikesam.backends.network import LIF, Input, Layer, Network, NetworkError, Readout, Shape
from spikesam.backends.network.checks import by_channel as rows_of
from spikesam.pipeline.imports.delays import delayed, rows_later, with_window
from spikesam.pipeline.imports.example import Example
from spikesam.pipeline.imports.folding.borders import with_ones
from spikesam.pipeline.imports.folding.depths import depths_of
from spikesam.pipeline.imports.folding.folds import fold
from spikesam.pipeline.imports.folding.gathering import GATHERED, gathered, with_maximum
from spikesam.pipeline.imports.folding.readout import FoldedReadout, fold_readout
from spikesam.pipeline.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.imports.folding.weights import by_channel
from spikesam.pipeline.imports.following.calling import FollowedModel
from spikesam.pipeline.imports.following.joining import bare
from spikesam.pipeline.imports.following.raster import FollowedLayer
from spikesam.pipeline.imports.following.stream import INPUT
from spikesam.pipeline.imports.layer_names import layer_name
from spikesam.pipeline.imports.libraries.library import expect


@dataclass(frozen=True, eq=False)
class Imported:
    """A network, and the model that it is of.

    Parameters
    ----------
    network : the network
    layers : the model's neurons, one for each layer of the network
    neurons : their equations, driven by the currents that drive them in the model
    gains : (1, C) of each, which multiply these currents
    shifts : by how many steps the bits of each layer stand later in the network
    readout : behind the last layer
    """

    network: Network
    layers: tuple[FollowedLayer, ...]
    neurons: tuple[LIF, ...]
    gains: tuple[NDArray[np.float64], ...]
    shifts: tuple[int, ...]
    readout: FoldedReadout

    def of_model(self, example: Example) -> dict[str, NDArray[Any]]:
        """See :func:`model_bits`."""
        return model_bits(self.network, self.layers, self.shifts, example)


def model_bits(
    network: Network, layers: Sequence[FollowedLayer], shifts: Sequence[int], example: Example
) -> dict[str, NDArray[Any]]:
    """The example, and a model's bits in the network's steps, by layer: (T, B, C, H, W), with silence around."""
    given = {INPUT: example.encoded(network.timesteps)}
    for number, (layer, shift) in enumerate(zip(layers, shifts, strict=True)):
        shape = example.samples, *network.shapes[number + 1]
        bits = np.zeros((network.timesteps, *shape), np.bool_)
        own = layer.spikes.reshape(-1, *shape)[: network.timesteps - shift]
        bits[shift : shift + len(own)] = own.cpu().numpy()
        given[network.layers[number].name] = bits
    return given


@dataclass(frozen=True, eq=False)
class Arrangement:
    """The layers of a network, still without their numbers.

    Parameters
    ----------
    layers : a model's neurons, in order; the last ones give the answer
    folded : what drives each, by name
    depths : of each, by name; 0 of the input
    readout : behind the last
    """

    layers: list[FollowedLayer]
    folded: dict[str, list[FoldedSynapses]]
    depths: dict[str, int]
    readout: FoldedReadout

    @property
    def shifts(self) -> tuple[int, ...]:
        """By how many steps the bits of each layer stand later in the network."""
        return tuple(self.depths[layer.name] - layer.about.delayed for layer in self.layers)


def arrange(followed: FollowedModel, example: Example) -> Arrangement:
    """The layers that the answer depends on, those of ones, and one more where the answer comes from several."""
    followed = with_maximum(followed)
    reached = _layers(followed)
    shapes = {INPUT: example.shape} | {layer.name: layer.shape for layer in reached}
    layers: list[FollowedLayer] = []
    folded: dict[str, list[FoldedSynapses]] = {}
    for layer in reached:
        drives = fold(bare(layer.path), shapes)
        shapes[layer.name] = drives[0].shape
        neurons, driven = layer.spikes.shape[2], prod(drives[0].shape)
        expect(neurons == driven, layer.label, f"has {neurons} neurons, driven by {driven} currents", "one for each")
        drives, ones = with_ones(layer, drives, shapes)
        layers += [*(each for each, _ in ones), layer]
        folded |= {each.name: [driven] for each, driven in ones} | {layer.name: drives}
    readout = fold_readout(bare(followed.answer.path), shapes, example.timesteps)
    last = readout.sources[0]
    if len(readout.sources) > 1 or last.delay != followed.layers[last.layer].about.delayed:
        more, folded[GATHERED] = gathered(readout.sources, shapes, followed)
        layers.append(more)
    else:
        layers.sort(key=lambda layer: layer.name == last.layer)
    return Arrangement(layers, folded, depths_of(folded), readout)


def assemble(model: nn.Module, followed: FollowedModel, example: Example) -> Imported:
    """The network that a followed model is."""
    arranged = arrange(followed, example)
    layers, shifts, readout, depths = arranged.layers, arranged.shifts, arranged.readout, arranged.depths
    timesteps = example.timesteps + shifts[-1]
    names = {INPUT: INPUT} | {layer.name: _name(model, layer.name) for layer in layers}
    neurons, gains = zip(*(_neuron(layer, arranged.folded[layer.name][0].shape) for layer in layers), strict=True)
    built: list[Layer] = []
    for layer, neuron, gain in zip(layers, neurons, gains, strict=True):
        folded, depth = arranged.folded[layer.name], depths[layer.name]
        bias = folded[0].bias * gain + neuron.bias
        bias = delayed(bias, depth - 1, timesteps, example.timesteps, neuron.threshold)
        inputs = [
            replace(
                _input(synapses, example),
                source=tuple(
                    replace(source, layer=names[source.layer], delay=source.delay + depth - depths[source.layer])
                    for source in synapses.sources
                ),
                gain=rows_later(synapses.gain * gain, depth - 1, timesteps),
            )
            for synapses in _weights_first(folded, example)
        ]
        built.append(Layer(names[layer.name], inputs, replace(neuron, bias=bias)))
    integrated = Readout(readout.weight, 1.0, readout.leak, delayed(readout.bias, shifts[-1], timesteps))
    network = Network(example.shape, timesteps, tuple(built), integrated, example.encoder, example.input_range)
    network = with_window(network, example.timesteps, shifts)
    return Imported(network, tuple(layers), neurons, gains, shifts, readout)


def _layers(followed: FollowedModel) -> list[FollowedLayer]:
    """The neurons that the answer depends on, in the order in which they first ran."""
    reached: set[str] = set()
    ahead = [followed.answer.path]
    while ahead:
        names = {str(leaf.source) for leaf in ahead.pop().leaves} & followed.layers.keys() - reached
        ahead += [followed.layers[name].path for name in names]
        reached |= names
    if not reached:
        last = followed.answer.path.last
        raise NetworkError(f"the model's output comes from {last}, with no neurons that fire in between; return spikes")
    return [layer for name, layer in followed.layers.items() if name in reached]


def _name(model: nn.Module, module: str) -> str:
    """Of a layer, such as "lif1"; "lif1_max" of what pools its spikes, "lif1_bias" of ones that drive it, "answer"."""
    if module == GATHERED:
        return GATHERED[1:]
    source, made, kind = module.partition("/")
    return layer_name(model, source) + f"{made}{kind}".replace("/", "_")


def _neuron(layer: FollowedLayer, shape: Shape) -> tuple[LIF, NDArray[np.float64]]:
    """The neurons of a module, by channel, and their gain, (1, C)."""
    neuron, where = layer.about.neuron, layer.label
    assert isinstance(neuron, LIF)
    numbers = ("leak", "threshold", "bias", "reset_by", "synaptic_leak", "min_v_mem")
    given = {name: getattr(neuron, name) for name in numbers if getattr(neuron, name) is not None}
    constants = {name: by_channel(value, shape, where, name) for name, value in given.items()}
    gain = by_channel(layer.about.gain, shape, where, "gain")
    return replace(neuron, **constants).of_channels(shape[0], where), rows_of(gain, shape[0], np.float64, "gain", where)


def _weights_first(folded: list[FoldedSynapses], example: Example) -> list[FoldedSynapses]:
    """The inputs of a layer, in an order in which the first has weights, and is the model's input if any is."""
    if all(synapses.weight is None for synapses in folded):
        folded = [folded[0].connected, *folded[1:]]
    spikes = example.encoder == "spikes"
    weighted = [
        each if each.identity and (spikes or each.sources[0].layer != INPUT) else each.connected for each in folded
    ]
    return sorted(weighted, key=lambda each: (each.weight is None, each.sources[0].layer != INPUT))


def _input(synapses: FoldedSynapses, example: Example) -> Input:
    """An input of a layer, still without its sources and its gain."""
    weight, pooling = synapses.weight, synapses.pooling
    if example.encoder != "spikes" and synapses.sources[0].layer == INPUT and weight is not None:
        weight = 2 * weight  # there 1 stands for a pixel of 2
    about: Any = (synapses.pool, synapses.stride, synapses.padding, pooling, *synapses.windows)
    return Input(weight, (), 1.0, *about)
