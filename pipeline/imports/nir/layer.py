"""Groups of NIR nodes -> a layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, Input, Layer, NetworkError, Shape, Source, Windows
from spikesam.backends.network.checks import by_channel
from spikesam.pipeline.imports.delays import delayed
from spikesam.pipeline.imports.nir.attributes import by_channel as by_neuron
from spikesam.pipeline.imports.nir.attributes import metadata, numbers
from spikesam.pipeline.imports.nir.graph import Named
from spikesam.pipeline.imports.nir.neurons import SAID, Rules, agreed, near_one, read_lif, read_membrane
from spikesam.pipeline.imports.nir.node_groups import InputNodes, NodeGroup
from spikesam.pipeline.imports.nir.pooling import Pool, flattened, read_currents_pool, read_pool
from spikesam.pipeline.imports.nir.synapses import Synapse, read_synapse


@dataclass(frozen=True)
class ReadInput:
    """One input as its nodes say it; without a synapse it is the identity.

    Attributes
    ----------
    shape : (C, H, W) of its currents
    scale : (C,), by which they are multiplied
    """

    pool: Pool
    synapse: Synapse | None
    windows: Windows
    scale: NDArray[np.float64]
    shape: Shape

    @property
    def weight(self) -> NDArray[np.float64] | None:
        """Its weights, in double precision."""
        return None if self.synapse is None else self.pool.factor * self.synapse.weight


def read_input(group: NodeGroup, shape: Shape, rules: Rules) -> ReadInput:
    """One input of a layer, whose sources are maps of (C, H, W)."""
    assert group.neuron is not None
    pool = read_pool(group, shape, rules)
    if group.synapse is None:
        if odd := [node for node in (group.pool, group.flatten) if node]:
            raise NetworkError(f"{odd[0].where}: got no weights behind it, expected Affine, Linear or Conv2d")
        scale = np.ones(shape[0])
        if group.scale is not None:
            scale = by_neuron(group.scale.node.scale, shape, "scale", group.scale.where)
        return ReadInput(pool, None, NO_POOLING, scale, shape)
    synapse = read_synapse(group, flattened(group.flatten, pool.shape))
    windows, currents = read_currents_pool(group, synapse.shape)
    return ReadInput(pool, synapse, windows, synapse.scale, currents)


def read_layer(
    name: str,
    nodes: Sequence[InputNodes],
    inputs: Sequence[ReadInput],
    sources: Sequence[tuple[Source, ...]],
    level: int,
    steps: tuple[int, int | None],
    rules: Rules,
) -> Layer:
    """The layer of neurons that fire `level` steps later than in NIR.

    Parameters
    ----------
    nodes, inputs, sources : of each input
    steps : of the network, and its window
    """
    node, shape = nodes[0].group.neuron, inputs[0].shape
    assert node is not None
    where, said = node.where, metadata(node.node, node.where, SAID)
    neuron, drive = read_lif(node, shape, rules), read_membrane(node, shape, rules).drive
    constant: Any = neuron.bias
    counted, made = set[tuple[str, ...]](), list[Input]()
    for each, read, of in zip(nodes, inputs, sources, strict=True):
        gain = near_one(drive * read.scale)
        if read.synapse is not None and _behind_bias(each.group) not in counted:  # inputs may share these nodes
            counted.add(_behind_bias(each.group))
            constant = constant + gain * read.synapse.bias
        carrier = each.group.synapse or each.group.scale
        if not made:
            about = said, where
        else:
            about = (metadata(carrier.node, carrier.where, ("gain", "weight")), carrier.where) if carrier else ({}, "")
        made.append(replace(_input(read, gain, *about), source=of))
    bias = delayed(constant, level - 1, *steps, neuron.threshold)
    if "bias" in said:
        bias = by_channel(said["bias"], shape[0], np.float64, "bias", where)
        agreed(bias[-1], constant, "bias", where)
    try:
        return Layer(name, made, replace(neuron, bias=bias))
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from None


def _behind_bias(group: NodeGroup) -> tuple[str, ...]:
    """Names of the nodes that a bias passes."""
    return tuple(node.name for node in (group.synapse, group.scale, group.currents_pool) if node)


def _input(read: ReadInput, gain: NDArray[np.float64], said: dict[str, Any], where: str) -> Input:
    """An input, without its sources."""
    if read.synapse is None:
        if "gain" in said:
            gain = gain * by_channel(said["gain"], len(gain), np.float64, "gain", where)
        return Input(None, gain=gain)
    weight, gain = _said(said, read.weight, gain, where)
    synapse, pool = read.synapse, read.pool
    return Input(weight, (), gain, pool.sides, synapse.stride, synapse.padding, pool.pooling, *read.windows)


def _said(said: dict[str, Any], weight: Any, gain: NDArray[np.float64], where: str) -> tuple[Any, Any]:
    """Weights and gain as metadata say them, where these agree with the weights of the node."""
    if "gain" in said:
        factor = by_channel(said["gain"], len(weight), np.float64, "gain", where)
        if len(factor) == 1:  # for all steps: the weights of the node are multiplied by it
            weight = divided(weight, factor[0])
        gain = gain * factor
    if "weight" in said:  # those of a gain 0 are lost
        exact = numbers(said["weight"], "weight", where)
        known = np.where(weight == 0, exact, weight) if exact.shape == weight.shape else weight
        weight = agreed(exact, known, "weight", where)
    return weight, gain


def divided(weight: Any, gain: Any) -> Any:
    """Weights without a factor by channel; those of a factor 0 are lost."""
    factor = gain.reshape(-1, *(1,) * (weight.ndim - 1))
    return np.divide(weight, factor, out=np.zeros(weight.shape), where=factor != 0).astype(np.float32)


def layer_names(synapses: Iterable[Named]) -> list[str]:
    """Names of layers: those of the nodes of their weights, if they can be, with underscores for dots.

    If not, "conv1", "fc2", …
    """
    names: list[str] = []
    kinds: list[str] = []
    for synapse in synapses:
        kinds.append("conv" if synapse.kind == "Conv2d" else "fc")
        name, taken = synapse.name.replace(".", "_"), {"input", *names}
        if not (name.isascii() and name.isidentifier() and name not in taken):
            numbered = (f"{kinds[-1]}{number}" for number in count(kinds.count(kinds[-1])))
            name = next(each for each in numbered if each not in taken)
        names.append(name)
    return names
