"""An ANN with thresholds as a spiking network: what a spike is worth goes into gains, biases act
step by step.

A spike of a neuron with threshold θ stands for an activation of θ in one step of T. In units of θ
every neuron has the threshold 1, so each branch of a layer's sum has the gain θ of its source / θ
of the layer, and biases are divided by θ. Each layer answers the T steps of its window, D steps
late at depth D, as imported networks do (see imports/road/).

Where neurons fire up to n spikes a step, each channel becomes n of bits: the d-th fires where the
membrane exceeds d thresholds, and what any of them fires is subtracted from all, as in
backends/network/planes.py. Since they are channels of one layer, which reads itself, layers keep
their names and depths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby, repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikesam.backends.network import (
    DEFAULT_RANGE,
    LIF,
    PIXEL_LIMIT,
    Conv,
    Encoder,
    Input,
    Layer,
    Network,
    Readout,
    Source,
    Weighted,
)
from spikesam.pipeline.images.encoding import in_eight_bits, poisson_batch
from spikesam.pipeline.imports.road.build import delayed, depths, with_window
from spikesam.pipeline.training.trainable import with_off_planes

Floats = NDArray[np.float64]
HALF = 0.5  # of a threshold: the membrane to begin with, so that counts are rounded and not cut


def spiking_network(
    ann: Network,
    thresholds: Mapping[str, Floats],
    timesteps: int,
    *,
    encoder: Encoder = "constant-current",
    initial: float = HALF,
    corrections: Mapping[str, Floats] | None = None,
    spikes: int = 1,
) -> Network:
    """The float32 network of an ANN; thresholds (C,) are of one of up to `spikes` a step,
    `corrections` are (S, C).
    """
    depth = layer_depths(ann)
    steps = timesteps + depth[ann.layers[-1].name]
    layers = []
    for layer in ann.layers:
        layer_depth, theta = depth[layer.name], thresholds[layer.name]
        inputs = [
            part
            for layer_input in layer.inputs
            for part in _parts(
                replace(layer_input, gain=layer_input.gain / theta),
                thresholds,
                depth,
                layer_depth,
                encoder,
                ann.input_range,
            )
        ]
        rows = np.repeat(layer.neuron.bias / theta, timesteps, 0)
        added_bias = (corrections or {}).get(layer.name, np.zeros((1, len(theta)))) / theta
        rows += added_bias[np.minimum(np.arange(timesteps), len(added_bias) - 1)]
        rows[0] += initial
        converted = Layer(
            layer.name, inputs, LIF(1.0, bias=delayed(rows, layer_depth - 1, steps, timesteps, 1.0))
        )
        layers.append(converted if spikes == 1 else _in_planes(converted, spikes))
    readout = ann.readout
    last = thresholds[ann.layers[-1].name]
    factors = last.repeat(readout.weight.shape[1] // len(last))
    shape = ann.input_shape
    if encoder == "poisson":
        shape = (2 * shape[0], *shape[1:])
    network = Network(
        shape,
        steps,
        tuple(layers),
        Readout(
            np.tile((readout.weight * factors).astype(np.float32), spikes),
            readout.scale * steps / timesteps,
            bias=delayed(readout.bias, steps - timesteps, steps),
        ),
        encoder,
        DEFAULT_RANGE if encoder == "poisson" else ann.input_range,
    )
    return with_window(network, timesteps, [depth[layer.name] for layer in ann.layers])


def _in_planes(layer: Layer, spikes: int) -> Layer:
    """The layer with planes of its channels, one behind the other, for so many spikes a step."""
    neuron = layer.spiking_neuron
    channels = neuron.bias.shape[1]
    identity = np.eye(channels, dtype=np.float32)[..., None, None]
    inputs = []
    for layer_input in layer.inputs:
        synapse = layer_input.synapse
        if not isinstance(synapse, Weighted):
            synapse = Conv(identity)
        weight = synapse.weight
        read = 1 if layer_input.sources[0].layer == "input" else spikes
        tiled = np.tile(weight, (spikes, read, *[1] * (weight.ndim - 2)))
        in_planes = replace(synapse, weight=tiled)
        inputs.append(
            replace(layer_input, synapse=in_planes, gain=np.tile(layer_input.gain, spikes))
        )
    other_planes = (
        np.tile(identity, (spikes, spikes, 1, 1))
        - np.eye(spikes * channels, dtype=np.float32)[..., None, None]
    )
    inputs.append(Input(other_planes, Source(layer.name), gain=-1))
    thresholds = np.arange(1.0, spikes + 1).repeat(channels)
    return Layer(
        layer.name, inputs, LIF(1.0, thresholds, bias=np.tile(neuron.bias, spikes), reset_by=1.0)
    )


def layer_depths(network: Network) -> dict[str, int]:
    """The steps by which each layer is later than the input, where every layer costs one."""
    reads = {
        layer.name: [replace(source, delay=0) for source in layer.sources]
        for layer in network.layers
    }
    return depths(reads, {name: name for name in reads})


def images_seen(
    ann: Network, images: NDArray[np.float32], encoder: Encoder, steps: int, seed: int
) -> Iterator[torch.Tensor]:
    """The numbers that a spiking network of an ANN sees of images in each step, (N, C, H, W), in
    units of the
    ANN.
    """
    if encoder == "constant-current":
        constant = torch.from_numpy(
            in_eight_bits(images, ann.input_range) / np.float32(PIXEL_LIMIT)
        )
        yield from repeat(constant, steps)
        return
    for step in poisson_batch(images, steps, seed, range(len(images))).unpacked():
        on, off = torch.from_numpy(step).float().chunk(2, dim=1)
        yield (on - off) * (DEFAULT_RANGE / ann.input_range)


def _parts(
    layer_input: Input,
    thresholds: Mapping[str, Floats],
    depth: Mapping[str, int],
    layer_depth: int,
    encoder: Encoder,
    largest: float,
) -> Iterator[Input]:
    """The input, as one for each worth of a spike among its sources."""

    def worth(source: Source) -> tuple[bool, list[float]]:
        image = source.layer == "input"
        return image, [DEFAULT_RANGE / largest] if image else thresholds[source.layer].tolist()

    for (_, values), group in groupby(sorted(layer_input.sources, key=worth), worth):
        sources = tuple(
            Source(source.layer, layer_depth - depth[source.layer], source.sign) for source in group
        )
        synapse, factors = layer_input.synapse, np.array(values)
        if not isinstance(synapse, Weighted):
            yield replace(layer_input, source=sources, gain=layer_input.gain * factors)
            continue
        weight: NDArray[Any] = synapse.weight.astype(np.float64)
        if len(set(values)) > 1:
            factor_of_column = factors.repeat(weight.shape[1] // len(factors))
            weight, factors = (
                weight * factor_of_column.reshape(-1, *[1] * (weight.ndim - 2)),
                np.ones(1),
            )
        largest_of = (
            np.abs(weight).reshape(len(weight), -1).max(1)
        )  # of each neuron: int8 then has all its steps
        largest_of[largest_of == 0] = 1
        weight = (weight / largest_of.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
        if encoder == "poisson" and sources[0].layer == "input":
            weight = with_off_planes(weight)
        yield replace(
            layer_input,
            synapse=replace(synapse, weight=weight),
            source=sources,
            gain=layer_input.gain * largest_of * factors[0],
        )
