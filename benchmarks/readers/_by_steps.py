"""Neurons of a library that reads no NIR, with the constants of a graph's nodes, between sums of
weights.
"""

from __future__ import annotations

from collections.abc import Callable
from graphlib import TopologicalSorter
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.simulators import repair_lava

SPIKING = ("IF", "LIF", "CubaLIF")
Step = Callable[[Any], Any]  # what comes to a node at a step -> what it gives


def by_steps(
    graph: Any, spikes: NDArray[np.float32], neurons: Callable[[Any, float], Step]
) -> NDArray[Any]:
    """What comes out of a graph, (T, …), whose neurons a function makes of a node and dt."""
    repair_lava()
    dt = graph.metadata["dt"]
    parts: dict[str, Step] = {}
    for name, node in graph.nodes.items():
        kind = type(node).__name__
        parts[name] = neurons(node, dt) if kind in SPIKING else sums(node)
    ends = {
        type(node).__name__: name
        for name, node in graph.nodes.items()
        if type(node).__name__ in ("Input", "Output")
    }
    sources = {name: [first for first, last in graph.edges if last == name] for name in parts}
    # of this step, or the last one where spikes lead back
    values: dict[str, Any] = {
        name: np.zeros(np.shape(getattr(node, "v_threshold", 0.0)))
        for name, node in graph.nodes.items()
    }
    outputs = []
    order = in_order(graph)
    for step in spikes.astype(np.float64):
        for name in order:
            beginning = step if name == ends["Input"] else 0.0
            values[name] = parts[name](sum((values[other] for other in sources[name]), beginning))
        outputs.append(values[ends["Output"]])
    return np.array(outputs)


def in_order(graph: Any) -> list[str]:
    """Nodes such that edges lead forward, but those out of neurons that lead back to them."""
    followers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for first, last in graph.edges:
        followers[first].append(last)

    def reaches(start: str, end: str) -> bool:
        known, waiting = {start}, [start]
        while waiting:
            for name in followers[waiting.pop()]:
                if name not in known:
                    known.add(name)
                    waiting.append(name)
        return end in known

    sorter = TopologicalSorter[str](dict.fromkeys(graph.nodes, ()))
    for first, last in graph.edges:
        if type(graph.nodes[first]).__name__ in SPIKING and reaches(last, first):
            continue
        sorter.add(last, first)
    return [*sorter.static_order()]


def sums(node: Any) -> Step:
    """What a node without neurons makes of what comes to it."""
    kind = type(node).__name__
    if kind in ("Input", "Output"):
        return lambda x: x
    if kind in ("Affine", "Linear"):
        return lambda x: node.weight @ x + getattr(node, "bias", 0.0)
    if kind == "Scale":
        return lambda x: x * node.scale
    if kind == "Flatten":
        return np.ravel  # all graphs of the suite flatten a whole map
    if kind == "Conv2d":
        return lava_conv(node)
    if kind == "Conv1d":
        reach = node.dilation * (node.weight.shape[2] - 1)
        borders = {"same": reach // 2, "valid": 0}
        of_maps = lava_conv(
            SimpleNamespace(
                weight=node.weight[:, :, None],
                groups=node.groups,
                bias=node.bias,
                stride=(1, node.stride),
                padding=(0, borders.get(node.padding, node.padding)),
                dilation=(1, node.dilation),
            )
        )
        return lambda x: of_maps(x[:, None])[:, 0]
    raise NotImplementedError(f"no process for a {kind}")


def lava_conv(node: Any) -> Step:
    """The sum that Lava's Conv makes, whose kernels are flipped, with channels last."""
    from lava.proc.conv.utils import conv

    flipped = np.flip(node.weight, (2, 3)).transpose(0, 3, 2, 1)
    weight = np.ascontiguousarray(flipped).astype(np.float64)
    kernel = weight.shape[1:3]
    reach = np.multiply(node.dilation, np.subtract(kernel[::-1], 1))
    padding = node.padding
    if isinstance(padding, str):
        padding = reach // 2 if padding == "same" else 0
    sides = [
        tuple(np.broadcast_to(side, 2)[::-1].tolist())
        for side in (node.stride, padding, node.dilation)
    ]
    groups = int(np.ravel(node.groups)[0])

    def send(x: Any) -> Any:
        maps = conv(x.transpose(2, 1, 0), weight, kernel, *sides, groups)
        return maps.transpose(2, 1, 0) + node.bias[:, None, None]

    return send


def constants(node: Any, dt: float) -> tuple[Any, Any, Any, Any, Any]:
    """Of one step of Euler: what weights are multiplied by, decays of current and membrane, bias
    and threshold.
    """
    kind = type(node).__name__
    if np.any(getattr(node, "v_reset", 0)):
        raise NotImplementedError(
            f"membranes are reset to 0, v_reset is {np.ravel(node.v_reset)[0]:g}"
        )
    if kind == "IF":
        return node.r * dt, 1.0, 0.0, 0.0, node.v_threshold
    decay = dt / (node.tau_mem if kind == "CubaLIF" else node.tau)
    synaptic = dt / node.tau_syn if kind == "CubaLIF" else 1.0
    gain = node.r * decay * (node.w_in * synaptic if kind == "CubaLIF" else 1.0)
    return gain, synaptic, decay, node.v_leak * decay, node.v_threshold
