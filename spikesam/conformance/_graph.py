"""A NIR graph without graphs inside it: nodes by name, and what leads to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
LEAKY = ("I", "LI", "CubaLI")  # neurons that do not spike


def kind_of(node: Any) -> str:
    """The type of a node, by its NIR name."""
    return type(node).__name__


def two(value: Any) -> tuple[int, int]:
    """(y, x) of one integer or two, in whatever type."""
    y, x = np.broadcast_to(np.ravel(value), 2).tolist()
    return int(y), int(x)


@dataclass(frozen=True)
class FlatGraph:
    """Nodes by name, graphs inside opened, and the nodes that lead to each.

    The Inputs and Outputs of graphs inside are passed by.
    """

    nodes: dict[str, Any]
    sources: dict[str, list[str]]
    first: str
    last: str

    def leading_to(self, name: str) -> list[str]:
        """The nodes whose output comes to a node, in the order of the edges; Input and Output
        inside are passed by.
        """
        leading, waiting, visited = [], list(reversed(self.sources[name])), {name}
        while waiting:
            source = waiting.pop()
            if source == self.first or kind_of(self.nodes[source]) not in ("Input", "Output"):
                leading.append(source)
            elif source not in visited:
                visited.add(source)
                waiting += reversed(self.sources[source])
        return leading


def flat(graph: Any) -> FlatGraph:
    """A correct `nir.NIRGraph` with one Input and one Output; nodes inside are "graph.node"."""
    nodes = dict(_nodes(graph, ""))
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in _edges(graph, ""):
        sources[target].append(source)
    led_from = {name for names in sources.values() for name in names}
    (first,) = (n for n in nodes if kind_of(nodes[n]) == "Input" and not sources[n])
    (last,) = (n for n in nodes if kind_of(nodes[n]) == "Output" and n not in led_from)
    return FlatGraph(nodes, sources, first, last)


def _nodes(graph: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, node in graph.nodes.items():
        if kind_of(node) == "NIRGraph":
            yield from _nodes(node, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", node


def _edges(graph: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for name, node in graph.nodes.items():
        if kind_of(node) == "NIRGraph":
            yield from _edges(node, f"{prefix}{name}.")
    for source, target in graph.edges:
        yield _end(graph, prefix, source, "Output"), _end(graph, prefix, target, "Input")


def _end(graph: Any, prefix: str, name: str, kind: str) -> str:
    """The node at which an edge ends: of a graph inside, its Input or Output."""
    node, path = graph.nodes[name], f"{prefix}{name}"
    if kind_of(node) != "NIRGraph":
        return path
    (inside,) = (key for key, value in node.nodes.items() if kind_of(value) == kind)
    return f"{path}.{inside}"
