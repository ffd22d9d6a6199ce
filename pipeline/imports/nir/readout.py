"""What is behind the last spikes of a NIR graph -> the readout."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from spikesam.backends.network import NetworkError, Readout, Shape
from spikesam.backends.network.checks import by_channel, real
from spikesam.pipeline.imports.delays import delayed
from spikesam.pipeline.imports.kernels import unpooled
from spikesam.pipeline.imports.nir.attributes import metadata, text
from spikesam.pipeline.imports.nir.neurons import Rules, agreed, read_membrane
from spikesam.pipeline.imports.nir.node_groups import NodeGroup
from spikesam.pipeline.imports.nir.pooling import flattened, read_pool
from spikesam.pipeline.imports.nir.synapses import read_synapse

MOST_CLASSES = 10_000  # of an identity matrix, where the spikes themselves are the output


def read_readout(group: NodeGroup, shape: Shape, depth: int, timesteps: int, rules: Rules) -> Readout:
    """The readout of a network of `depth` layers; without weights each neuron of the last layer is a class."""
    pool = read_pool(group, shape, rules)
    for node in (group.currents_pool, group.or_):
        if node:
            raise NetworkError(f"{node.where}: got {node.kind} behind the last spikes, expected weights alone")
    weight, bias, said = _weights(group, flattened(group.flatten, pool.shape))
    classes = len(weight)
    where, leak = "readout", 1.0
    if group.neuron is not None:
        membrane = read_membrane(group.neuron, (classes, 1, 1), rules)
        where = group.neuron.where
        if membrane.synaptic_leak.any():
            raise NetworkError(f"{where}: tau_syn is not dt, expected it: currents of a readout do not outlast a step")
        said = metadata(group.neuron.node, where, ("scale", "leak", "bias"))
        if (membrane.leak != membrane.leak[0]).any():
            raise NetworkError(f"{where}: tau differs between neurons, expected one for all classes")
        leak = float(agreed(said.get("leak", membrane.leak[0]), membrane.leak[0], "leak", where))
        weight, bias = weight * membrane.drive[:, None], bias * membrane.drive + membrane.offset
    rows = delayed(bias, depth, timesteps)
    if "bias" in said:
        rows = by_channel(said["bias"], classes, np.float64, "bias", where)
        agreed(rows[-1], bias, "bias", where)
    if pool.sides != (1, 1):
        weight = unpooled(weight, pool.shape, pool.sides) * (pool.factor / prod(pool.sides))
    return Readout(weight, real(said.get("scale", 1.0), "scale", where), leak, rows)


def _weights(group: NodeGroup, shape: Shape) -> tuple[Any, Any, dict[str, Any]]:
    """(K, N) weights, (K,) bias and the metadata beside them."""
    if group.synapse is None:
        if shape[1:] != (1, 1) or shape[0] > MOST_CLASSES:
            raise NetworkError(
                f"graph: its output is {text(shape)}, expected one value per class, at most {MOST_CLASSES:,}"
            )
        if group.scale is not None:
            raise NetworkError(f"{group.scale.where}: got Scale behind spikes, expected it behind weights")
        return np.eye(shape[0]), np.zeros(shape[0]), {}
    if group.synapse.kind == "Conv2d":
        raise NetworkError(f"{group.synapse.where}: got Conv2d behind the last spikes, expected Affine or Linear")
    synapse = read_synapse(group, shape)
    said = metadata(group.synapse.node, group.synapse.where, ("scale", "bias"))
    return synapse.weight * synapse.scale[:, None], synapse.bias * synapse.scale, said
