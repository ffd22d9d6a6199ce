"""A NIR graph: the ways that spikes take from one set of neurons to the next, and the numbers of
its nodes, checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError, Shape, checks, pair
from spikesam.backends.network.checks import array, one_or_pair
from spikesam.common.errors import at
from spikesam.conformance._graph import SPIKING, FlatGraph, kind_of
from spikesam.pipeline.imports.nir import KEY
from spikesam.pipeline.imports.road.operations import expect

MOST_NAMED = 8  # names of nodes in a message
POOLS = ("AvgPool2d", "SumPool2d")


class Named(NamedTuple):
    """A node with its name."""

    name: str
    node: Any

    @property
    def kind(self) -> str:
        """The type of the node."""
        return kind_of(self.node)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"node {self.name!r}"


@dataclass(frozen=True)
class NirGraph(FlatGraph):
    """A checked graph, and which of its nodes give spikes to others."""

    def named(self, name: str) -> Named:
        """A node with its name."""
        return Named(name, self.nodes[name])

    def fires(self, name: str) -> bool:
        """True if a node gives spikes to others: the input, and neurons that are not the OR of
        pooled spikes.
        """
        kind = kind_of(self.nodes[name])
        return name == self.first or (
            kind in SPIKING and not (kind == "Threshold" and self._is_or(name))
        )

    def _is_or(self, name: str) -> bool:
        """True if a Threshold is behind the pooling of spikes, and behind nothing else."""
        pools = self.leading_to(name)
        if len(pools) != 1 or kind_of(self.nodes[pools[0]]) not in POOLS:
            return False
        waiting, visited = self.leading_to(pools[0]), set()
        while waiting:
            source = waiting.pop()
            if kind_of(self.nodes[source]) == "Delay" and source not in visited:
                visited.add(source)
                waiting += self.leading_to(source)
            elif kind_of(self.nodes[source]) not in ("Input", "Delay", *SPIKING):
                return False
        return True


def opened_graph(graph: Any) -> NirGraph:
    """A `nir.NIRGraph` as one :class:`NirGraph`, all of whose nodes are between its input and its
    output.
    """
    nodes, edges = _opened(graph, "")
    leading_to: dict[str, list[str]] = {name: [] for name in nodes}
    following: dict[str, list[str]] = {name: [] for name in nodes}
    for edge, times in Counter(edges).items():
        with at(f"edge {edge}"):
            expect(times == 1, f"is there {times} times", "once")
        source, target = edge
        following[source].append(target)
        leading_to[target].append(source)
    with at("graph"):
        first, last = _end(nodes, leading_to, "Input"), _end(nodes, following, "Output")
        from_first, to_last = _reached(first, following), _reached(last, leading_to)
        names = [name for name in nodes if name not in from_first]
        expect(not names, f"no edges lead from the input {first!r} to {_listed(names)}", "one")
        names = [name for name in nodes if name not in to_last]
        expect(not names, f"no edges lead from {_listed(names)} to the output {last!r}", "one")
    return NirGraph(nodes, leading_to, first, last)


def _opened(graph: Any, prefix: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes by name and edges of a graph and those inside it, whose nodes are "outer.inner"."""
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    ends: dict[str, tuple[str, str]] = {}  # where an edge to and from a node of this graph ends
    for name, node in graph.nodes.items():
        path = f"{prefix}{name}"
        ends[name] = (path, path)
        if kind_of(node) != "NIRGraph":
            nodes[path] = node
            continue
        inner_graph, within = _opened(node, f"{path}.")
        nodes |= inner_graph
        edges += within
        with at(f"node {path!r}"):
            first, last = (_only(node, kind) for kind in ("Input", "Output"))
        ends[name] = (f"{path}.{first}", f"{path}.{last}")
    for source, target in graph.edges:
        for end in (source, target):
            if end not in ends:
                raise NetworkError(
                    f"edge ({source!r}, {target!r}): there is no node {end!r}, expected one of "
                    f"{_listed(graph.nodes)}"
                )
        edges.append((ends[source][1], ends[target][0]))
    return nodes, edges


