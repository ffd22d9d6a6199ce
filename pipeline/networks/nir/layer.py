"""A group of NIR nodes -> a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from backends.network import Layer, NetworkError, Shape
from backends.network.checks import by_channel
from pipeline.networks.delays import delayed

from .attributes import metadata, numbers
from .neurons import SAID, Rules, agreed, read_lif
from .node_groups import NodeGroup
from .pooling import flattened, read_currents_pool, read_pool
from .synapses import read_synapse


def read_layer(group: NodeGroup, shape: Shape, before: Sequence[Layer], timesteps: int, rules: Rules) -> Layer:
    """The layer of a group, for a map of (C, H, W), behind the layers before it."""
    assert group.neuron is not None
    where = group.neuron.where
    if group.synapse is None:
        raise NetworkError(f"{where}: got no weights in front of it, expected Affine, Linear or Conv2d")
    pool = read_pool(group, shape, rules)
    synapse = read_synapse(group, flattened(group.flatten, pool.shape))
    current_pool, currents = read_currents_pool(group, synapse.shape)
    weight = pool.factor * synapse.weight
    neuron = read_lif(group.neuron, currents, synapse.scale, synapse.bias, rules)
    bias = delayed(neuron.bias, len(before), timesteps)
    said = metadata(group.neuron.node, where, SAID)
    if "gain" in said:
        gain = by_channel(said["gain"], len(weight), np.float64, "gain", where)
        if len(gain) == 1:  # for all steps: the weights of the node are multiplied by it
            weight = divided(weight, gain[0])
        neuron = replace(neuron, gain=neuron.gain * gain)
    if "weight" in said:  # those of a gain 0 are lost
        exact = numbers(said["weight"], "weight", where)
        known = np.where(weight == 0, exact, weight) if exact.shape == weight.shape else weight
        weight = agreed(exact, known, "weight", where)
    if "bias" in said:
        bias = by_channel(said["bias"], len(weight), np.float64, "bias", where)
        agreed(bias[-1], neuron.bias, "bias", where)
    try:
        layer = Layer(
            _name(group.synapse.name, before, weight.ndim),
            weight,
            replace(neuron, bias=bias),
            pool.sides,
            synapse.stride,
            synapse.padding,
            pool.pooling,
            current_pool,
        )
        layer.output_shape(shape)
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from None
    return layer


def divided(weight: Any, gain: Any) -> Any:
    """Weights without a factor by channel; those of a factor 0 are lost."""
    factor = gain.reshape(-1, *(1,) * (weight.ndim - 1))
    return np.divide(weight, factor, out=np.zeros(weight.shape), where=factor != 0).astype(np.float32)


def _name(node: str, before: Sequence[Layer], dimensions: int) -> str:
    """The name of a node, if it can be that of a layer, with underscores for dots; "conv1", "fc2", … if not."""
    taken = {"input", *(layer.name for layer in before)}
    name = node.replace(".", "_")
    if name.isascii() and name.isidentifier() and name not in taken:
        return name
    kind = "conv" if dimensions == 4 else "fc"
    numbered = (f"{kind}{number}" for number in count(1 + sum(each.weight.ndim == dimensions for each in before)))
    return next(name for name in numbered if name not in taken)
