"""Inputs of a layer so far: what is folded of a path, by kind.

A kind says what becomes of it with one more linear operation behind it; a map that it gives is
(C, H, W). The kinds are those of a network (see backends/network/synapses/):

    FoldedSpikes     spikes, pooled perhaps, without weights
    FoldedConv       a convolution of such spikes, and perhaps a maximum of its currents
    FoldedDense      a matrix behind such spikes, whose neurons have no places
    FoldedProducts   products of spikes (attention), behind which nothing is folded

What cannot be folded is refused by a NetworkError; the caller says where, by :func:`at`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from math import prod
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, NetworkError, Shape, Source, Windows
from spikesam.backends.network import synapses as kinds
from spikesam.backends.network.synapses.synapse import WHOLE, Pooling
from spikesam.pipeline.imports.road import kernels
from spikesam.pipeline.imports.road._places import rows_before_pooling, rows_of_windows
from spikesam.pipeline.imports.road.constants import times
from spikesam.pipeline.imports.road.kernels import MOST_WEIGHTS
from spikesam.pipeline.imports.road.operations import Pair, expect

MOST_COPIES = 1 << 24  # of the neurons that an input reads, where a border lies behind its weights
FOLLOWS = (
    "follows another convolution or linear layer without neurons between them",
    "neurons between them, or no padding, or one layer that is their product",
)
REPEATS = "repeats what weights or pooling gave", "spikes of neurons"
POOLS_DENSE = "pools a dense layer", "a convolution in front of it"
BEHIND_MAXIMUM = "is behind a maximum of currents, which is not linear", "neurons between them"

POOLS_SPIKES = "pools spikes by maximum", "an average"
POOLS_CURRENTS = "pools currents by maximum", "an average"
MULTIPLIES = "multiplies spikes", "neurons behind that"
BEHIND_MEAN = "follows a mean of currents pooled by maximum", "neurons between them"
BEHIND_PRODUCTS = "follows products of spikes (attention)", "neurons between them"

Weights = NDArray[Any]
Kind = TypeVar("Kind", bound="FoldedInput")


@dataclass(frozen=True, eq=False)
class ReorderedNeurons:
    """Channels of a map in another order, or some of them; or neurons: numbers (M,), of `among`."""

    numbers: NDArray[np.int64]
    among: int
    channels: bool

    def columns(self, weight: Weights) -> Weights:
        """(out, M, …) weights of what is chosen, as (out, among, …) of the map."""
        placed = np.zeros((self.among, len(weight), *weight.shape[2:]), weight.dtype)
        np.add.at(placed, self.numbers, weight.swapaxes(0, 1))  # one may be chosen twice
        return placed.swapaxes(0, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedInput(ABC):
    """One input so far: gain · a, where its kind says what a is.

    `gain` is (), (C,), or of each step (T, C) or (T, 1). `pool`, `pooling`, `spread`, `rows` and
    `columns` are as of a network's synapses. `sees_ones` says that it sees 1 at every place of the
    spikes' pooled map, in one channel, instead of them; `rows` and `columns` are then of that map.
    """

    # names of units whose spikes are summed, and how many steps ago they fired
    sources: tuple[Source, ...]
    gain: NDArray[np.float64] = field(default_factory=lambda: np.array(1.0))
    pool: Pair = (1, 1)
    pooling: Pooling = "average"
    spread: tuple[int, int, int] = WHOLE
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    sees_ones: bool = False
    made_by: str = ""  # label of what gave its map, for messages; none of spikes

    @property
    def copies(self) -> bool:
        """True if it sees copies of some places."""
        return self.spread != WHOLE or bool(self.rows or self.columns)

    @property
    def refusal(self) -> tuple[str, str] | None:
        """The reason why only gains and biases behind it fold, and what is expected; or None."""
        return None

    @property
    def nonlinearity(self) -> tuple[str, str] | None:
        """The operation on spikes that weights cannot do, and what is expected instead;
        else None.
        """
        return POOLS_SPIKES if self.pooling == "max" else None

    @property
    def has_synapse(self) -> bool:
        """True if a network has a synapse like it; else it needs weights, see :meth:`connected`."""
        return True

    @property
    def single_places(self) -> bool:
        """True if a border around its map is one around that of the pooled spikes."""
        return True

    @property
    def pointwise(self) -> bool:
        """True if each place of its map comes from the same place of the pooled spikes."""
        return False

    @property
    def weights(self) -> tuple[Weights, ...]:
        """Its weights, if it has any."""
        return ()

    def weighed(self, _weights: Callable[[Weights], Weights]) -> Self:
        """The input with weights that a function makes of its own; itself where it has none."""
        return self

    @abstractmethod
    def synapse(self) -> kinds.Synapse:
        """The synapses of a network that it becomes."""

    @abstractmethod
    def connected(self, shape: Shape) -> FoldedInput:
        """With weights, the identity where it has none; (C, H, W) = `shape` is that of its map."""

    def dense(self, _shape: Shape) -> FoldedDense:
        """The dense layer that it is, of its map (C, H, W), with a gain of each neuron."""
        raise refused(*self.refusal or FOLLOWS)

    @abstractmethod
    def placed(self, shape: Shape, first_channel: int, channels: int) -> FoldedInput:
        """With weights, and its map, (C, H, W) = `shape`, as some of so many channels from the
        first on.
        """

    def with_sources_of(self, _second: FoldedInput) -> FoldedInput | None:
        """One input for the spikes of both; None where these do not pass through the same."""
        return None

    def scaled(self, factor: Any) -> Self:
        """Its currents times a number, one for each channel, or such of each step."""
        return replace(self, gain=times(self.gain, factor))

    def as_kind(self, kind: type[Kind], **changes: Any) -> Kind:
        """An input of another kind, which reads the same spikes."""
        shared_fields = {item.name: getattr(self, item.name) for item in fields(FoldedInput)}
        return kind(**(shared_fields | changes))

    def gain_into(self, weight: Weights, channels: int) -> tuple[Self, Weights]:
        """The input without a gain of channels, and (out, C, …) weights behind it times that."""
        gain, gain_of_steps = self.gain, np.array(1.0)
        if gain.ndim == 2:
            passing = gain.any(axis=1)
            rows = gain[passing]
            if (gain == gain[:, :1]).all():
                return replace(self, gain=gain[:, :1]), weight
            finding = "sees channels whose gains differ from step to step, each in its own way"
            expect((rows == rows[0]).all(), finding, "one gain of a step, or gains behind it")
            gain, gain_of_steps = rows[0], passing[:, None].astype(np.float64)
        by_channel = np.broadcast_to(gain, channels)[:, None]
        scaled_weight = weight.reshape(len(weight), channels, -1) * by_channel
        return replace(self, gain=gain_of_steps), scaled_weight.reshape(weight.shape)

    def gain_of_neurons(self, places: int) -> NDArray[np.float64]:
        """Its gain, that of a channel once for each of so many places."""
        return self.gain.repeat(places, axis=-1) if self.gain.ndim else self.gain

    def flattened(self, _shape: Shape) -> FoldedInput:
        """The neurons of its map (C, H, W), without places."""
        return self

    def chosen(self, _numbers: NDArray[Any], _by_channel: bool, _shape: Shape) -> FoldedInput:
        """Some channels of its map (C, H, W), or, unless by channel, some of its neurons."""
        raise refused(*self.refusal or FOLLOWS)

    def taken(self, _rows: Sequence[int], _columns: Sequence[int], _shape: Shape) -> FoldedInput:
        """Some rows and columns of its map (C, H, W), of which -1 are zeros."""
        raise refused(*self.refusal or FOLLOWS)

    def repeated(self, _factors: tuple[int, int, int]) -> FoldedInput:
        """Each channel, row and column of its map so often beside itself."""
        raise refused(*self.refusal or REPEATS)

    def convolved(
        self, _kernel: Weights, _stride: Pair, _padding: Pair, _shape: Shape
    ) -> FoldedInput:
        """Behind it, a convolution of (out, C, y, x) kernels on its map (C, H, W)."""
        raise refused(*self.refusal or FOLLOWS)

    def multiplied(self, _weight: Weights, _shape: Shape) -> FoldedInput:
        """Behind it, (out, C·H·W) weights of a linear layer on its map (C, H, W)."""
        raise refused(*self.refusal or FOLLOWS)

    def averaged(self, _windows: Windows) -> FoldedInput:
        """The averages of windows of its map, without a border."""
        raise refused(*self.refusal or POOLS_DENSE)

    def maximum(self, _windows: Windows, _shape: Shape, _of_currents: bool = False) -> FoldedInput:
        """The maxima of windows of its map (C, H, W); if of currents, never an OR of spikes."""
        raise refused(*self.refusal or POOLS_DENSE)

    def average_of_map(self, sides: Pair) -> FoldedInput:
        """The average of each channel over a map of (H, W)."""
        return self.averaged(Windows(sides, sides))

    def reading_copies(self, places: tuple[list[int], list[int]], maps: int, shape: Shape) -> Self:
        """The input whose pooled spikes are copies of those at some rows and columns of their map.

        Its own map is (C, H, W) = `shape`; it reads so many `maps`.
        """
        copies = maps * len(places[0]) * len(places[1])
        finding = (
            f"pads or moves the map {shape} of {self.made_by or 'spikes'}, whose windows then are "
            f"{copies:,} copies of spikes"
        )
        expect(copies <= MOST_COPIES, finding, f"at most {MOST_COPIES:,}")
        down, across = (1, 1) if self.sees_ones else self.pool
        rows = rows_before_pooling(places[0], down, self.rows)
        return replace(
            self, rows=rows, columns=rows_before_pooling(places[1], across, self.columns)
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedSpikes(FoldedInput):
    """Spikes, pooled perhaps: a = pool(Σ s); `order` says which of them stand there, where it is
    not all of them in order.
    """

    order: ReorderedNeurons | None = None

    @property
    def pointwise(self) -> bool:
        """True."""
        return True

    @property
    def has_synapse(self) -> bool:
        """See :attr:`FoldedInput.has_synapse`: the identity, which neither chooses nor pools."""
        return self.order is None and self.pool == (1, 1)

    @property
    def in_order(self) -> bool:
        """True if it is all spikes in their order, averaged perhaps."""
        averaged = self.pooling == "average" or self.pool == (1, 1)
        return self.order is None and not self.copies and averaged

    def synapse(self) -> kinds.Synapse:
        """The identity."""
        return kinds.Identity(spread=self.spread, rows=self.rows, columns=self.columns)

    def connected(self, shape: Shape) -> FoldedConv | FoldedDense:
        """With weights, the identity: a convolution where its map has places."""
        channels, height, width = shape
        identity = self.in_order_of_spikes(np.eye(channels, dtype=np.float32))
        if height * width == 1:
            return self.as_kind(FoldedDense, weight=identity)
        return self.as_kind(FoldedConv, weight=identity[:, :, None, None], sides=(height, width))

    def placed(self, shape: Shape, first_channel: int, channels: int) -> FoldedInput:
        """See :meth:`FoldedInput.placed`."""
        return self.connected(shape).placed(shape, first_channel, channels)

    def dense(self, shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.dense`: the identity."""
        neurons, places = prod(shape), shape[1] * shape[2]
        identity = np.eye(neurons, dtype=np.float32).reshape(neurons, shape[0], places)
        weight = self.in_order_of_spikes(identity).reshape(neurons, -1)
        return self.as_kind(FoldedDense, weight=weight, gain=self.gain_of_neurons(places))

    def in_order_of_spikes(self, weight: Weights) -> Weights:
        """(out, C, …) weights of what stands here, as those of the spikes."""
        return weight if self.order is None else self.order.columns(weight)

    def with_sources_of(self, second: FoldedInput) -> FoldedInput | None:
        """One input for the spikes of both; None where these do not pass through the same."""
        if not isinstance(second, FoldedSpikes):
            return None
        if not (self.in_order and second.in_order and self.pool == second.pool):
            return None
        if np.array_equal(self.gain, second.gain):
            return replace(self, sources=self.sources + second.sources)
        if np.array_equal(self.gain, -second.gain):
            negative = tuple(replace(source, sign=-source.sign) for source in second.sources)
            return replace(self, sources=self.sources + negative)
        return None

    def gain_into(self, weight: Weights, channels: int) -> tuple[Self, Weights]:
        """See :meth:`FoldedInput.gain_into`; one gain of all channels stays."""
        return super().gain_into(weight, channels) if self.gain.ndim else (self, weight)

    def chosen(self, numbers: NDArray[Any], by_channel: bool, shape: Shape) -> FoldedSpikes:
        """See :meth:`FoldedInput.chosen`: another order."""
        unmoved = by_channel or not self.copies
        expect(unmoved, "moves spikes that were repeated", "neurons between them")
        channels, height, width = shape
        neurons = 1 if by_channel else height * width  # of a channel, of which each has a number
        if self.order is None:
            return replace(self, order=ReorderedNeurons(numbers, channels * neurons, by_channel))
        earlier = self.order
        chosen_before = (earlier.numbers[:, None] * neurons + np.arange(neurons)).flatten()
        channels_alone = by_channel and earlier.channels
        order = ReorderedNeurons(chosen_before[numbers], earlier.among * neurons, channels_alone)
        return replace(self, order=order)

    def taken(self, rows: Sequence[int], columns: Sequence[int], shape: Shape) -> FoldedSpikes:
        """See :meth:`FoldedInput.taken`: copies of spikes."""
        self.expect_places()
        return self.reading_copies((list(rows), list(columns)), shape[0], shape)

    def repeated(self, factors: tuple[int, int, int]) -> FoldedSpikes:
        """See :meth:`FoldedInput.repeated`."""
        unpooled = self.order is None and self.pool == (1, 1)
        expect(unpooled, *REPEATS)
        return replace(self, spread=product(self.spread, factors))

    def convolved(self, kernel: Weights, stride: Pair, padding: Pair, shape: Shape) -> FoldedConv:
        """See :meth:`FoldedInput.convolved`."""
        channels, height, width = shape
        spikes, scaled_kernel = self.gain_into(kernel, channels)
        kernel_of_spikes = single(spikes.in_order_of_spikes(scaled_kernel), kernel)
        geometry: Any = {"stride": stride, "padding": padding, "sides": (height, width)}
        return spikes.as_kind(FoldedConv, weight=kernel_of_spikes, **geometry)

    def multiplied(self, weight: Weights, shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.multiplied`."""
        spikes, weight_of_spikes = self.gain_into(weight, shape[0])
        if spikes.order is not None:
            by_channel = weight_of_spikes.reshape(len(weight), shape[0], -1)
            weight_of_spikes = spikes.in_order_of_spikes(by_channel).reshape(len(weight), -1)
        return spikes.as_kind(FoldedDense, weight=single(weight_of_spikes, weight))

    def averaged(self, windows: Windows) -> FoldedSpikes:
        """The averages of windows side by side."""
        pooled_alike = self.pool == (1, 1) or self.pooling == "average"
        kind = "maximum" if self.pooling == "max" else "sum"
        expect(pooled_alike, f"averages what was pooled by {kind}", "one kind of pooling")
        self.expect_places()
        return replace(self, pool=product(self.pool, windows.sides), pooling="average")

    def maximum(self, windows: Windows, shape: Shape, of_currents: bool = False) -> FoldedSpikes:
        """The OR of the spikes of windows; of windows that are not side by side, of copies."""
        channels, *sides = shape
        side_by_side = Windows(windows.sides, windows.sides)
        if windows != side_by_side or any(np.mod(sides, windows.sides)):
            geometries = zip(sides, windows.fit(sides), *windows, strict=True)
            rows, columns = (
                rows_of_windows(range(count), side, *geometry)
                for side, count, *geometry in geometries
            )
            copies = self.taken(rows, columns, shape)
            return copies.maximum(side_by_side, (channels, len(rows), len(columns)))
        self.expect_places()
        pooled_alike = self.pool == (1, 1) or self.pooling == "max"
        expect(pooled_alike, "pools averages", "one kind of pooling")
        expect((self.gain > 0).all(), "pools spikes scaled by a negative number", "spikes")
        return replace(self, pool=product(self.pool, windows.sides), pooling="max")

    def expect_places(self) -> None:
        """Refuse neurons in an order that no order of channels is."""
        places_stay = self.order is None or self.order.channels
        expected = "places that stay, of channels in any order"
        expect(places_stay, "sees a map whose places are moved", expected)


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedWeights(FoldedInput):
    """Weights of spikes: a = W pool(Σ s)."""

    weight: Weights

    @property
    def weights(self) -> tuple[Weights, ...]:
        """Its weights."""
        return (self.weight,)

    def weighed(self, weights: Callable[[Weights], Weights]) -> Self:
        """The input with weights that a function makes of its own."""
        return replace(self, weight=weights(self.weight))

    def connected(self, _shape: Shape) -> Self:
        """Itself."""
        return self

    def placed(self, shape: Shape, first_channel: int, channels: int) -> Self:
        """See :meth:`FoldedInput.placed`: weights of 0 give the other channels."""
        among, weight, gain = slice(first_channel, first_channel + shape[0]), self.weight, self.gain
        if shape[0] != channels:
            weight = np.zeros((channels, *self.weight.shape[1:]), np.float32)
            weight[among] = self.weight
        if gain.ndim:  # that of the other channels is of no account
            gain = np.ones(channels) * (self.gain[:, :1] if self.gain.ndim == 2 else 1)
            gain[..., among] = self.gain
        return replace(self, weight=weight, gain=gain)


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedDense(FoldedWeights):
    """A matrix of (out, in) weights: neurons without places."""

    def synapse(self) -> kinds.Synapse:
        """A matrix."""
        places: Any = {"spread": self.spread, "rows": self.rows, "columns": self.columns}
        return kinds.Dense(self.weight, pool=self.pool, pooling=self.pooling, **places)

    def dense(self, _shape: Shape) -> FoldedDense:
        """Itself."""
        return self

    def chosen(self, numbers: NDArray[Any], _by_channel: bool, _shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.chosen`: rows of weights."""
        return replace(self, weight=self.weight[numbers])

    def convolved(self, kernel: Weights, stride: Pair, padding: Pair, shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.convolved`: where its one place gives one place."""
        channels, *sides = shape
        rows, columns = (
            (side + 2 * border - length) // step + 1
            for side, border, length, step in zip(
                sides, padding, kernel.shape[2:], stride, strict=True
            )
        )
        expect((*sides, rows, columns) == (1, 1, 1, 1), *FOLLOWS)
        scaled, scaled_kernel = self.gain_into(kernel, channels)
        weight_behind = scaled_kernel[:, :, padding[0], padding[1]]
        weight = weight_behind @ self.weight.astype(np.float64)
        return replace(scaled, weight=weight.astype(np.float32))

    def multiplied(self, weight: Weights, shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.multiplied`."""
        scaled, weight_behind = self.gain_into(weight, shape[0])
        product_of_both = weight_behind @ self.weight.astype(np.float64)
        return replace(scaled, weight=product_of_both.astype(np.float32))


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedConv(FoldedWeights):
    """A convolution of (out, in, y, x) kernels, and perhaps a maximum of its currents.

    `stride`, `padding`, `windows` and `current_sum` are as of a network's; `sides` are those of the
    pooled map that it sees.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    windows: Windows = NO_POOLING
    current_sum: bool = False
    sides: Pair

    def synapse(self) -> kinds.Synapse:
        """A convolution."""
        places: Any = {"spread": self.spread, "rows": self.rows, "columns": self.columns}
        current_pool, current_stride, current_padding = self.windows
        return kinds.Conv(
            self.weight,
            stride=self.stride,
            padding=self.padding,
            pool=self.pool,
            pooling=self.pooling,
            current_pool=current_pool,
            current_stride=current_stride,
            current_padding=current_padding,
            current_sum=self.current_sum,
            **places,
        )

    @property
    def refusal(self) -> tuple[str, str] | None:
        """See :attr:`FoldedInput.refusal`."""
        return BEHIND_MEAN if self.current_sum else None

    @property
    def nonlinearity(self) -> tuple[str, str] | None:
        """See :attr:`FoldedInput.nonlinearity`."""
        return super().nonlinearity if self.windows == NO_POOLING else POOLS_CURRENTS

    @property
    def single_places(self) -> bool:
        """See :attr:`FoldedInput.single_places`."""
        return self.weight.shape[2:] == self.stride == (1, 1)

    @property
    def pointwise(self) -> bool:
        """See :attr:`FoldedInput.pointwise`."""
        return self.single_places and self.padding == (0, 0)

    @property
    def shape_read(self) -> Shape:
        """(C, H, W) of the pooled map that it sees."""
        return self.weight.shape[1], *self.sides

    def flattened(self, shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.flattened`: the dense layer that it is."""
        self._expect_no_maximum()
        inputs, neurons = prod(self.shape_read), prod(shape)
        finding = (
            f"makes neurons without places of the map {shape} of {self.made_by or 'spikes'}, "
            f"a dense layer of {neurons:,} × {inputs:,} = {neurons * inputs:,} weights"
        )
        expect(neurons * inputs <= MOST_WEIGHTS, finding, f"at most {MOST_WEIGHTS:,}")
        return self.as_kind(FoldedDense, weight=self.unrolled(self.weight))

    def dense(self, shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.dense`."""
        gain = self.gain_of_neurons(shape[1] * shape[2])
        return self.as_kind(FoldedDense, weight=self.unrolled(self.weight), gain=gain)

    def unrolled(self, weight: Weights) -> Weights:
        """The matrix that does what the convolution does, of its weights in any precision."""
        return kernels.unrolled(weight, self.shape_read, self.stride, self.padding)

    def chosen(self, numbers: NDArray[Any], by_channel: bool, shape: Shape) -> FoldedConv:
        """See :meth:`FoldedInput.chosen`: kernels."""
        finding = "moves places of a map between a convolution and neurons"
        expect(by_channel, finding, "channels in another order, whose places stay")
        return replace(self, weight=self.weight[numbers])

    def taken(self, rows: Sequence[int], columns: Sequence[int], shape: Shape) -> FoldedConv:
        """See :meth:`FoldedInput.taken`.

        The kernel stays: the spikes that a place sees are copied, so that its window is its own.
        """
        self._expect_no_maximum()
        kernel_sides: Any = self.weight.shape[2:]
        geometries = zip(
            (rows, columns), self.sides, kernel_sides, self.stride, self.padding, strict=True
        )
        rows_read, columns_read = (rows_of_windows(*geometry) for geometry in geometries)
        copies = self.reading_copies((rows_read, columns_read), self.weight.shape[1], shape)
        sides = len(rows_read), len(columns_read)
        return replace(copies, stride=kernel_sides, padding=(0, 0), sides=sides)

    def repeated(self, factors: tuple[int, int, int]) -> FoldedConv:
        """See :meth:`FoldedInput.repeated`: of the spikes, where it sees single places."""
        times, down, across = factors
        of_spikes = self.pointwise and self.pool == (1, 1) and self.windows == NO_POOLING
        expect(of_spikes and times == 1, *REPEATS)
        sides = self.sides[0] * down, self.sides[1] * across
        return replace(self, spread=product(self.spread, factors), sides=sides)

    def convolved(self, kernel: Weights, stride: Pair, padding: Pair, shape: Shape) -> FoldedConv:
        """See :meth:`FoldedInput.convolved`: one convolution that does what both do.

        A border lies between them only where this one sees single places.
        """
        scaled, kernel_behind = self.gain_into(kernel, shape[0])
        self._expect_no_maximum()
        weight = kernels.composed(kernel_behind, self.weight, self.stride)
        return replace(
            scaled,
            weight=weight.astype(np.float32),
            stride=product(stride, self.stride),
            padding=(padding[0] + self.padding[0], padding[1] + self.padding[1]),
        )

    def multiplied(self, weight: Weights, shape: Shape) -> FoldedDense:
        """See :meth:`FoldedInput.multiplied`."""
        scaled, weight_behind = self.gain_into(weight, shape[0])
        self._expect_no_maximum()
        own_weight = self.weight.astype(np.float64)
        if self.pointwise:
            maps = weight_behind.reshape(len(weight), shape[0], -1)
            sums = np.tensordot(maps, own_weight[:, :, 0, 0], (1, 0))
            product_of_both = sums.swapaxes(1, 2).reshape(len(weight), -1)
        else:
            expect(prod(shape) * prod(self.shape_read) <= MOST_WEIGHTS, *FOLLOWS)
            product_of_both = weight_behind @ self.unrolled(own_weight)
        return scaled.as_kind(FoldedDense, weight=product_of_both.astype(np.float32))

    def averaged(self, windows: Windows) -> FoldedConv:
        """The averages of windows of its map: a larger kernel."""
        unpooled = self.windows == NO_POOLING
        expect(unpooled, "averages currents pooled by maximum", "one kind of pooling")
        weight = kernels.averaged(self.weight, self.stride, windows.sides)
        return replace(self, weight=weight, stride=product(self.stride, windows.stride))

    def average_of_map(self, sides: Pair) -> FoldedConv:
        """See :meth:`FoldedInput.average_of_map`: behind a maximum the sum of its currents, of
        single places the weights of averaged spikes.
        """
        if self.windows != NO_POOLING:
            return replace(self, current_sum=True, gain=self.gain / prod(sides))
        if self.pointwise and self.pooling == "average":
            return replace(self, pool=product(self.pool, sides))
        return self.averaged(Windows(sides, sides))

    def maximum(self, windows: Windows, shape: Shape, of_currents: bool = False) -> FoldedConv:
        """See :meth:`FoldedInput.maximum`: of its currents, or of the spikes that it chooses."""
        channels, *sides = shape
        if not of_currents and self._chooses:
            spikes = self.as_kind(FoldedSpikes, gain=np.array(1.0))
            pooled = spikes.maximum(windows, self.shape_read)
            return pooled.as_kind(
                FoldedConv, weight=self.weight, gain=self.gain, sides=windows.fit(sides)
            )
        signs = np.where(np.atleast_2d(self.gain + np.zeros(channels)) < 0, -1, 1)
        sign = signs[0]
        finding = "pools what is scaled by a negative number at some steps alone"
        expect((signs == sign).all(), finding, "one sign")
        unpooled = self.windows == NO_POOLING or (sign > 0).all()
        expect(unpooled, "pools a maximum that was scaled by a negative number", "one pooling")
        weight = self.weight * sign[:, None, None, None].astype(self.weight.dtype)
        joined = joined_windows(self.windows, windows)
        if self.windows.stride == (1, 1):
            (y, x), _, (above, beside) = self.windows
            joined = joined.within((sides[0] + y - 1 - 2 * above, sides[1] + x - 1 - 2 * beside))
        return replace(self, windows=joined, weight=weight, gain=self.gain * sign)

    @property
    def _chooses(self) -> bool:
        """True if each channel is one of those in front, times no negative number, as where they
        are joined: its maximum is that of the spikes.
        """
        averaged = self.pooling == "average" and self.pool != (1, 1)
        pooled = averaged or self.windows != NO_POOLING
        if not self.pointwise or pooled or self.sees_ones:
            return False
        chosen = bool(np.isin(self.weight, (0, 1)).all()) and self.weight.sum(axis=1).max() <= 1
        return chosen and bool((self.gain >= 0).all())

    def _expect_no_maximum(self) -> None:
        expect(self.windows == NO_POOLING, *BEHIND_MAXIMUM)


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedProducts(FoldedInput):
    """Products of the spikes of q, k and v in so many heads: attention."""

    heads: int

    def synapse(self) -> kinds.Synapse:
        """Attention."""
        return kinds.Attention(self.heads)

    @property
    def refusal(self) -> tuple[str, str]:
        """See :attr:`FoldedInput.refusal`."""
        return BEHIND_PRODUCTS

    @property
    def nonlinearity(self) -> tuple[str, str]:
        """See :attr:`FoldedInput.nonlinearity`."""
        return MULTIPLIES

    def flattened(self, _shape: Shape) -> FoldedInput:
        """Refused."""
        raise refused(*self.refusal)

    def connected(self, _shape: Shape) -> FoldedProducts:
        """Itself: no weights stand between products and neurons."""
        return self

    def placed(self, shape: Shape, _first_channel: int, channels: int) -> FoldedProducts:
        """Itself, where its channels are all there are."""
        expect(shape[0] == channels, *self.refusal)
        return self


def single(weight: Weights, unchanged: Weights) -> Weights:
    """Weights in single precision; as they are if they are those that came."""
    return weight if weight is unchanged else weight.astype(np.float32)


def product(first: Sequence[int], second: Sequence[int]) -> Any:
    """The products of as many factors, such as those of two axes."""
    return tuple(a * b for a, b in zip(first, second, strict=True))


def refused(finding: str, expected: str) -> NetworkError:
    """The error of what cannot be folded."""
    return NetworkError(f"{finding}, expected {expected}")


def joined_windows(in_front: Windows, behind: Windows) -> Windows:
    """The windows of a maximum of maxima."""
    if in_front == NO_POOLING:
        return behind
    gaps = any(step > side for step, side in zip(in_front.stride, in_front.sides, strict=True))
    (down, right), (y, x) = in_front.stride, in_front.sides
    borders = product(in_front.padding, (2, 2))
    as_many_windows_as_places = in_front.stride == (1, 1) and borders == (y - 1, x - 1)
    fits = not gaps and (as_many_windows_as_places or behind.padding == (0, 0))
    expect(fits, "pools a maximum again", "one pooling, or windows side by side")
    sides = y + (behind.sides[0] - 1) * down, x + (behind.sides[1] - 1) * right
    above, beside = np.add(in_front.padding, behind.padding).tolist()
    return Windows(sides, product(in_front.stride, behind.stride), (above, beside))
