"""The values between any foreign network and ours: neurons, paths that drive them, operations on
(C, H, W) maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

import numpy as np

from spikesam.backends.network import NetworkError, Neuron, Shape, Windows
from spikesam.backends.network.sources import later

INPUT = "input"
NOTHING = (
    ""  # zeros that do not come from the input: what any source has fired before its first step
)

Pair = tuple[int, int]  # (y, x)


def expect(true: Any, finding: str, expected: str) -> None:
    """Refuse a finding that is not what was expected; the caller says where, by :func:`at`."""
    if not true:
        raise NetworkError(f"{finding}, expected {expected}")


class _Compared:
    """Equal where all fields are, arrays and tensors by their numbers."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(
            map(_same, vars(self).values(), vars(other).values())
        )

    __hash__ = None  # type: ignore[assignment]


def _same(first: Any, second: Any) -> bool:
    if first is second or not (hasattr(first, "shape") and hasattr(second, "shape")):
        return first is second or (type(first) is type(second) and bool(first == second))
    equal = getattr(first, "equal", None)  # of a tensor, which may lie on another device
    return bool(equal(second) if equal else np.array_equal(first, second))


@dataclass(frozen=True, eq=False)
class Linear(_Compared):
    """(out, in) weights of all neurons, and (out,) biases; `flat` where a map in front is refused,
    as by NIR.
    """

    weight: Any
    bias: Any = None
    flat: bool = False


@dataclass(frozen=True, eq=False)
class Convolve(_Compared):
    """(out, in/groups, y, x) kernels, of 0 groups one for all, (out,) biases; padding (above,
    below), (left, right).
    """

    weight: Any
    bias: Any = None
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Pool:
    """The average, sum or maximum of windows, of spikes or, where `of_currents`, of currents and of
    an ANN's activations, whose maximum is never an OR; a pad is never the maximum.
    """

    kind: Literal["average", "sum", "max"]
    windows: Windows
    dilation: Pair = (1, 1)
    of_currents: bool = False


@dataclass(frozen=True, eq=False)
class Scale(_Compared):
    """A multiplication by one number, by (M,) for as many neighbours each, or by such of each step,
    (T, M); `flat` where it is of neurons without places.
    """

    numbers: Any
    flat: bool = False


@dataclass(frozen=True, eq=False)
class Shift(_Compared):
    """An addition of numbers, which are as those of a :class:`Scale`."""

    numbers: Any
    flat: bool = False


@dataclass(frozen=True)
class ByStep:
    """Scales and shifts that differ from step to step, t -> those of step t; elsewhere nothing
    passes.
    """

    at: dict[int, tuple[Operation, ...]]

    def later(self, steps: int, until: float) -> ByStep:
        """Those of so many steps ago, without those of steps from `until` on."""
        return ByStep(
            {
                step + steps: operations
                for step, operations in self.at.items()
                if step + steps < until
            }
        )


@dataclass(frozen=True)
class Silent:
    """Zeros at these steps, of whatever is in front, biases too; elsewhere all passes."""

    steps: frozenset[int]

    def later(self, steps: int, until: float) -> Silent:
        """Those of so many steps ago."""
        return Silent(frozenset(step + steps for step in self.steps if step + steps < until))


@dataclass(frozen=True)
class Pad:
    """A border of a map, (above, below), (left, right): zeros, or what its own places repeat."""

    padding: tuple[Pair, Pair]
    mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"


