"""What flows through a model: which step, sample and neuron each number of a tensor belongs to, and what led to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

INPUT = "input"
RELAYED = "/max"  # behind the name of a module: neurons that pool its spikes
NOTHING = ""  # zeros that do not come from the example: what any source has fired before its first step


@dataclass(frozen=True)
class Scale:
    """A multiplication by a number."""

    factor: float


@dataclass(frozen=True)
class TimeSum:
    """A sum over all steps."""


@dataclass(frozen=True)
class Order:
    """A dense layer that sees neurons in another order than C-order (C, H, W), or some of them."""

    neurons: tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One operation on a path: where it is, for messages, and a module that does it."""

    where: str
    what: Any


@dataclass(frozen=True)
class Relay:
    """A maximum pooling of spikes that becomes neurons of its own."""

    pooling: nn.Module


@dataclass(frozen=True)
class Junction:
    """Where several paths meet: their sum, or their channels one behind the other."""

    where: str
    kind: Literal["sum", "concatenation"]
    branches: tuple[Path, ...]


@dataclass(frozen=True)
class Path:
    """What was done, in order, since the neurons of a module fired, since the :data:`INPUT`, or behind a junction.

    Parameters
    ----------
    source : name of the module, INPUT or NOTHING; or a junction
    operations : in order
    lag : how many steps ago the source fired; None of what is the same at every step, and of a junction
    """

    source: str | Junction
    operations: tuple[Operation, ...] = ()
    lag: int | None = 0

    def __add__(self, operation: Operation) -> Path:
        return replace(self, operations=(*self.operations, operation))

    @property
    def last(self) -> str:
        """Where it has come, for messages."""
        if self.operations:
            return self.operations[-1].where
        if isinstance(self.source, Junction):
            return " and ".join(dict.fromkeys(branch.last for branch in self.source.branches))
        return {INPUT: "the input", NOTHING: "zeros"}.get(self.source, f"module {self.source!r}")

    @property
    def leaves(self) -> Iterator[Path]:
        """The paths in front of all junctions."""
        if not isinstance(self.source, Junction):
            yield self
            return
        for branch in self.source.branches:
            yield from branch.leaves

    def later(self, steps: int) -> Path:
        """The path of what was there so many steps ago."""
        if isinstance(self.source, Junction):
            branches = tuple(branch.later(steps) for branch in self.source.branches)
            return replace(self, source=replace(self.source, branches=branches))
        return self if self.lag is None else replace(self, lag=self.lag + steps)


def agreed(one: Path, two: Path) -> Path | None:
    """One path for two calls, where zeros stand for whatever is at their place in the other; None if they differ."""
    for zeros, other in ((one, two), (two, one)):
        if zeros.source == NOTHING:
            count = len(zeros.operations)
            return other if other.operations[len(other.operations) - count :] == zeros.operations else None
    if not (isinstance(one.source, Junction) and isinstance(two.source, Junction)):
        return one if one == two else None
    first, second = one.source, two.source
    if (one.operations, first.kind, len(first.branches)) != (two.operations, second.kind, len(second.branches)):
        return None
    found = list(map(agreed, first.branches, second.branches))
    branches = tuple(branch for branch in found if branch is not None)
    return replace(one, source=replace(first, branches=branches)) if len(branches) == len(found) else None


def all_agreed(paths: Sequence[Path]) -> Path | None:
    """One path for several calls, at least one; see :func:`agreed`."""
    path: Path | None = paths[0]
    for each in paths[1:]:
        path = path and agreed(path, each)
    return path


@dataclass(frozen=True, eq=False)
class Stream:
    """A tensor that comes from the example.

    Parameters
    ----------
    where : int64, of the tensor's shape: (t·B + b)·size + n of each number, for step t, sample b and neuron n
    size : how many neurons n there are in a sample
    path : what led to it
    summed : the steps that were summed into it, where t = 0 stands for them
    """

    where: Tensor
    size: int
    path: Path
    summed: frozenset[int] = frozenset()

    @property
    def static(self) -> bool:
        """Whether it is the same at every step, and t = 0 stands for all."""
        return all(leaf.lag is None for leaf in self.path.leaves)

    def rearranged(self, where: Tensor) -> Stream:
        """These numbers at other places of a tensor."""
        return replace(self, where=where)

    def along(self, path: Path) -> Stream:
        """These numbers after another path."""
        return replace(self, path=path)

    def then(self, operation: Operation) -> Stream:
        """These neurons after an operation on each of them."""
        return self.along(self.path + operation)

    def steps(self, samples: int) -> Tensor:
        """t of each number."""
        return self.where // (samples * self.size)

    def within(self, samples: int) -> Tensor:
        """b·size + n of each number."""
        return self.where % (samples * self.size)


@dataclass(frozen=True)
class Lost:
    """A tensor that comes from the example in a way that is not known."""

    reason: str


Followed = Stream | Lost


class JumbledError(Exception):
    """An operation sees the numbers of a sample in an order it cannot have."""


def mapped(stream: Stream, axes: int, operation: Operation, size: int, shape: tuple[int, ...]) -> Stream:
    """The stream behind an operation on the map of each sample and step, the last `axes` axes of the tensor.

    Parameters
    ----------
    size : neurons of a sample behind it
    shape : of the tensor behind it

    Raises
    ------
    JumbledError : if the map of a sample is not the last axes in C-order; one axis may have any order
    """
    maps = stream.where.flatten(-axes) if axes > 1 else stream.where
    order, samples = maps % stream.size, maps // stream.size
    first = order.reshape(-1, order.shape[-1])[0]
    in_order = torch.equal(first, torch.arange(stream.size, device=first.device))
    if (order != first).any() or (samples != samples[..., :1]).any() or not (in_order or axes == 1):
        raise JumbledError
    path = stream.path if in_order else stream.path + Operation("a permutation", Order(tuple(first.tolist())))
    where = samples[..., :1] * size + torch.arange(size, device=first.device)
    return replace(stream, where=where.reshape(shape), size=size, path=path + operation)
