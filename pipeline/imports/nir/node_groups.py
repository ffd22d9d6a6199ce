"""NIR nodes in groups, each of which becomes one input of a layer, or the readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np

from spikesam.backends.network import NetworkError
from spikesam.backends.network.inputs import LONGEST_DELAY
from spikesam.pipeline.imports.nir.attributes import numbers
from spikesam.pipeline.imports.nir.graph import POOLS, SPIKING, Graph, Named

SYNAPSES = ("Affine", "Linear", "Conv2d")
LEAKY = ("I", "LI", "CubaLI")
SUPPORTED = ", ".join(("Input", "Output", "Delay", "Flatten", "Scale", *POOLS, *SYNAPSES, *SPIKING, *LEAKY))
ORDER = "pooling, Flatten, weights, Scale, neurons"
REASONS = {
    "Conv1d": "maps have two dimensions here; a Conv2d with a kernel of 1 × n says as much",
}


@dataclass
class NodeGroup:
    """What lies between two sets of spikes: at most one node of each kind, in the order of the fields.

    Attributes
    ----------
    or_ : a Threshold on a pooled map, which is the OR of spikes
    currents_pool : pooling between weights and neurons
    neuron : neurons that spike; in the last group those that leak, or None
    """

    pool: Named | None = None
    or_: Named | None = None
    flatten: Named | None = None
    synapse: Named | None = None
    scale: Named | None = None
    currents_pool: Named | None = None
    neuron: Named | None = None

    @property
    def filled(self) -> list[str]:
        """Which fields there are nodes for."""
        return [slot.name for slot in fields(self) if getattr(self, slot.name)]

    def add(self, node: Named, place: str | None = None) -> None:
        """Put a node where it belongs, or at a known place."""
        kind, filled = node.kind, self.filled
        slot = place or _slot(kind, filled)
        if slot is None:
            reason = REASONS.get(kind, f"expected one of {SUPPORTED}")
            raise NetworkError(f"{node.where}: type {kind} is not supported: {reason}")
        order = [each.name for each in fields(self)]
        if filled and order.index(slot) <= order.index(filled[-1]):
            previous = getattr(self, filled[-1])
            expected = f"nodes of a layer in the order {ORDER}"
            if previous.kind in LEAKY:
                expected = "the end: only spikes can go on to another layer"
            raise NetworkError(
                f"{node.where}: got {kind} behind {previous.kind} {previous.name!r}, expected {expected}"
            )
        setattr(self, slot, node)


def _slot(kind: str, filled: list[str]) -> str | None:
    if kind in POOLS:
        return "currents_pool" if "synapse" in filled else "pool"
    if kind == "Threshold" and filled == ["pool"]:
        return "or_"
    if kind in SYNAPSES:
        return "synapse"
    if kind in (*SPIKING, *LEAKY):
        return "neuron"
    return {"Flatten": "flatten", "Scale": "scale"}.get(kind)


class Reads(NamedTuple):
    """Whose spikes an input reads: those of a node, some steps later, times 1 or -1."""

    name: str
    steps: int
    sign: int


@dataclass
class InputNodes:
    """The nodes of one input, and whose spikes they are for."""

    group: NodeGroup = field(default_factory=NodeGroup)
    reads: list[Reads] = field(default_factory=list)


def inputs_of(graph: Graph, target: str, dt: float) -> list[InputNodes]:
    """All inputs of neurons, or of the output, in the order of the edges.

    What is added up in front of weights is one input, if the same nodes are behind it. Other sums of NIR become one
    input each, through copies of the nodes that they share.
    """
    found: dict[tuple[str, ...], InputNodes] = {}
    for source, path in graph.paths(target):
        nodes = [node for node in path if node.kind != "Delay"]
        steps = sum(_steps(node, dt) for node in path if node.kind == "Delay")
        sign = _sign(nodes)
        nodes = nodes if sign is None else nodes[1:]
        key = tuple(node.name for node in nodes)
        if key not in found:
            found[key] = InputNodes()
            for node in nodes:
                found[key].group.add(node)
            if target != graph.last:
                found[key].group.add(graph.named(target), "neuron")
        # neurons that lead to themselves: the spikes of a step are there at the next
        found[key].reads.append(Reads(source, max(steps, int(source == target)), sign or 1))
    inputs = list(found.values())
    for kind in ("or_", "currents_pool"):
        maxima = [node.name for each in inputs if (node := getattr(each.group, kind))]
        if twice := [name for name in maxima if maxima.count(name) > 1]:
            raise NetworkError(f"node {twice[0]!r}: gets a sum of several inputs, expected one: it takes the maximum")
    return inputs


def _steps(delay: Named, dt: float) -> int:
    """Steps of a node Delay."""
    seconds = numbers(delay.node.delay, "delay", delay.where).ravel()
    limited = np.clip(seconds, -dt, (LONGEST_DELAY + 1) * dt)
    steps = np.unique(np.round(limited / dt))
    if len(steps) != 1 or not 0 <= steps[0] <= LONGEST_DELAY or not np.allclose(limited, steps[0] * dt, 1e-6, 0):
        found = f"{seconds.min():g} … {seconds.max():g} s" if len(seconds) else "empty"
        raise NetworkError(
            f"{delay.where}: delay is {found}, expected the same whole number of steps of {dt:g} s everywhere, "
            f"0 … {LONGEST_DELAY:,}"
        )
    return int(steps[0])


def _sign(nodes: Sequence[Named]) -> int | None:
    """1 or -1 of a Scale in front of other nodes; None if there is none."""
    if len(nodes) < 2 or nodes[0].kind != "Scale":
        return None
    scale = numbers(nodes[0].node.scale, "scale", nodes[0].where).ravel()
    return int(scale[0]) if scale.size and abs(scale[0]) == 1 and (scale == scale[0]).all() else None
