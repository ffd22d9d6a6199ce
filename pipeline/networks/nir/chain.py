"""A NIR graph as the chain of nodes that it must be: from one input to one output, without branches."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from backends.network import NetworkError

MOST_NAMED = 8  # names of nodes in a message


class Named(NamedTuple):
    """A node with its name."""

    name: str
    node: Any

    @property
    def kind(self) -> str:
        """The type of the node."""
        return kind_of(self.node)

    @property
    def where(self) -> str:
        """The node in a message."""
        return f"node {self.name!r}"


def kind_of(node: Any) -> str:
    """The type of a node, by its NIR name."""
    return type(node).__name__


def chain(graph: Any) -> list[Named]:
    """The nodes of a `nir.NIRGraph` in the order that a spike takes, graphs inside it opened.

    The nodes Input and Output of inner graphs stay in the chain, where they do nothing.
    """
    nodes, edges = _opened(graph, "")
    before: dict[str, list[str]] = {name: [] for name in nodes}
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        after[source].append(target)
        before[target].append(source)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        cycle = " → ".join(map(repr, error.args[1]))
        raise NetworkError(
            f"nodes {cycle}: form a cycle, expected a chain of layers; recurrence is not supported"
        ) from None
    for neighbours, verb in ((before, "gets its input from"), (after, "leads to")):
        for name, others in neighbours.items():
            if len(others) > 1:
                raise NetworkError(
                    f"node {name!r}: {verb} {_listed(others)}, expected one node; branches and sums are not supported"
                )
    first = _end(nodes, before, "Input")
    _end(nodes, after, "Output")
    order = list(_followed(first, after))
    if apart := [name for name in nodes if name not in set(order)]:
        raise NetworkError(f"graph: no edges lead from the input {first!r} to {_listed(apart)}, expected one chain")
    return [Named(name, nodes[name]) for name in order]


def _opened(graph: Any, prefix: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes by name and edges of a graph and those inside it, whose nodes are called "outer.inner"."""
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    ends: dict[str, tuple[str, str]] = {}  # where an edge to and from a node of this graph ends
    for name, node in graph.nodes.items():
        path = f"{prefix}{name}"
        ends[name] = (path, path)
        if kind_of(node) != "NIRGraph":
            nodes[path] = node
            continue
        inner, within = _opened(node, f"{path}.")
        nodes |= inner
        edges += within
        ends[name] = tuple(_only(node, path, kind) for kind in ("Input", "Output"))  # type: ignore[assignment]
    for source, target in graph.edges:
        for end in (source, target):
            if end not in ends:
                raise NetworkError(
                    f"edge ({source!r}, {target!r}): there is no node {end!r}, expected one of {_listed(graph.nodes)}"
                )
        edges.append((ends[source][1], ends[target][0]))
    return nodes, edges


def _only(graph: Any, path: str, kind: str) -> str:
    """The only node of a kind in a graph inside another."""
    found = [name for name, node in graph.nodes.items() if kind_of(node) == kind]
    if len(found) != 1:
        raise NetworkError(f"node {path!r}: a graph with {len(found)} nodes {kind}, expected one")
    return f"{path}.{found[0]}"


def _end(nodes: dict[str, Any], neighbours: dict[str, list[str]], kind: str) -> str:
    """The one node of a kind that has no neighbours on one side."""
    found = [name for name, others in neighbours.items() if not others and kind_of(nodes[name]) == kind]
    if len(found) != 1:
        many = f"{len(found)} nodes {kind} at an end ({_listed(found)})" if found else f"no node {kind} at an end"
        raise NetworkError(f"graph: {many}, expected one")
    return found[0]


def _followed(first: str, after: dict[str, list[str]]) -> Iterator[str]:
    """Names from the first on, as edges lead."""
    name: str | None = first
    while name is not None:
        yield name
        name = next(iter(after[name]), None)


def _listed(names: Any) -> str:
    names = [repr(name) for name in names]
    return ", ".join(names[:MOST_NAMED] + ["…"] * (len(names) > MOST_NAMED))
