"""What flows through a model: which step, sample and neuron each number of a tensor belongs to, and what led to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

INPUT = "input"


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
class Path:
    """What was done, in order, since the neurons of a module fired, or to the :data:`INPUT`."""

    source: str
    operations: tuple[Operation, ...] = ()

    def __add__(self, operation: Operation) -> Path:
        return replace(self, operations=(*self.operations, operation))

    @property
    def last(self) -> str:
        """Where it has come, for messages."""
        if self.operations:
            return self.operations[-1].where
        return "the input" if self.source == INPUT else f"module {self.source!r}"


@dataclass(frozen=True, eq=False)
class Stream:
    """A tensor that comes from the example.

    Parameters
    ----------
    where : int64, of the tensor's shape: (t·B + b)·size + n of each number, for step t, sample b and neuron n
    size : how many neurons n there are in a sample
    path : what led to it
    static : whether it is given at every step, and t = 0 stands for all
    summed : the steps that were summed into it, where t = 0 stands for them
    """

    where: Tensor
    size: int
    path: Path
    static: bool = False
    summed: frozenset[int] = frozenset()

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
