"""Synapse: what all kinds of synapses have. The equations of sums stand in inputs.py, the kinds
beside.

A new kind is a class in a module beside, and in the table of `__init__.py`. What a backend does not
know it refuses, or computes with :meth:`Synapse.currents`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.checks import NetworkError, Sides, pair
from spikesam.backends.network.sources import Source
from spikesam.backends.network.windows import NO_POOLING, Windows
from spikesam.common.text import LONGEST_NAME, brief, printable

if TYPE_CHECKING:
    from spikesam.backends.network.inputs import Input

Shape = tuple[int, int, int]
Floats = NDArray[np.float64]
Pooling = Literal["average", "sum", "max"]
Kind = TypeVar("Kind", bound="Synapse")

CURRENT_LIMIT = 1 << 23  # Lava's Conv wraps at 24 bits, so no sum of weights may reach this
WHOLE = (1, 1, 1)  # a spread that repeats nothing
# What the node of every kind says, of kinds that have none of it, too; the rest of a node's
# geometry stands there only where it is not the default.
GEOMETRY: dict[str, Any] = {
    "pool": 1,
    "stride": 1,
    "padding": 0,
    "current_pool": 1,
    "pooling": "average",
}


class Synapse(ABC):
    """The synapses of an input: they make currents of the spikes that arrive.

    The geometry that a kind does not have is neutral here: nothing is repeated, pooled or summed.
    A method that is given an :class:`Input` is asked for its synapse in that input. A layer checks
    its kinds when it is made, as its neurons, so that errors name the layer.
    """

    kind: ClassVar[str]  # its name in a graph
    meets: ClassVar[str] = "adds"  # what it does with its sources, as a verb
    tensor_names: ClassVar[tuple[str, ...]] = ()  # of its weights, which stand in no node

    __repr__ = brief

    @property
    def spread(self) -> Shape:
        """Factors by which each channel, row and column of the sources is repeated,
        beside itself.
        """
        return WHOLE

    @property
    def rows(self) -> tuple[int, ...]:
        """The sources' rows that those of x are, -1 for zeros; () for all in order."""
        return ()

    @property
    def columns(self) -> tuple[int, ...]:
        """The sources' columns that those of x are, -1 for zeros; () for all in order."""
        return ()

    @property
    def pool(self) -> Sides:
        """Sides of the pooling in front."""
        return 1

    @property
    def pooling(self) -> Pooling:
        """The kind of that pooling."""
        return "average"

    @property
    def stride(self) -> Sides:
        """Places between two windows of the kernel."""
        return 1

    @property
    def padding(self) -> Sides:
        """Rows and columns of zeros around the map."""
        return 0

    @property
    def windows(self) -> Windows:
        """Those of a maximum pooling of the currents."""
        return NO_POOLING

    @property
    def current_sum(self) -> bool:
        """True if the currents of all places are summed to one for each channel."""
        return False

    @property
    def reads_numbers(self) -> bool:
        """True if it can read an image's numbers in place of spikes."""
        return False

    @property
    def copies(self) -> bool:
        """True if x is not the sources as they are, but copies of some of their places."""
        return self.spread != WHOLE or bool(self.rows or self.columns)

    @property
    def summed(self) -> int:
        """The number of neurons that pooling sums into one value; 1 with maximum pooling."""
        return 1 if self.pooling == "max" else prod(pair(self.pool))

    @property
    def averaged(self) -> int:
        """The number of neurons that pooling averages: what sums of them are divided by."""
        return self.summed if self.pooling == "average" else 1

    @property
    def channels(self) -> int:
        """The channels of the currents, where weights say so; 0 where the sources do."""
        return 0

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """Its weights by name, if it has any."""
        return {}

    def weighed(self: Kind, _weights: Callable[[NDArray[Any]], Any]) -> Kind:
        """The synapse with weights that a function makes of its own; itself where it has none."""
        return self

    def checked(self: Kind, dtype: Any) -> Kind:
        """A checked copy, whose weights are float32, or int8 in fixed point.

        Parameters
        ----------
        dtype : of the weights: np.float32 or np.int8
        """
        changes = self.checked_fields(dtype)
        return replace(self, **changes)  # type: ignore[type-var]  # a kind is a dataclass

    @abstractmethod
    def checked_fields(self, dtype: Any) -> dict[str, Any]:
        """Its fields as :meth:`checked` has them, by name; refuses what they cannot be."""

    def check_sources(self, sources: Sequence[Source]) -> None:  # noqa: B027  (most take any)
        """Refuse sources that it cannot have."""

    def summands(self, of_sources: Sequence[Any]) -> list[list[Any]]:
        """The values of each source, by the sum that they go into."""
        return [list(of_sources)] if of_sources else []

    def source_shapes(self, layer_input: Input, first: Shape) -> list[Shape]:
        """(C, H, W) that each source is expected to have, as that of the first one says."""
        return [first] * len(layer_input.sources)

    def expected_shapes(self, layer_input: Input, place: int) -> str:
        """The words of a message for the shape that the source at a place is expected to have."""
        return "equal shapes"

    def arriving(self, layer_input: Input, shape: Shape, source_name: str) -> Shape:
        """See :meth:`Input.arriving`."""
        return self.arranged_shape(shape, source_name)

    def arranged_shape(self, shape: Shape, source_name: str) -> Shape:
        """(C, H, W) of what :meth:`arranged` makes of maps of (C, H, W)."""
        channels, height, width = (
            side * times for side, times in zip(shape, self.spread, strict=True)
        )
        for name, side in (("rows", height), ("columns", width)):
            last = max(getattr(self, name), default=0)
            if last >= side:
                raise NetworkError(
                    f"{name} name {last}, expected -1 … {side - 1}, of the {side} {name} of "
                    f"{source_name}"
                )
        return channels, len(self.rows) or height, len(self.columns) or width

    @abstractmethod
    def unpooled_shape(self, layer_input: Input, arriving_shape: Shape, source_name: str) -> Shape:
        """(C', OH, OW) of the currents in front of their pooling, where x has the arriving shape,
        (C, H, W).
        """

    @property
    def largest_sum(self) -> float:
        """The most that the magnitudes of one neuron's weights sum to, times :attr:`summed`."""
        return 1.0

    @property
    def rough_sum(self) -> float:
        """At least :attr:`largest_sum` of average pooling, found in less time."""
        return 1.0

    @property
    def largest_current(self) -> int:
        """The largest magnitude of a that a neuron can reach in fixed point, of one source."""
        return 1

    def most(self, layer_input: Input, shape: Shape, largest: Any) -> Any:
        """At least the largest magnitude of a, were all sources of (C, H, W) = `shape` to spike.

        Parameters
        ----------
        layer_input : the input
        shape : (C, H, W) of its sources
        largest : the same of one source and one place: a sum of weights
        """
        places = prod(layer_input.unpooled_shape(shape)[1:]) if self.current_sum else 1
        return places * max(1, len(layer_input.sources)) * largest

    @abstractmethod
    def currents(self, layer_input: Input, x: NDArray[Any]) -> Floats:
        """W ⊛ pool(x) of spikes or numbers, (C, H, W) -> (C', H', W'); average pooling sums
        here.
        """

    def currents_of_steps(self, layer_input: Input, maps: NDArray[Any]) -> NDArray[np.float32]:
        """:meth:`currents` of many x, (S, C, H, W) -> (S, C', H', W')."""
        return np.array([self.currents(layer_input, x) for x in maps], np.float32)

    @abstractmethod
    def reach(self, layer_input: Input, place: Shape, shape: Shape) -> list[NDArray[np.bool_]]:
        """The neurons of each source, (C, H, W) = `shape`, that can reach the neuron at a place."""

    def arranged(self, maps: NDArray[Any], axes: tuple[int, int, int] = (-3, -2, -1)) -> Any:
        """x of what the sources fire: their maps, whose channels, rows and columns are some
        `axes`.
        """
        maps = repeated(maps, self.spread, axes)
        for axis, numbers in zip(axes[1:], (self.rows, self.columns), strict=True):
            if numbers:
                maps = maps.take(numbers, axis)  # -1 takes the last
                maps.swapaxes(0, axis)[np.less(numbers, 0)] = 0
        return maps

    def gathered(self, values: NDArray[Any], shape: Sequence[int]) -> Floats:
        """The transpose of :meth:`arranged`: what all copies of (…, C, H, W) = `shape` get,
        summed.
        """
        sums = values.astype(np.float64)
        for axis, numbers in ((-2, self.rows), (-1, self.columns)):
            if numbers:
                sides = list(sums.shape)
                sides[axis] = shape[axis] * self.spread[axis]
                back = np.zeros(sides)
                inside = np.flatnonzero(np.greater_equal(numbers, 0))
                moved = sums.swapaxes(0, axis)[inside]
                np.add.at(back.swapaxes(0, axis), np.array(numbers)[inside], moved)
                sums = back
        apart = [side for sides in zip(shape[-3:], self.spread, strict=True) for side in sides]
        return sums.reshape(*sums.shape[:-3], *apart).sum(axis=(-5, -3, -1))

    def pooled(self, values: NDArray[Any]) -> Floats:
        """The sum of each window of maps, or its maximum: (…, H, W) -> (…, H / y, W / x)."""
        (*maps, height, width), (y, x) = values.shape, pair(self.pool)
        windows = values.reshape(*maps, height // y, y, width // x, x).astype(np.float64)
        largest = self.pooling == "max"
        pooled: Floats = windows.max(axis=(-3, -1)) if largest else windows.sum(axis=(-3, -1))
        return pooled

    @property
    def beyond_sums(self) -> str:
        """The operation that is more than to weigh and to add spikes, as a verb and its object; or
        none.
        """
        if self.spread != WHOLE:
            return "repeats spikes"
        if self.copies:
            return "takes rows and columns in another order"
        return "sums the currents of a map" if self.current_sum else ""

    @property
    def node(self) -> dict[str, Any]:
        """The kind and its geometry as JSON."""
        shape = [side for weight in self.tensors.values() for side in weight.shape]
        return {"kind": self.kind, "shape": shape, **GEOMETRY, **self.geometry}

    @property
    def geometry(self) -> dict[str, Any]:
        """The geometry that is not the default, as JSON has it, which knows no tuples."""
        values = {}
        for field in fields(self):  # type: ignore[arg-type]  # a kind is a dataclass
            value = getattr(self, field.name)
            if field.name not in self.tensor_names and value != field.default:
                values[field.name] = list(value) if isinstance(value, tuple) else value
        return values

    @classmethod
    def of_node(cls: type[Kind], node: Mapping[str, Any], tensors: Mapping[str, Any]) -> Kind:
        """Undo :attr:`node`, of the tensors of the input by name."""
        own_fields = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
        missing = GEOMETRY.keys() - node.keys()
        if missing:
            raise KeyError(min(missing))
        for name, value in GEOMETRY.items():
            if name not in own_fields and node[name] != value:
                raise NetworkError(
                    f"{name} is {printable(repr(node[name]), LONGEST_NAME)} of the kind "
                    f"{cls.kind!r}, expected {value!r}"
                )
        arguments = {
            name: tensors[name] if name in cls.tensor_names else node[name]
            for name, field in own_fields.items()
            if name in cls.tensor_names or name in node or field.default is MISSING
        }
        constructor: Any = cls
        synapse: Kind = constructor(**arguments)
        return synapse


def repeated(
    maps: NDArray[Any], factors: Shape, axes: tuple[int, int, int] = (-3, -2, -1)
) -> NDArray[Any]:
    """Channels, rows and columns of maps, which are some `axes`, each repeated beside itself."""
    for axis, times in zip(axes, factors, strict=True):
        maps = maps if times == 1 else maps.repeat(times, axis)
    return maps
