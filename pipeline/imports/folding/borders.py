"""A bias in front of a border: W(x + b) = W x + W b, where W b is smaller at the border, since W sees zeros beyond it.

So W b differs from place to place. It is one more input, whose source are neurons of one channel that fire at every
step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from spikesam.backends.network import Shape, Source
from spikesam.pipeline.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.imports.following.raster import FollowedLayer
from spikesam.pipeline.imports.libraries.library import SpikingModule, expect
from spikesam.pipeline.imports.repeating import REPEATING

ONES = "/bias"  # behind the name of a module: neurons that fire at every step, for its bias


def bordered(folded: list[FoldedSynapses], where: str) -> list[FoldedSynapses]:
    """Synapses without a bias, and one more that is their bias, through weights of ones."""
    first, *others = folded
    if not first.bias.any():
        return folded
    alone = first.weight is None or first.weight.shape[2:] != (1, 1)  # larger kernels are refused for their own reason
    expect(alone or first.padding == (0, 0), where, "pads a map that has a bias and a border", "no padding there")
    channels = first.shape[0]
    gain, weight = (
        np.broadcast_to(first.bias, (*first.bias.shape[:-1], channels)),
        np.ones((channels, 1, 1, 1), np.float32),
    )
    bias = FoldedSynapses(first.shape, weight, first.pool, gain=gain, sources=first.sources[:1], ones=True)
    return [replace(first, bias=np.array(0.0)), *others, bias]


def with_ones(
    layer: FollowedLayer, folded: Sequence[FoldedSynapses], shapes: Mapping[str, Shape]
) -> tuple[list[FoldedSynapses], list[tuple[FollowedLayer, FoldedSynapses]]]:
    """Inputs of a layer with neurons as the sources of ones; and these neurons, with what drives them.

    A layer must read something: they read what would have the bias, through weights of zero and a step later, so that
    the layers stand no deeper.
    """
    inputs: list[FoldedSynapses] = []
    made: dict[Shape, tuple[FollowedLayer, FoldedSynapses]] = {}
    for synapses in folded:
        if synapses.ones:
            source = synapses.sources[0]
            channels, height, width = shapes[source.layer]
            shape = 1, height // synapses.pool[0], width // synapses.pool[1]
            if shape not in made:
                name = f"{layer.name}{ONES}{len(made) + 1 if made else ''}"
                spikes = torch.ones_like(layer.spikes[:, :, :1]).repeat(1, 1, shape[1] * shape[2])
                neurons = SpikingModule(replace(REPEATING, bias=1.0))
                ones = FollowedLayer(name, layer.label, neurons, layer.path, shape, spikes, None)
                zeros = np.zeros((1, channels, 1, 1), np.float32)
                late = replace(source, delay=source.delay + 1)
                made[shape] = ones, FoldedSynapses(shape, zeros, synapses.pool, sources=(late,))
            synapses = replace(synapses, pool=(1, 1), sources=(Source(made[shape][0].name, 0),), ones=False)
        inputs.append(synapses)
    return inputs, list(made.values())
