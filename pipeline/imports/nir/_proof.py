"""The proof of a graph's import: the network fires what NIR's equations say, on a dense input that
becomes sparse, and on silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Input, Network, NetworkError, Shape
from spikesam.backends.network.step import ROUNDING, Neurons, arrived, current_of
from spikesam.conformance._equations import TIE, Equations
from spikesam.conformance._graph import LEAKY, kind_of
from spikesam.pipeline.imports.nir import KEY
from spikesam.pipeline.imports.nir._graph import NirGraph, shape_of
from spikesam.pipeline.imports.nir._nodes import Rules
from spikesam.pipeline.imports.road.build import Built
from spikesam.pipeline.imports.road.operations import INPUT

STEPS, FEWEST = 16, 6  # of a proof, and as many more as nodes Delay hold; fewest of a large graph
MOST_PRODUCTS = 1 << 30  # of weights and spikes, for more than the fewest steps
INPUTS = "a dense input that becomes sparse", "silence"
# of the threshold and the largest membrane: what float32 may change in so many steps
APART = 1e-5
SCORES = 1e-4  # of the largest score: what float32 weights may change


def says_all(graph: NirGraph) -> bool:
    """True if the nodes of a graph say all of it: :func:`to_nir` writes more into metadata."""
    metadata = (node.metadata.get(KEY, {}) for node in graph.nodes.values())
    return not any(set(keys) - {"pooling"} for keys in metadata)


def prove(
    graph: NirGraph,
    rules: Rules,
    network: Network,
    built: Built,
    nodes: Mapping[str, str],
    timesteps: int,
) -> None:
    """Compare every bit with what the equations say, after their own bits before it.

    `nodes` are those of the layers, `timesteps` the steps of the input.
    """
    delays = (node.delay for node in graph.nodes.values() if kind_of(node) == "Delay")
    held = round(sum(float(np.max(delay)) for delay in delays) / rules.dt)
    affordable = MOST_PRODUCTS // max(1, _products(network))
    steps = min(timesteps, held + int(np.clip(affordable, FEWEST, STEPS)))
    declared = np.ravel(graph.nodes[graph.first].input_type["input"]).tolist()
    spikes = proof_inputs(steps, declared)
    equations = Equations(graph, rules.reading, spikes)
    late = max(built.shifts)  # behind a Delay the last layer need not stand last
    shape = shape_of(declared)
    fired = {INPUT: _later(spikes.reshape(*spikes.shape[:2], *shape), 0, late)}
    for layer, shift in zip(network.layers, built.shifts, strict=True):
        if layer.name in nodes:
            place = network.place(layer.name)
            bits = equations.spikes(nodes[layer.name])
            bits = bits.reshape(steps, len(INPUTS), *network.shapes[place])
            fired[layer.name] = _later(bits, shift, late - shift)
    for number, layer in enumerate(network.layers):
        node, shift = nodes.get(layer.name), built.shifts[number]
        _check_layer(network, number, fired, equations, node, shift, steps)
    _check_answer(network, built, equations, fired, timesteps)


def proof_inputs(steps: int, shape: list[int]) -> NDArray[np.bool_]:
    """(T, 2, …): dense, where half of all places fire at every step, and sparse from the middle on;
    and silent.
    """
    random = np.random.default_rng(0)
    spikes = random.random((steps, *shape)) < 2 * random.random(shape)
    spikes[steps // 2 :] = random.random((steps - steps // 2, *shape)) < 0.2
    return np.stack([spikes, np.zeros_like(spikes)], 1)


def _products(network: Network) -> int:
    """Products of weights and spikes in a step of all layers."""
    sizes = (
        weight.size * prod(shape[1:])  # a dense layer has one place
        for layer, shape in zip(network.layers, network.shapes[1:], strict=True)
        for layer_input in layer.inputs
        for weight in layer_input.synapse.tensors.values()
    )
    return sum(sizes)


def _later(bits: NDArray[np.bool_], steps_in_front: int, steps_behind: int) -> NDArray[np.bool_]:
    """(T, …) with silent steps before and behind."""
    padding = [(steps_in_front, steps_behind), *[(0, 0)] * (bits.ndim - 1)]
    return np.pad(bits, padding)


def _check_layer(
    network: Network,
    number: int,
    fired: dict[str, NDArray[np.bool_]],
    equations: Equations,
    node: str | None,
    shift: int,
    steps: int,
) -> None:
    """Compare the bits of a layer that is a node; or let one fire that no node is."""
    layer, shape = network.layers[number], network.shapes[number + 1]
    relay = node is None
    if relay:
        fired[layer.name] = np.zeros((len(fired[INPUT]), len(INPUTS), *shape), np.bool_)
    expected = fired[layer.name]
    neurons = Neurons(layer.spiking_neuron, layer.inputs, (len(INPUTS), *shape), np.float32)
    by_sample = [
        {name: bits[:, sample] for name, bits in fired.items()} for sample in range(len(INPUTS))
    ]
    threshold = neurons.of(layer.spiking_neuron.threshold)
    for t in range(1, len(expected) if relay else shift + steps):
        currents = [
            np.stack([_current(layer_input, bits, t, shape) for bits in by_sample])
            for layer_input in layer.inputs
        ]
        v = neurons.step(t, currents, expected[t - 1])
        if relay:
            expected[t] = neurons.fires
            continue
        wrong = (neurons.fires != expected[t]) & (np.abs(v - threshold) > ROUNDING * threshold)
        assert node is not None
        counted = equations.neurons[node].counted(t - shift, v.shape)
        wrong |= np.abs(v - counted) > APART * (threshold + np.abs(v).max(initial=0))
        tie = np.abs(counted - threshold) <= TIE * threshold
        wrong |= (neurons.fires != expected[t]) & tie & (v == threshold)
        if wrong.any():
            sample, *place = map(int, np.argwhere(wrong)[0])
            place_of_neuron = (sample, *place)
            network_fires, equations_fire = (
                "fires" if bits[place_of_neuron] else "does not fire"
                for bits in (neurons.fires, expected[t])
            )
            threshold_there = float(np.broadcast_to(threshold, shape)[tuple(place)])
            raise NetworkError(
                f"node {node!r}: at step {t - shift} of {INPUTS[sample]}, neuron {tuple(place)} "
                f"{network_fires} in the network and {equations_fire} by NIR's equations; its "
                f"membrane is {v[place_of_neuron]:.9g} in the network, "
                f"{counted[place_of_neuron]:.9g} by the equations, its threshold "
                f"{threshold_there:.9g}"
            )


def _current(
    layer_input: Input, fired: Mapping[str, NDArray[np.bool_]], t: int, shape: Shape
) -> NDArray[Any]:
    """a[t] of an input of one sample, (C, H, W)."""
    spikes = arrived(layer_input, fired, t)
    return current_of(layer_input, spikes) if spikes.any() else np.zeros(shape)


def _check_answer(
    network: Network,
    built: Built,
    equations: Equations,
    fired: Mapping[str, NDArray[np.bool_]],
    timesteps: int,
) -> None:
    """Compare the readout with the sum of what reaches the output, or with the last membrane."""
    if np.any(built.answer.last) and equations.steps < timesteps:
        return  # it is added at the last step alone
    readout = network.readout
    rows, scores = readout.bias, np.zeros((len(INPUTS), len(readout.weight)))
    spikes = fired[network.layers[-1].name].reshape(len(fired[INPUT]), len(INPUTS), -1)
    for t, bits in enumerate(spikes[: built.shifts[-1] + equations.steps]):
        drive = bits @ readout.weight.astype(np.float64).T
        scores = readout.leak * scores + drive + rows[min(t, len(rows) - 1)]
    kinds = [kind_of(node) for node in equations.graph.nodes.values()]
    values = equations.output[-1] if set(kinds) & set(LEAKY) else sum(equations.output)
    expected = np.reshape(values, scores.shape)
    error = float(np.abs(scores - expected).max())
    if error > SCORES * max(1.0, float(np.abs(expected).max())):
        raise NetworkError(
            f"node {equations.graph.last!r}: the network's answer differs by up to {error:.3g} "
            "from what NIR's equations say"
        )