@dataclass(frozen=True)
class Take:
    """Some rows and columns of a map, each perhaps several times."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Order:
    """Neurons in another order than that of what gives them, or some of them."""

    neurons: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Mix(_Compared):
    """(out, in) weights between channels, equal at each of so many `places`; (out,) biases."""

    weight: Any
    places: int
    bias: Any = None


@dataclass(frozen=True)
class Total:
    """The average or sum of each channel over all of so many `places`."""

    kind: Literal["average", "sum"]
    places: int


@dataclass(frozen=True)
class Spread:
    """Channels, rows and columns of a map, each repeated so often beside itself."""

    factors: tuple[int, int, int]


@dataclass(frozen=True)
class Repeat:
    """Neurons of a smaller map, one for each of those that it is multiplied with; the last
    operation of such a path.
    """

    neurons: tuple[int, ...]


@dataclass(frozen=True)
class Flatten:
    """A map as neurons without places, whose axes from `first` to `last` are made one."""

    first: int = 0
    last: int = 2


@dataclass(frozen=True)
class DeclaredShape:
    """The shape that a file says of what is here, or of that many neurons where it is flat."""

    shape: Shape
    what: str = "shape"
    flat: bool = False


@dataclass(frozen=True)
class TimeSum:
    """The sum over all steps, of an answer."""


@dataclass(frozen=True)
class Integral:
    """The last membrane of v[t] = leak · v[t-1] + i[t], of an answer."""

    leak: float


@dataclass(frozen=True)
class Operation:
    """One operation on a path: the name of its place, for messages, and what it does."""

    label: str
    what: Any


@dataclass(frozen=True)
class Junction:
    """A place where paths meet: sums, channels one behind the other, or products; attention has the
    paths of q, k and v.
    """

    label: str  # for messages
    kind: Literal["sum", "concatenation", "gate", "attention"]
    branches: tuple[Path, ...]
    heads: int = 0  # of attention


@dataclass(frozen=True)
class Path:
    """The operations since neurons fired `lag` steps ago, since the :data:`INPUT`, or behind a
    junction.
    """

    source: str | Junction  # name of the unit, INPUT or NOTHING; or a junction
    operations: tuple[Operation, ...] = ()  # in order
    lag: int | tuple[int, ...] | None = 0
    sign: int = 1  # 1, or -1 where its spikes are subtracted

    def __add__(self, operation: Operation) -> Path:
        return replace(self, operations=(*self.operations, operation))

    @property
    def last(self) -> str:
        """The label of the place that it has reached, for messages."""
        if self.operations:
            return self.operations[-1].label
        if isinstance(self.source, Junction):
            return " and ".join(dict.fromkeys(branch.last for branch in self.source.branches))
        named = self.source if " " in self.source else f"module {self.source!r}"
        return {INPUT: "the input", NOTHING: "zeros"}.get(self.source, named)

    @property
    def leaves(self) -> Iterator[Path]:
        """The paths in front of all junctions."""
        if not isinstance(self.source, Junction):
            yield self
            return
        for branch in self.source.branches:
            yield from branch.leaves

    def later(self, steps: Any, until: float = inf) -> Path:
        """The path of what was there so many steps ago, of spikes as they are perhaps a number of
        each channel.

        It has no operations of steps from `until` on.
        """
        operations = tuple(
            replace(operation, what=operation.what.later(steps, until))
            if isinstance(operation.what, (ByStep, Silent))
            else operation
            for operation in self.operations
        )
        source, lag = self.source, self.lag
        if isinstance(source, Junction):
            source = replace(
                source, branches=tuple(branch.later(steps, until) for branch in source.branches)
            )
        else:
            lag = None if lag is None else later(lag, steps)
        return replace(self, source=source, operations=operations, lag=lag)

    def delayed(self, steps: int, label: str) -> Path:
        """The path behind a delay of some steps: zeros before, and no bias, see :meth:`later`."""
        path = self.later(steps)
        bare = isinstance(self.source, str) and not self.operations  # spikes, which come later
        return (
            path if bare or not steps else path + Operation(label, Silent(frozenset(range(steps))))
        )


@dataclass(frozen=True, eq=False)
class Unit:
    """Neurons, and what drives them; `name` is that of the foreign network."""

    name: str
    label: str  # for messages
    layer: str  # name of the layer that they become
    neuron: Neuron
    paths: tuple[
        Path, ...
    ]  # that drive them, whose currents are summed; in the order of the inputs
    shape: Shape | None = None  # (C, H, W), where it is known before the paths are folded
    late: int = 0  # steps by which what they give stands later than what they fire


@dataclass(frozen=True)
class Answer:
    """The answer behind the last units: counted, summed or integrated over the steps, times a
    number.
    """

    path: Path
    scale: float = 1.0
