"""A graph of the layers, products and exchanges of axes that the tensors of a batch run through.

A graph in which nodes are next to each other where a tensor goes from one to the other by functions
that keep steps and samples where they are. So a product that is connected to a layer lays them out
as the layer does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from spikesam.pipeline.record._exchanges import UNKNOWN, Exchange, Sides

MOST_NODES = 8  # of one tensor; more meet in a node
Nodes = tuple["Node", ...]


class Node:
    """A place that tensors run through."""

    __slots__ = ("children", "exchange", "parents", "running")

    def __init__(
        self,
        parents: Nodes,
        exchange: Exchange | None = None,
        running: frozenset[str] = frozenset(),
    ) -> None:
        self.parents = parents
        self.children: list[Node] = []
        self.exchange, self.running = exchange, running  # of axes, in these modules
        for node in parents:
            node.children.append(self)


class Flow:
    """The graph of a batch, followed tensor by tensor."""

    def __init__(self) -> None:
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget all tensors."""
        self._nodes: Any = WeakTensorKeyDictionary()
        self.exchanges: list[Node] = []
        self.entered: list[tuple[str, Node]] = []  # modules, and what they take
        self.left: list[tuple[str, Node]] = []  # modules, and what they give

    def enter(self, module: str, tensors: Iterable[Tensor]) -> None:
        """Tensors arrive at a module."""
        for tensor in tensors:
            self.entered.append((module, Node(self._of([tensor]))))

    def leave(self, module: str, tensors: Iterable[Tensor]) -> None:
        """A module gives tensors."""
        for tensor in tensors:
            node = Node(self._of([tensor]))
            self.left.append((module, node))
            self._nodes[tensor] = (node,)

    def begin(self, tensors: Iterable[Tensor]) -> None:
        """Tensors come from outside."""
        for tensor in tensors:
            self._nodes[tensor] = (Node(()),)

    def product(self, given: Iterable[Tensor]) -> Node:
        """The place of a product of tensors."""
        return Node(self._of(given))

    def follow(
        self,
        given: Iterable[Tensor],
        results: Iterable[Tensor],
        product: Node | None,
        exchange: Exchange | None,
        running: frozenset[str],
    ) -> None:
        """Tensors become others by a function, a product or not, with an exchange of axes or
        without one, in modules that run.
        """
        nodes = self._of(given) if product is None else (product,)
        if exchange is not None:
            nodes = (Node(nodes, exchange, running),)
            self.exchanges += nodes
        if nodes:
            for tensor in results:
                self._nodes[tensor] = nodes

    def write(self, part: Tensor) -> None:
        """A part of a tensor changes: nobody follows the axes of the whole."""
        if part._base is not None and part._base in self._nodes:
            self._nodes[part._base] = (Node((), UNKNOWN),)

    def _of(self, tensors: Iterable[Tensor]) -> Nodes:
        nodes: dict[Node, None] = {}
        for tensor in tensors:
            nodes |= dict.fromkeys(self._nodes.get(tensor, ()))
        return tuple(nodes) if len(nodes) <= MOST_NODES else (Node(tuple(nodes)),)

    def doubtful(
        self, sides: Sides, layers: Collection[str], neurons: Collection[str]
    ) -> Callable[[Node], bool]:
        """True of the products that may lay out steps and samples otherwise than the layers.

        `neurons` are layers that take axes as they give them, whatever they do in between.
        """
        misleading = {node for node in self.exchanges if _misleads(node, sides)}
        inside = frozenset[str]().union(*(node.running for node in misleading)) - {*neurons}
        if not any(node.running.isdisjoint(neurons) for node in misleading):
            return lambda node: False
        starts = [node for module, node in self.left if module in layers]
        starts += [node for module, node in self.entered if module in {*layers} - inside]
        reached = {*starts} - misleading
        waiting = [*reached]
        while waiting:
            here = waiting.pop()
            for node in (*here.parents, *here.children):
                if node not in reached and not _misleads(node, sides):
                    reached.add(node)
                    waiting.append(node)
        return lambda node: node not in reached

    def behind(self, module: str, ends: Collection[Node]) -> set[Node]:
        """The nearest of some nodes that what a module gave runs to."""
        waiting = [node for name, node in self.left if name == module]
        reached = {*waiting}
        while waiting:
            node = waiting.pop()
            if node not in ends:
                further = {*node.children} - reached
                reached |= further
                waiting += further
        return reached.intersection(ends)


def _misleads(node: Node, sides: Sides) -> bool:
    return node.exchange is not None and node.exchange.misleads(sides)
