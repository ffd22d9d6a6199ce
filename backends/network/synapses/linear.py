"""Synapses at which every spike causes a current of its own: the identity, and weights.

x[t] = the sources' spikes, spread, of which rows and columns may be taken in any order
a[t] = x[t], or W ⊛ pool(x[t]), a matrix product or a correlation (torch's conv2d)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spikesam.backends.network.checks import (
    NetworkError,
    Sides,
    array,
    chosen,
    one_or_pair,
    pair,
    plain_list,
    whole,
    yes_or_no,
)
from spikesam.backends.network.synapses.synapse import (
    WHOLE,
    Floats,
    Pooling,
    Shape,
    Synapse,
)
from spikesam.backends.network.windows import NO_POOLING, Windows
from spikesam.common.arguments import unreadable
from spikesam.common.text import LONGEST_NAME, printable

if TYPE_CHECKING:
    from spikesam.backends.network.inputs import Input

WEIGHT_LIMIT = 127  # the largest magnitude of an int8 weight: Lava's Dense clips -128
MOST_PLACES = 1 << 16  # rows or columns that synapses take
# Products that BLAS leaves to one thread: several wait for each other where all cores simulate.
ALONE = 1 << 18
MOST_PATCHES = 1 << 21  # numbers of all patches that are multiplied at once: 16 MB

Kind = TypeVar("Kind", bound="Weighted")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LinearSynapse(Synapse):
    """Synapses that may read copies of what fires.

    Parameters
    ----------
    spread : how often each channel, row and column of the sources is repeated, beside itself,
        before anything else: (1, y, x) is upsampling, (d, 1, 1) gives all d channels of a head the
        spike of the head
    rows, columns : of the sources, once they are spread, which of them the rows and columns of x
        are: numbers from 0, -1 for zeros, as in (1, 0, 1, 2, 1) of a border that reflects three; ()
        for all in order
    """

    spread: Shape = WHOLE
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def checked_fields(self, dtype: Any) -> dict[str, Any]:
        """See :meth:`Synapse.checked_fields`."""
        if not isinstance(self.spread, (tuple, list)) or len(self.spread) != 3:
            raise NetworkError(f"spread is {self.spread!r}, expected (channels, rows, columns)")
        return {
            "spread": tuple(whole(times, "a factor of spread", 1) for times in self.spread),
            "rows": _places(self.rows, "rows"),
            "columns": _places(self.columns, "columns"),
        }

    @abstractmethod
    def correlated(self, weight: NDArray[Any], maps: Floats) -> Floats:
        """Any weights of the synapse's shape ⊛ pooled maps: (…, C, H, W) -> (…, C', OH, OW)."""

    @abstractmethod
    def transposed(self, weight: NDArray[Any], values: Floats, shape: Sequence[int]) -> Floats:
        """The transpose of :meth:`correlated`: (…, C', OH, OW) -> (…, C, H, W), the last three of
        `shape`.
        """

    @property
    @abstractmethod
    def averaged_weight(self) -> NDArray[Any]:
        """The weights of the sum-pooled map: average pooling averages in float32, and sums in fixed
        point.
        """


@dataclass(frozen=True, eq=False, repr=False)
class Identity(LinearSynapse):
    """The spikes themselves as currents: shortcuts, gates, parts of a concatenation.

    a[t] = x[t]
    """

    kind = "identity"

    @property
    def averaged_weight(self) -> NDArray[Any]:
        """1, the weight of every spike."""
        return np.ones(1)

    def unpooled_shape(self, layer_input: Input, arriving_shape: Shape, source_name: str) -> Shape:
        """That of x."""
        return arriving_shape

    def currents(self, layer_input: Input, x: NDArray[Any]) -> Floats:
        """x."""
        return x.astype(np.float64)

    def correlated(self, weight: NDArray[Any], maps: Floats) -> Floats:
        """W · x."""
        return weight * maps

    def transposed(self, weight: NDArray[Any], values: Floats, shape: Sequence[int]) -> Floats:
        """W · a."""
        return weight * values

    def reach(self, layer_input: Input, place: Shape, shape: Shape) -> list[NDArray[np.bool_]]:
        """See :meth:`Synapse.reach`."""
        mask = np.zeros(layer_input.arriving(shape), np.bool_)
        mask[place] = True
        return [self.gathered(mask, shape) > 0] * len(layer_input.sources)


@dataclass(frozen=True, eq=False, repr=False)
class Weighted(LinearSynapse):
    """Weights behind a pooling; see :class:`Conv` and :class:`Dense`."""

    weight: Any
    pool: Sides = 1
    pooling: Pooling = "average"

    tensor_names = ("weight",)

    axes: ClassVar[int]  # of its weights

    def checked_fields(self, dtype: Any) -> dict[str, Any]:
        """See :meth:`Synapse.checked_fields`."""
        weight = array(self.weight, dtype, "weight")
        if weight.ndim != self.axes or 0 in weight.shape:
            raise NetworkError(
                f"weight has shape {weight.shape}, expected (out, in, y, x) of Conv or "
                "(out, in) of Dense"
            )
        check_weight(weight)
        chosen(self.pooling, get_args(Pooling), "pooling")
        pool = one_or_pair(self.pool, "pool", 1)
        return {**super().checked_fields(dtype), "weight": weight, "pool": pool}

    @property
    def reads_numbers(self) -> bool:
        """True unless it repeats what it reads, or sums currents."""
        return self.spread == WHOLE and not self.current_sum

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """Its weights."""
        return {"weight": self.weight}

    def weighed(self: Kind, weights: Callable[[NDArray[Any]], Any]) -> Kind:
        """The synapse with weights that a function makes of its own."""
        weight = weights(self.weight)
        return self if weight is self.weight else replace(self, weight=weight)

    @property
    def channels(self) -> int:
        """The outputs of the weights."""
        return len(self.weight)

    def check_sources(self, sources: Sequence[Any]) -> None:
        """Refuse sums of sources in front of a maximum pooling."""
        one_added_source = len(sources) <= 1 and not any(source.sign < 0 for source in sources)
        if self.pooling == "max" and not one_added_source:
            raise NetworkError(
                "pooling is 'max', which is of spikes, expected one source, of sign 1"
            )

    @property
    def averaged_weight(self) -> NDArray[Any]:
        """See :attr:`Linear.averaged_weight`."""
        averages = self.weight.dtype != np.int8
        return self.weight / np.float32(self.averaged) if averages else self.weight

    @property
    def largest_sum(self) -> float:
        """See :attr:`Synapse.largest_sum`."""
        magnitudes = np.abs(self.averaged_weight.astype(np.float64))
        return self.summed * float(magnitudes.reshape(len(self.weight), -1).sum(axis=1).max())

    @property
    def rough_sum(self) -> float:
        """See :attr:`Synapse.rough_sum`."""
        return largest_row(self.weight)

    @cached_property
    def largest_current(self) -> int:
        """max Σ|W| times :attr:`summed`."""
        magnitudes = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1)
        return int(magnitudes.sum(axis=1).max()) * self.summed

    def pooled_shape(self, arriving_shape: Shape) -> Shape:
        """(C, H / y, W / x) of a map (C, H, W); refuses a pooling that does not divide it."""
        (channels, height, width), (y, x) = arriving_shape, pair(self.pool)
        if height % y or width % x:
            raise NetworkError(
                f"pooling {self.pool} does not divide its {height}×{width} input; "
                f"choose a size whose sides are multiples of {self.pool} there"
            )
        return channels, height // y, width // x

    @abstractmethod
    def kernel(self, weight: NDArray[Any], pooled: Shape) -> NDArray[Any]:
        """Weights of its shape as those of a convolution, (out, in, y, x), of a pooled map."""

    def currents(self, layer_input: Input, x: NDArray[Any]) -> Floats:
        """See :meth:`Synapse.currents`."""
        currents = self.correlated(self.weight, self.pooled(x))
        if self.windows != NO_POOLING:
            currents = self.windows.cells(currents).max(axis=-1)
        return currents.sum(axis=(1, 2), keepdims=True) if self.current_sum else currents

    def correlated(self, weight: NDArray[Any], maps: Floats) -> Floats:
        """See :meth:`Linear.correlated`."""
        *several, channels, height, width = maps.shape
        kernel = self.kernel(weight, (channels, height, width))
        (top, left), (down, right) = pair(self.padding), pair(self.stride)
        border = *[(0, 0)] * (maps.ndim - 2), (top, top), (left, left)
        padded = np.pad(maps, border) if top or left else maps
        padded = padded.reshape(-1, *padded.shape[-3:])
        patches = sliding_window_view(padded, kernel.shape[1:], axis=(1, 2, 3))
        patches = patches[:, 0, ::down, ::right]
        rows, columns = patches.shape[1:3]
        matrix = kernel.reshape(len(kernel), -1).astype(np.float64, copy=False)
        at_once = max(1, MOST_PATCHES // (rows * columns * matrix.shape[1]))
        currents = np.empty((len(padded), len(kernel), rows, columns))
        for first in range(0, len(padded), at_once):
            places = patches[first : first + at_once].reshape(-1, matrix.shape[1])
            chunk = ALONE // matrix.size if 64 * matrix.size < ALONE else len(places)
            parts = [matrix @ part.T for part in np.split(places, range(chunk, len(places), chunk))]
            products = np.concatenate(parts, axis=1).reshape(len(kernel), -1, rows, columns)
            currents[first : first + at_once] = products.swapaxes(0, 1)
        return currents.reshape(*several, len(kernel), rows, columns)

    def transposed(self, weight: NDArray[Any], values: Floats, shape: Sequence[int]) -> Floats:
        """See :meth:`Linear.transposed`."""
        *several, outputs, out_rows, out_columns = values.shape
        channels, height, width = shape[-3:]
        kernel = self.kernel(weight, (channels, height, width))
        (top, left), (down, right) = pair(self.padding), pair(self.stride)
        values = values.reshape(-1, outputs, out_rows, out_columns)
        padded = np.zeros((len(values), channels, height + 2 * top, width + 2 * left))
        rows, columns = down * (out_rows - 1) + 1, right * (out_columns - 1) + 1
        at_once = max(1, MOST_PATCHES // (out_rows * out_columns * kernel[0].size))
        for first in range(0, len(values), at_once):
            now = slice(first, first + at_once)
            parts = np.tensordot(kernel, values[now], axes=((0,), (1,)))  # (C, y, x, S, H', W')
            for y in range(kernel.shape[2]):
                for x in range(kernel.shape[3]):
                    padded[now, :, y : y + rows : down, x : x + columns : right] += parts[
                        :, y, x
                    ].swapaxes(0, 1)
        inside = padded[:, :, top : top + height, left : left + width]
        return inside.reshape(*several, channels, height, width)

    def reach(self, layer_input: Input, place: Shape, shape: Shape) -> list[NDArray[np.bool_]]:
        """See :meth:`Synapse.reach`; a weight of 0 leads nowhere."""
        channel, *centre = place
        cells = np.zeros((1, *layer_input.unpooled_shape(shape)[1:]))
        rows, columns = (
            slice(max(0, position * step - border), position * step - border + side)
            for position, side, step, border in zip(centre, *self.windows, strict=True)
        )
        cells[:, rows, columns] = 1
        if self.current_sum:
            cells[:] = 1
        weight = (self.weight[channel : channel + 1] != 0).astype(np.float64)
        pooled = self.pooled_shape(layer_input.arriving(shape))
        down, across = pair(self.pool)
        mask = (self.transposed(weight, cells, pooled) > 0).repeat(down, 1).repeat(across, 2)
        return [self.gathered(mask, shape) > 0] * len(layer_input.sources)


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Weighted):
    """A matrix product on the pooled map, flattened in C-order.

    Parameters
    ----------
    weight : (out, in) float32, or int8 in fixed point, -127 … 127
    pool : sides of the pooling in front: one integer, or (y, x) where rows and columns differ
    pooling : "average" (fixed point sums instead; the gain absorbs the factor), "sum", or "max",
        which of spikes is their OR
    spread, rows, columns : see :class:`Identity`
    """

    kind = "dense"
    axes = 2

    def kernel(self, weight: NDArray[Any], pooled: Shape) -> NDArray[Any]:
        """One that is as large as the map."""
        return weight.reshape(len(weight), *pooled)

    def unpooled_shape(self, layer_input: Input, arriving_shape: Shape, source_name: str) -> Shape:
        """See :meth:`Synapse.unpooled_shape`."""
        pooled = self.pooled_shape(arriving_shape)
        outputs, inputs = self.weight.shape
        if inputs != prod(pooled):
            channels, height, width = pooled
            raise NetworkError(
                f"weight expects {inputs} inputs, the pooled map of {source_name} has "
                f"{channels}×{height}×{width} = {prod(pooled)}"
            )
        return outputs, 1, 1

    def transposed(self, weight: NDArray[Any], values: Floats, shape: Sequence[int]) -> Floats:
        """See :meth:`Linear.transposed`."""
        outputs = values.reshape(-1, len(weight))
        return (outputs @ weight).reshape(*values.shape[:-3], *shape[-3:])


@dataclass(frozen=True, eq=False, repr=False)
class Conv(Weighted):
    """A correlation, torch's conv2d, which a maximum pooling of the currents may follow, and then
    their sum over all places.

    Sides, strides and paddings are one integer, or (y, x) where rows and columns differ.

    Parameters
    ----------
    weight : (out, in, y, x) float32, or int8 in fixed point, -127 … 127
    pool, pooling : in front, see :class:`Dense`
    stride, padding : of the convolution, after pooling
    current_pool : sides of a maximum pooling of the currents `a`, between the synapses and the
        neurons
    current_stride, current_padding : of that pooling; its windows stand side by side if not given,
        and what lies around the currents is never the maximum
    current_sum : whether the currents of all places, behind that pooling, are summed to one for
        each channel
    spread, rows, columns : see :class:`Identity`
    """

    stride: Sides = 1
    padding: Sides = 0
    current_pool: Sides = 1
    current_stride: Sides | None = None
    current_padding: Sides = 0
    current_sum: bool = False

    kind = "conv"
    axes = 4

    def checked_fields(self, dtype: Any) -> dict[str, Any]:
        """See :meth:`Synapse.checked_fields`."""
        changes = super().checked_fields(dtype)
        for name, least in (
            ("stride", 1),
            ("padding", 0),
            ("current_pool", 1),
            ("current_stride", 1),
            ("current_padding", 0),
        ):
            value = getattr(self, name)
            as_current_pool = value is None and name == "current_stride"
            changes[name] = None if as_current_pool else one_or_pair(value, name, least)
        if changes["current_stride"] == changes["current_pool"]:
            changes["current_stride"] = None
        changes["current_sum"] = yes_or_no(self.current_sum, "current_sum")
        sides = zip(pair(changes["current_pool"]), pair(changes["current_padding"]), strict=True)
        if any(2 * padding > side for side, padding in sides):
            raise NetworkError(
                f"current_padding is {self.current_padding}, expected at most half of "
                f"current_pool, {self.current_pool}"
            )
        return changes

    @property
    def windows(self) -> Windows:
        """Those of the maximum pooling of its currents."""
        stride = self.current_pool if self.current_stride is None else self.current_stride
        return Windows(pair(self.current_pool), pair(stride), pair(self.current_padding))

    def kernel(self, weight: NDArray[Any], pooled: Shape) -> NDArray[Any]:
        """The weights."""
        return weight

    def unpooled_shape(self, layer_input: Input, arriving_shape: Shape, source_name: str) -> Shape:
        """See :meth:`Synapse.unpooled_shape`."""
        channels, height, width = self.pooled_shape(arriving_shape)
        if self.weight.shape[1] != channels:
            raise NetworkError(
                f"weight expects {self.weight.shape[1]} channels, {source_name} has {channels}"
            )
        sides = self.weight.shape[2:]
        kernel = Windows(sides, pair(self.stride), pair(self.padding))
        rows, columns = kernel.fit((height, width))
        if rows < 1 or columns < 1:
            raise NetworkError(
                f"kernel {sides} does not fit its {height}×{width} input with padding "
                f"{self.padding}"
            )
        if (
            min(self.windows.fit((rows, columns))) < 1
            or np.greater(self.windows.padding, (rows, columns)).any()
        ):
            raise NetworkError(
                f"current_pool {self.current_pool} does not fit its {rows}×{columns} currents with "
                f"current_padding {self.current_padding}"
            )
        return len(self.weight), rows, columns


def weights_as_synapse(weight: Any, **geometry: Any) -> Conv | Dense:
    """A dense layer of (out, in), else a convolution, which refuses other axes than its own."""
    with suppress(ValueError):  # lists of several lengths, which have no axes
        if not unreadable(weight) and np.ndim(weight) == Dense.axes:
            return Dense(weight, **geometry)
    return Conv(weight, **geometry)


def check_weight(weight: NDArray[Any]) -> None:
    """Refuse an int8 weight that some backend cannot hold."""
    if weight.dtype == np.int8 and weight.min() < -WEIGHT_LIMIT:
        raise NetworkError(
            f"got a weight of -128, expected -{WEIGHT_LIMIT} … {WEIGHT_LIMIT} in fixed "
            "point, which every backend can hold"
        )


def largest_row(weight: NDArray[Any]) -> float:
    """At least what the magnitudes of one neuron's weights sum to; the sum itself would take longer
    to find.
    """
    largest = max(float(weight.max()), -float(weight.min()))
    return weight.size // len(weight) * largest


def _places(numbers: Any, name: str) -> tuple[int, ...]:
    """The rows or columns that synapses take, of which an array or a tensor may hold them."""
    numbers = plain_list(numbers, MOST_PLACES, name)
    if not isinstance(numbers, (tuple, list)) or len(numbers) > MOST_PLACES:
        raise NetworkError(
            f"{name} is {printable(repr(numbers), LONGEST_NAME)}, expected at most "
            f"{MOST_PLACES:,} numbers, -1 for zeros"
        )
    return tuple(whole(number, f"a number of {name}", -1) for number in numbers)