def _only(graph: Any, kind: str) -> str:
    """The one node of a kind in a graph inside another."""
    names = [name for name, node in graph.nodes.items() if kind_of(node) == kind]
    expect(len(names) == 1, f"a graph with {len(names)} nodes {kind}", "one")
    return str(names[0])


def _end(nodes: dict[str, Any], neighbours: dict[str, list[str]], kind: str) -> str:
    """The one node of a kind that has no neighbours on one side."""
    names = [
        name for name, linked in neighbours.items() if not linked and kind_of(nodes[name]) == kind
    ]
    many = (
        f"{len(names)} nodes {kind} at an end ({_listed(names)})"
        if names
        else f"no node {kind} at an end"
    )
    expect(len(names) == 1, many, "one")
    return names[0]


def _reached(first: str, neighbours: dict[str, list[str]]) -> set[str]:
    """All names to which edges lead from one, itself too."""
    connected, waiting = {first}, [first]
    while waiting:
        new = [name for name in neighbours[waiting.pop()] if name not in connected]
        connected.update(new)
        waiting += new
    return connected


def arrows(names: Iterable[str]) -> str:
    """Names on a way, in order."""
    return " → ".join(map(repr, names))


def _listed(names: Any) -> str:
    names = [repr(name) for name in names]
    return ", ".join(names[:MOST_NAMED] + ["…"] * (len(names) > MOST_NAMED))


def numbers(value: Any, quantity: str) -> NDArray[np.float64]:
    """Finite numbers in double precision."""
    converted = array(value, np.float64, quantity)
    expect(converted.size, f"{quantity} has shape {converted.shape}", "numbers")
    return converted


def whole_attribute(value: Any, quantity: str, least: int) -> int:
    """An integer, in whatever type."""
    listed = np.asarray(value).ravel().tolist()
    return checks.whole(listed[0] if len(listed) == 1 else listed, quantity, least)


def sides(value: Any, quantity: str, least: int) -> tuple[int, int]:
    """(y, x) of one integer or two, in whatever type."""
    listed = np.asarray(value).ravel().tolist()
    return pair(one_or_pair(listed[0] if len(listed) == 1 else listed, quantity, least))


def shape_of(declared: Any) -> Shape:
    """(C, H, W) of what a node says, (C, H, W), (C, L) of rows, which are maps of height 1, or
    (N,).
    """
    shape = np.ravel(declared).tolist()
    valid = len(shape) in (1, 2, 3) and all(
        isinstance(length, int) and length > 0 for length in shape
    )
    expect(valid, f"shape is {tuple(shape)}", "(C, H, W), (C, L) or (N,)")
    channels, *sides = shape
    height, width = [1] * (2 - len(sides)) + sides
    return channels, height, width


def metadata(node: Any, known_keys: tuple[str, ...]) -> dict[str, Any]:
    """The metadata that :func:`spikesam.pipeline.imports.nir.write.to_nir` wrote, because NIR
    cannot say it.
    """
    node_metadata = node.metadata
    own_metadata = node_metadata.get(KEY, {}) if isinstance(node_metadata, dict) else node_metadata
    if not isinstance(own_metadata, dict) or own_metadata.keys() - set(known_keys):
        finding = (
            ", ".join(map(repr, own_metadata))
            if isinstance(own_metadata, dict)
            else type(own_metadata).__name__
        )
        raise NetworkError(
            f"metadata {KEY!r} hold {finding}, expected some of {', '.join(known_keys)}"
        )
    return own_metadata


def text(shape: tuple[int, ...]) -> str:
    """(16, 8, 8) -> "(16, 8, 8)", and (10, 1, 1) -> "(10,)", as NIR writes it."""
    return str(shape[:1] if shape[1:] == (1, 1) else shape)


def divided(weight: Any, gain: Any) -> Any:
    """Weights without a factor by channel; those of a factor 0 are lost."""
    factor = gain.reshape(-1, *(1,) * (weight.ndim - 1))
    return np.divide(weight, factor, out=np.zeros(weight.shape), where=factor != 0).astype(
        np.float32
    )
