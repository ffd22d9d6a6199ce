"""Linear operations between neurons as inputs of a layer: one kernel, one gain, one bias.

    W (s·x + b) = (W s)·x + W b        where W pads, W b differs from place to place:
                                       one more input, see `bordered`
    max(g·x) = |g| · max(sign(g)·x)    so that kernels whose gain is negative change their sign

Averaging what a convolution gives is a larger convolution; two convolutions are one, where no
border lies between them. What cannot be folded is refused by a NetworkError that names where it is,
what it follows, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, NetworkError, Shape, Source, Windows
from spikesam.backends.network import synapses as kinds
from spikesam.backends.network.synapses.synapse import WHOLE, Pooling, repeated
from spikesam.common.errors import at
from spikesam.pipeline.imports.road import kernels
from spikesam.pipeline.imports.road.operations import (
    NOTHING,
    ByStep,
    Conv,
    DeclaredShape,
    Flatten,
    Junction,
    Linear,
    Mix,
    Operation,
    Order,
    Pad,
    Pair,
    Path,
    Pool,
    Repeat,
    Scale,
    Shift,
    Silent,
    Spread,
    Take,
    Total,
    expect,
)

MOST_WEIGHTS = 1 << 28  # of one input, once groups and dilation are filled with zeros
MOST_COPIES = 1 << 24  # of the neurons that an input reads, where a border lies behind its weights
MOST_BIASES_IN_TIME = 16  # of a map that is padded, which differ from step to step
FOLLOWS = (
    "follows another convolution or linear layer without neurons between them",
    "neurons between them, or no padding, or one layer that is their product",
)
MAKERS = Conv, Linear, Mix, Pool, Total  # operations that give a map of their own
ONE_EACH = np.ones((1, 1, 1, 1), np.float32)
BEHIND_MAXIMUM = "is behind a maximum of currents, which is not linear", "neurons between them"


@dataclass(frozen=True, eq=False)
class Reordered:
    """Channels of a map in another order, or some of them; or neurons: numbers (M,), of `among`."""

    numbers: NDArray[np.int64]
    among: int
    channels: bool

    def columns(self, weight: NDArray[Any]) -> NDArray[Any]:
        """(out, M, …) weights of what is chosen, as (out, among, …) of the map."""
        placed = np.zeros((self.among, len(weight), *weight.shape[2:]), weight.dtype)
        np.add.at(placed, self.numbers, weight.swapaxes(0, 1))  # one may be chosen twice
        return placed.swapaxes(0, 1)


@dataclass(frozen=True, eq=False)
class Synapses:
    """One input so far: gain · max(W ⊛ pool(Σ s)).

    The geometry is that of an Input. `gain` is (), (C,), or of each step (T, C) or (T, 1). `order`
    says which of the spikes stand there, where it is not all of them in order; `sees_ones`, that it
    sees 1 at every place of their pooled map, in one channel, instead of their spikes. `spread`,
    `rows`, `columns`, `heads` and `current_sum` are as of an Input; of ones, rows of their pooled
    map.
    """

    sources: tuple[
        Source, ...
    ]  # whose spikes are summed: names of units, and how many steps ago they fired
    weight: NDArray[Any] | None = None  # (out, in, y, x) or (out, in); None before there is one
    pool: Pair = (1, 1)
    pooling: Pooling = "average"
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    windows: Windows = NO_POOLING
    gain: NDArray[np.float64] = field(default_factory=lambda: np.array(1.0))
    order: Reordered | None = None
    sees_ones: bool = False
    sides: Pair = (0, 0)  # of the map that a convolution sees, behind the pooling
    spread: tuple[int, int, int] = WHOLE
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    heads: int = 0
    current_sum: bool = False
    made_by: str = ""  # label of what gave its map, for messages; none of spikes

    @property
    def plain(self) -> bool:
        """True if it is spikes, averaged perhaps, without weights."""
        averaged = self.pooling == "average" or self.pool == (1, 1)
        return self.bare and self.order is None and not self.copies and averaged

    @property
    def copies(self) -> bool:
        """True if it sees copies of some places."""
        return self.spread != WHOLE or bool(self.rows or self.columns)

    @property
    def bare(self) -> bool:
        """True if it is spikes, without weights, and no product of them."""
        return self.weight is None and not self.heads

    def synapse(self, weight: NDArray[Any] | None) -> kinds.Synapse:
        """What it is in a network, with its weights in the network's numbers, if it has any."""
        copies: Any = {"spread": self.spread, "rows": self.rows, "columns": self.columns}
        pooled: Any = {"pool": self.pool, "pooling": self.pooling}
        if self.heads:
            return kinds.Attention(self.heads)
        if weight is None:
            return kinds.Identity(**copies)
        if weight.ndim == 2:
            return kinds.Dense(weight, **pooled, **copies)
        sides, stride, padding = self.windows
        windows: Any = {
            "current_pool": sides,
            "current_stride": stride,
            "current_padding": padding,
            "current_sum": self.current_sum,
        }
        return kinds.Conv(
            weight, stride=self.stride, padding=self.padding, **pooled, **windows, **copies
        )

    def unordered(self, weight: NDArray[Any]) -> NDArray[Any]:
        """(out, C, …) weights of what stands here, as those of the spikes or of the weights in
        front.
        """
        return weight if self.order is None else self.order.columns(weight)

    def scaled(self, factor: Any) -> Synapses:
        """Their currents times a number, one for each channel, or such of each step."""
        return replace(self, gain=times(self.gain, factor))

    def with_sources_of(self, second: Synapses) -> Synapses | None:
        """One input for the spikes of both; None where these do not pass through the same."""
        if not (self.plain and second.plain and self.pool == second.pool):
            return None
        same, opposite = (
            np.array_equal(self.gain, second.gain),
            np.array_equal(self.gain, -second.gain),
        )
        if not (same or opposite):
            return None
        second_sources = (
            second.sources
            if same
            else tuple(replace(source, sign=-source.sign) for source in second.sources)
        )
        return replace(self, sources=self.sources + second_sources)

    def placed(self, shape: Shape, first_channel: int, channels: int) -> Synapses:
        """With weights: as some of so many channels, behind others; `shape` is its own map's."""
        map_channels, height, width = shape
        among = slice(first_channel, first_channel + map_channels)
        weight = self.weight
        if weight is None:
            identity = self.unordered(np.eye(map_channels, dtype=np.float32))
            weight = identity[:, :, None, None] if height * width > 1 else identity
        if map_channels != channels:
            placed = np.zeros((channels, *weight.shape[1:]), np.float32)
            placed[among] = weight
            weight = placed
        gain = self.gain
        if gain.ndim:
            gain = np.ones(channels) * (
                gain[:, :1] if gain.ndim == 2 else 1
            )  # which weights of 0 leave open
            gain[..., among] = self.gain
        return replace(
            self,
            weight=weight,
            gain=gain,
            order=None,
            sides=self.sides if self.weight is not None else (height, width),
        )


@dataclass(frozen=True, eq=False)
class Folded:
    """The inputs of a map of currents (C, H, W), which are summed, and their bias: (), (C,), or of
    each step (T, C).
    """

    shape: Shape
    inputs: tuple[Synapses, ...]
    bias: NDArray[np.float64] = field(default_factory=lambda: np.array(0.0))
    gate: bool = False

    def each(self, change: Callable[[Synapses], Synapses], **changes: Any) -> Folded:
        """With every input changed."""
        return replace(self, inputs=tuple(map(change, self.inputs)), **changes)

    def scaled(self, factor: Any) -> Folded:
        """Everything times a number, or one for each channel."""
        return self.each(lambda synapses: synapses.scaled(factor), bias=times(self.bias, factor))

    @property
    def dense(self) -> Folded:
        """With the weights of a dense layer, where there are none: the identity."""
        inputs, side = prod(self.shape), self.shape[1] * self.shape[2]
        if all(synapses.weight is not None for synapses in self.inputs):
            return self
        with at("the answer"):
            few = inputs**2 <= MOST_WEIGHTS
            expect(few, f"is {inputs:,} neurons without weights", "a class each")
        identity = np.eye(inputs, dtype=np.float32).reshape(inputs, self.shape[0], side)

        def connected(synapses: Synapses) -> Synapses:
            gain = synapses.gain.repeat(side, axis=-1) if synapses.gain.ndim else synapses.gain
            return replace(
                synapses,
                weight=synapses.unordered(identity).reshape(inputs, -1),
                gain=gain,
                order=None,
            )

        bias = np.broadcast_to(self.bias, (*self.bias.shape[:-1], self.shape[0]))
        bias = bias.repeat(side, axis=-1) if self.bias.any() else self.bias
        return self.each(
            lambda synapses: connected(synapses) if synapses.weight is None else synapses,
            shape=(inputs, 1, 1),
            bias=bias,
        )


def plus(first: Any, second: Any) -> NDArray[np.float64]:
    """Sums of numbers that are (), (C,), or of each step (S, C), of which the last ones go on."""
    first, second = _of_equal_steps(first, second)
    return np.asarray(first + second)


def times(first: Any, second: Any) -> NDArray[np.float64]:
    """Products of numbers that are (), (C,), or of each step (S, C), of which the last go on."""
    first, second = _of_equal_steps(first, second)
    return np.asarray(first * second)


def _of_equal_steps(*arrays: Any) -> list[NDArray[np.float64]]:
    """Numbers, of which those of each step have as many steps as the longest."""
    numbers = [np.asarray(array) for array in arrays]
    steps = max((len(rows) for rows in numbers if rows.ndim == 2), default=0)
    return [
        rows[np.minimum(np.arange(steps), len(rows) - 1)] if rows.ndim == 2 else rows
        for rows in numbers
    ]


def fold(path: Path, shapes: Mapping[str, Shape]) -> Folded:
    """The operations of a path as inputs of a layer; `shapes` are (C, H, W) of its sources, by
    name.
    """
    folded = beginning(path, shapes)
    for operation in path.operations:
        folded = fold_one(folded, operation)
    return folded


def beginning(path: Path, shapes: Mapping[str, Shape]) -> Folded:
    """The beginning of a path: the spikes of one source, or what meets at a junction."""
    source = path.source
    if isinstance(source, Junction):
        branches = [fold(branch, shapes) for branch in source.branches]
        with at(source.label):
            if source.kind == "concatenation":
                return stacked(branches)
            if source.kind == "attention":
                return products_of(branches, source)
            if source.kind == "gate":
                return gated(branches, source)
            return sum_of(branches, [branch.last for branch in source.branches])
    if source == NOTHING:
        raise NetworkError("zeros that stay zeros drive a layer, expected what neurons fire")
    return Folded(shapes[source], (Synapses((Source(source, path.lag or 0, path.sign),)),))


def fold_one(folded: Folded, operation: Operation) -> Folded:
    """The fold of a path, and one more operation."""
    if isinstance(operation.what, ByStep):
        return _by_step(folded, operation)
    with at(operation.label):
        folded_behind = _folded_behind(folded, operation.what)
    if not isinstance(operation.what, MAKERS):
        return folded_behind
    return folded_behind.each(lambda synapses: replace(synapses, made_by=operation.label))


def _folded_behind(folded: Folded, kind: Any) -> Folded:
    """The fold of a path, and of an operation of this kind, which is the same at every step."""
    fold_kind = FOLDS.get(type(kind))
    if fold_kind is None:
        raise NetworkError("stands between neurons, expected at the end")
    if type(kind) not in (Scale, Shift, Silent):
        multiplied = any(synapses.heads for synapses in folded.inputs)
        summed = any(synapses.current_sum for synapses in folded.inputs)
        between = "neurons between them"
        expect(not multiplied, "follows products of spikes (attention)", between)
        expect(not summed, "follows a mean of currents pooled by maximum", between)
    return fold_kind(folded, kind)


def sum_of(branches: Sequence[Folded], names: Sequence[str]) -> Folded:
    """A sum: what was summed before comes first, and spikes that pass through the same are one
    input.
    """
    branches = _levelled(branches)
    total = together(branches, names)
    inputs: list[Synapses] = []
    ordered = sorted(branches, key=lambda branch: len(branch.inputs), reverse=True)
    for synapses in chain.from_iterable(branch.inputs for branch in ordered):
        for place, earlier in enumerate(inputs):
            if merged := earlier.with_sources_of(synapses):
                inputs[place] = merged
                break
        else:
            inputs.append(synapses)
    return replace(total, inputs=tuple(inputs))


def together(branches: Sequence[Folded], names: Sequence[str]) -> Folded:
    """A sum of branches with these names, each of which keeps its inputs."""
    sizes = {prod(branch.shape) for branch in branches}
    branches = _levelled(branches) if len(sizes) == 1 else branches
    shapes = [branch.shape for branch in branches]
    named_shapes = " and ".join(
        f"{shape} of {name}" for shape, name in zip(shapes, names, strict=True)
    )
    expect(len(set(shapes)) == 1, f"adds maps (C, H, W) {named_shapes}", "equal ones")
    inputs = tuple(chain.from_iterable(branch.inputs for branch in branches))
    bias = reduce(plus, (branch.bias for branch in branches))
    return Folded(shapes[0], inputs, bias)


def stacked(branches: Sequence[Folded]) -> Folded:
    """Channels of maps of one size, one behind the other: each branch drives its own."""
    branches = _levelled(branches)
    sides = {branch.shape[1:] for branch in branches}
    listed_shapes = " and ".join(str(branch.shape) for branch in branches)
    expect(len(sides) == 1, f"joins maps (C, H, W) {listed_shapes}", "equal sides")
    channels = sum(branch.shape[0] for branch in branches)
    placed: list[Synapses] = []
    bias = np.array(0.0)
    for branch, first_channel in zip(
        branches, np.cumsum([0, *(branch.shape[0] for branch in branches)]), strict=False
    ):
        placed += [
            synapses.placed(branch.shape, first_channel, channels) for synapses in branch.inputs
        ]
        if branch.bias.any():
            stacked_bias = np.zeros((*branch.bias.shape[:-1], channels))
            stacked_bias[..., first_channel : first_channel + branch.shape[0]] = branch.bias
            bias = plus(bias, stacked_bias)
    return Folded((channels, *branches[0].shape[1:]), tuple(placed), bias)


def _levelled(branches: Sequence[Folded]) -> Sequence[Folded]:
    """Maps as neurons without places, where some branches are such."""
    flat = any(branch.shape[1:] == (1, 1) for branch in branches)
    return [_flattened(branch) for branch in branches] if flat else branches


def products_of(branches: Sequence[Folded], junction: Junction) -> Folded:
    """The products of q, k and v: three maps of one shape, or one of all their channels; v may have
    its own.

    Each may be a sum of as many layers.
    """
    shapes = [branch.shape for branch in branches]
    spikes_alone = all(len(branch.inputs) == 1 and branch.inputs[0].plain for branch in branches)
    names = " and ".join(branch.last for branch in junction.branches)
    expect(spikes_alone, f"multiplies {names}", "spikes of neurons, all of them in their order")
    listed_shapes = " and ".join(map(str, shapes))
    alike = shapes[0] == shapes[len(shapes) // 2] and shapes[0][1:] == shapes[-1][1:]
    expect(alike, f"multiplies maps (C, H, W) {listed_shapes}", "q, k and v of one shape")
    counts = [len(branch.inputs[0].sources) for branch in branches]
    counted_sources = (
        f"multiplies sums of {' and '.join(map(str, counts))} layers, which are {names}"
    )
    even = counts == [1] or (len(counts) == 3 and len(set(counts)) == 1)
    expect(even, counted_sources, "as many in q, k and v")
    channels, height, width = shapes[-1]
    shape = channels if len(branches) == 3 else channels // 3, height, width
    for channels_of_factor in (shapes[0][0], channels):
        expect(
            channels_of_factor % junction.heads == 0,
            f"has {junction.heads} heads of {channels_of_factor} channels",
            "a divisor",
        )
    sources = tuple(chain.from_iterable(branch.inputs[0].sources for branch in branches))
    return Folded(shape, (Synapses(sources, heads=junction.heads),), gate=True)


def gated(branches: Sequence[Folded], junction: Junction) -> Folded:
    """The spikes that drive a gate; those of smaller maps are repeated at the places of the larger
    one.
    """
    last = [
        branch.operations[-1].what if branch.operations else None for branch in junction.branches
    ]
    shape = next(
        branch.shape
        for branch, operation in zip(branches, last, strict=True)
        if not isinstance(operation, Repeat)
    )
    spread_branches = [
        _spread(branch, Spread(_factors(operation, branch.shape, shape)))
        if isinstance(operation, Repeat)
        else branch
        for branch, operation in zip(branches, last, strict=True)
    ]
    names = [branch.last for branch in junction.branches]
    return replace(together(spread_branches, names), gate=True)


def _factors(repeat: Repeat, small: Shape, shape: Shape) -> tuple[int, int, int]:
    """How often channels, rows and columns of a map are repeated, so that its neurons stand at
    those of another.
    """
    channel, row, column = (
        side // small_side for side, small_side in zip(shape, small, strict=True)
    )
    divides = (small[0] * channel, small[1] * row, small[2] * column) == shape
    finding = f"multiplies a map {small} with one of {shape}, neuron by neuron in another order"
    expect(divides, finding, "whole channels, rows and columns that are repeated")
    places = repeated(np.arange(prod(small)).reshape(small), (channel, row, column))
    expect(
        np.array_equal(places.ravel(), repeat.neurons),
        finding,
        "rows, columns and channels repeated",
    )
    return channel, row, column


def _taken(folded: Folded, rows: Sequence[int], columns: Sequence[int]) -> Folded:
    """A map of some rows and columns of another one, of which -1 are zeros.

    Weights keep their kernel: the spikes that a place sees are copied, so that its window is its
    own.
    """
    channels, height, width = folded.shape

    def taken(synapses: Synapses) -> Synapses:
        _expect_places(synapses)
        kernel, sides = synapses.weight, synapses.sides
        if kernel is None:
            windows, sides = Windows(), (height, width)
        else:
            expect(synapses.windows == NO_POOLING, *BEHIND_MAXIMUM)
            expect(kernel.ndim == 4, *FOLLOWS)
            windows = Windows(kernel.shape[2:], synapses.stride, synapses.padding)
        places_read = [
            _rows_of_windows(numbers, side, *geometry)
            for numbers, side, geometry in zip(
                (rows, columns), sides, zip(*windows, strict=True), strict=True
            )
        ]
        inputs = channels if kernel is None else kernel.shape[1]
        copies = inputs * len(places_read[0]) * len(places_read[1])
        finding = (
            f"pads or moves the map {folded.shape} of {synapses.made_by or 'spikes'}, whose "
            f"windows then are {copies:,} copies of spikes"
        )
        expect(copies <= MOST_COPIES, finding, f"at most {MOST_COPIES:,}")
        pool = (1, 1) if synapses.sees_ones else synapses.pool
        by_row, by_column = (
            _behind_pooling(numbers, size, earlier_copies)
            for numbers, size, earlier_copies in zip(
                places_read, pool, (synapses.rows, synapses.columns), strict=True
            )
        )
        copied = replace(
            synapses,
            rows=by_row,
            columns=by_column,
            sides=(len(places_read[0]), len(places_read[1])),
        )
        return copied if kernel is None else replace(copied, stride=windows.sides, padding=(0, 0))

    return folded.each(taken, shape=(channels, len(rows), len(columns)))


def _rows_of_windows(
    places: Sequence[int], side: int, size: int, stride: int, padding: int
) -> list[int]:
    """The rows of a map that windows at some places see, one behind the other; -1 outside of it."""
    first = np.array(places)[:, None] * stride - padding
    rows = first + np.arange(size)
    outside = (rows < 0) | (rows >= side) | (np.array(places)[:, None] < 0)
    return np.where(outside, -1, rows).ravel().tolist()


def _behind_pooling(numbers: Sequence[int], size: int, rows: tuple[int, ...]) -> tuple[int, ...]:
    """Rows of a pooled map as those of the map in front, perhaps some `rows` of another."""
    places = np.array(numbers)[:, None] * size + np.arange(size)
    places = np.where(np.array(numbers)[:, None] < 0, -1, places).ravel()
    copied_rows = np.where(places < 0, -1, np.array(rows)[places]) if rows else places
    return tuple(copied_rows.tolist())


def _padded(folded: Folded, pad: Pad) -> Folded:
    """A border of zeros as a convolution of single places; or one that repeats places."""
    if pad.mode == "zeros":
        return _conv(folded, Conv(ONE_EACH, padding=pad.padding, groups=0))
    sides = zip(folded.shape[1:], pad.padding, strict=True)
    rows, columns = (kernels.border(side, padding, pad.mode) for side, padding in sides)
    return _taken(folded, rows, columns)


def _spread(folded: Folded, spread: Spread) -> Folded:
    """Spikes repeated, in front of any weights; or places that single ones made currents of."""
    times, down, across = spread.factors
    if times == 1 and any(synapses.rows or synapses.columns for synapses in folded.inputs):
        sides = zip(folded.shape[1:], (down, across), strict=True)
        rows, columns = (np.arange(side).repeat(factor).tolist() for side, factor in sides)
        return _taken(folded, rows, columns)

    def behind(synapses: Synapses) -> Synapses:
        single = (
            synapses.weight is not None
            and synapses.weight.shape[2:] == synapses.stride == (1, 1)
            and times == 1
        )
        single_spikes = (
            synapses.order is None
            and (synapses.weight is None or (single and synapses.padding == (0, 0)))
            and synapses.pool == (1, 1)
        )
        single_spikes = single_spikes and synapses.windows == NO_POOLING
        expect(
            single_spikes or spread.factors == WHOLE,
            "repeats what weights or pooling gave",
            "spikes of neurons",
        )
        channel, row, column = (
            times_before * factor
            for times_before, factor in zip(synapses.spread, spread.factors, strict=True)
        )
        sides = synapses.sides[0] * down, synapses.sides[1] * across
        return replace(synapses, spread=(channel, row, column), sides=sides)

    channels, height, width = (
        side * factor for side, factor in zip(folded.shape, spread.factors, strict=True)
    )

    def copied(of_channels: NDArray[np.float64]) -> NDArray[np.float64]:
        return (
            of_channels.repeat(times, -1)
            if of_channels.ndim and of_channels.shape[-1] > 1
            else of_channels
        )

    inputs = tuple(
        replace(behind(synapses), gain=copied(synapses.gain)) for synapses in folded.inputs
    )
    return Folded((channels, height, width), inputs, copied(folded.bias))


def _mix(folded: Folded, mix: Mix) -> Folded:
    """A convolution of single places; without places, as many small linear layers."""
    weight = np.asarray(mix.weight, np.float32)
    if prod(folded.shape[1:]) == mix.places:
        return _conv(folded, Conv(weight[:, :, None, None], mix.bias))
    bias = None if mix.bias is None else np.repeat(mix.bias, mix.places)
    return _linear(folded, Linear(np.kron(weight, np.eye(mix.places, dtype=np.float32)), bias))


def _total(folded: Folded, total: Total) -> Folded:
    """Pooling of whole maps; without places, a linear layer."""
    sides = folded.shape[1], folded.shape[2]
    if prod(sides) == total.places:
        counted = total.kind == "sum" and all(
            synapses.bare and synapses.pool == (1, 1) for synapses in folded.inputs
        )
        if counted:  # whole numbers stay exact
            pooled = _averaged(folded, Windows(sides, sides))
            return pooled.each(
                lambda synapses: replace(synapses, pooling="sum"), bias=pooled.bias * total.places
            )
        if not all(synapses.weight is None for synapses in folded.inputs):
            pooled = _averaged_maps(folded)
            return (
                pooled
                if total.kind == "average"
                else pooled.scaled(np.full(folded.shape[0], total.places))
            )
        return _pool(folded, Pool(total.kind, Windows(sides, sides)))
    total_weights = np.ones((1, total.places), np.float32) / (
        total.places if total.kind == "average" else 1
    )
    return _linear(
        folded,
        Linear(
            np.kron(np.eye(prod(folded.shape) // total.places, dtype=np.float32), total_weights)
        ),
    )


def per_channel(value: Any, shape: Shape, quantity: str) -> Any:
    """A constant of neurons, or one that they share: one number, or (C,), of any array that
    broadcasts with a map, or with rows (C, L).
    """
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return array.item()
    rows = (shape[0], *shape[2:]) if shape[1:2] == (1,) else shape  # (C, L), as Conv1d has them
    for numbers_shape in (shape, rows, (prod(shape),)):
        try:
            broadcast = np.broadcast_to(array, (1, *numbers_shape)).reshape(shape[0], -1)
        except ValueError:
            continue
        if (broadcast == broadcast[:, :1]).all():
            return (
                broadcast[0, 0].item()
                if (broadcast == broadcast[0, 0]).all()
                else broadcast[:, 0].copy()
            )
    expected = "one number, or one for each channel"
    raise NetworkError(f"its {quantity} has shape {array.shape}, expected {expected}")


def lag_of(steps: NDArray[np.int64], shape: Shape) -> int | tuple[int, ...]:
    """Steps by which the spikes of a map are late: one number, or that of each channel."""
    lags = np.asarray(per_channel(steps, shape, "delay")).astype(np.int64).tolist()
    return tuple(lags) if isinstance(lags, list) else lags


def _of_channels(operation: Scale | Shift, shape: Shape) -> Any:
    """Numbers of an operation on a map: (), (C,), or of each step (T, C) or (T, 1)."""
    numbers, name = np.asarray(operation.numbers, np.float64), type(operation).__name__.lower()
    if numbers.ndim == 0 or numbers.shape[1:] == (1,):
        return numbers
    if numbers.ndim == 2:
        return np.stack(
            [_of_channels(type(operation)(row), shape) + np.zeros(shape[0]) for row in numbers]
        )
    expect(
        numbers.size and prod(shape) % len(numbers) == 0,
        f"{name}s {len(numbers)} features",
        f"{shape}, the map before it",
    )
    return np.asarray(per_channel(numbers.repeat(prod(shape) // len(numbers)), shape, name))


def _scaled(folded: Folded, scale: Scale) -> Folded:
    folded = _fitting(folded, [scale])
    return folded.scaled(_of_channels(scale, folded.shape))


def _shifted(folded: Folded, shift: Shift) -> Folded:
    folded = _fitting(folded, [shift])
    return replace(folded, bias=plus(folded.bias, _of_channels(shift, folded.shape)))


def _fitting(folded: Folded, operations: Iterable[Scale | Shift]) -> Folded:
    """A map, or its neurons without places if numbers of flat ones differ within a channel."""
    channels, size = folded.shape[0], prod(folded.shape)
    for operation in operations:
        numbers = np.asarray(operation.numbers)
        if operation.flat and numbers.shape[-1:] == (size,):
            of_channel = numbers.reshape(-1, channels, size // channels)
            if (of_channel != of_channel[..., :1]).any():
                return _flattened(folded)
    return folded


def _by_step(folded: Folded, operation: Operation) -> Folded:
    """(T, C) gains and shifts, which are 0 at steps at which nothing passed; those of a step have
    places of their own.
    """
    by_step = operation.what.at
    of_steps = chain.from_iterable(by_step.values())
    with at(operation.label):
        folded = _fitting(folded, (of_step.what for of_step in of_steps))
    gain, shift = np.zeros((2, max(by_step) + 1, folded.shape[0]))
    for step, operations in by_step.items():
        of_this_step = Folded(folded.shape, (Synapses(()),))
        for of_step in operations:
            of_this_step = fold_one(of_this_step, of_step)
        gain[step], shift[step] = of_this_step.inputs[0].gain, of_this_step.bias
    scaled = folded.scaled(gain)
    return replace(scaled, bias=plus(scaled.bias, shift))


def _silent(folded: Folded, silent: Silent) -> Folded:
    """Gains and biases of 0 at some steps; gains stay where nothing can have arrived by then."""
    last = max(silent.steps, default=-1)
    passes = np.ones((last + 2, 1))
    passes[list(silent.steps)] = 0

    def behind(synapses: Synapses) -> Synapses:
        arrives = 0 if synapses.sees_ones else min(source.shortest for source in synapses.sources)
        return synapses if last < arrives else synapses.scaled(passes)

    return folded.each(
        behind, bias=times(folded.bias, passes) if folded.bias.any() else folded.bias
    )


def _declared(folded: Folded, declared: DeclaredShape) -> Folded:
    shape, declared_shape = folded.shape, declared.shape
    same = prod(shape) == prod(declared_shape) if declared.flat else shape == declared_shape
    expect(same, f"{declared.what} is {declared_shape}", f"{shape}, the map before it")
    return folded


def _order(folded: Folded, order: Order) -> Folded:
    """Rows of the weights in another order; of spikes, what the next weights see."""
    places, numbers = folded.shape[1] * folded.shape[2], np.array(order.neurons)
    firsts = numbers[::places]
    by_channel = (
        np.array_equal(numbers, (firsts[:, None] + np.arange(places)).flatten())
        and not (firsts % places).any()
    )
    return _chosen(folded, firsts // places if by_channel else numbers, by_channel)


def _flatten(folded: Folded, flatten: Flatten) -> Folded:
    shape = folded.shape
    finding = f"flattens axes {flatten.first} … {flatten.last} of {shape}"
    expect(prod(shape[flatten.first : flatten.last + 1]) == prod(shape), finding, "all of them")
    return _flattened(folded)


def _flattened(folded: Folded) -> Folded:
    """The neurons of a map, without places; a convolution becomes the dense layer that it is."""
    shape = folded.shape

    def dense(synapses: Synapses) -> Synapses:
        kernel = synapses.weight
        if kernel is None:
            return synapses
        expect(synapses.windows == NO_POOLING, *BEHIND_MAXIMUM)
        inputs, neurons = kernel.shape[1] * prod(synapses.sides), prod(shape)
        finding = (
            f"makes neurons without places of the map {shape} of {synapses.made_by or 'spikes'}, "
            f"a dense layer of {neurons:,} × {inputs:,} = {neurons * inputs:,} weights"
        )
        expect(neurons * inputs <= MOST_WEIGHTS, finding, f"at most {MOST_WEIGHTS:,}")
        shape_read = kernel.shape[1], *synapses.sides
        weight = kernels.unrolled(kernel, shape_read, synapses.stride, synapses.padding)
        return replace(synapses, weight=weight, stride=(1, 1), padding=(0, 0))

    if shape[1:] == (1, 1):
        return folded
    return _chosen(folded.each(dense), np.arange(prod(shape)), False)


def _chosen(folded: Folded, numbers: NDArray[Any], by_channel: bool) -> Folded:
    """Channels in another order where `by_channel`, else neurons without places."""
    channels, height, width = folded.shape
    repeat = 1 if by_channel else height * width
    finding = "moves places of a map between a convolution and neurons"

    def choose(of_channels: NDArray[np.float64]) -> NDArray[np.float64]:
        if not of_channels.ndim or of_channels.shape[1:] == (1,):
            return of_channels
        return of_channels.repeat(repeat, axis=-1)[..., numbers]

    def chosen(synapses: Synapses) -> Synapses:
        expect(
            by_channel or synapses.weight is None or synapses.weight.ndim == 2,
            finding,
            "channels in another order, whose places stay",
        )
        expect(
            by_channel or not synapses.copies,
            "moves spikes that were repeated",
            "neurons between them",
        )
        reordered, earlier_order = replace(synapses, gain=choose(synapses.gain)), synapses.order
        if synapses.weight is not None:
            return replace(reordered, weight=synapses.weight[numbers])
        if earlier_order is not None:
            neurons = (earlier_order.numbers[:, None] * repeat + np.arange(repeat)).flatten()
            return replace(
                reordered,
                order=Reordered(
                    neurons[numbers],
                    earlier_order.among * repeat,
                    by_channel and earlier_order.channels,
                ),
            )
        return replace(reordered, order=Reordered(numbers, channels * repeat, by_channel))

    sides = (height, width) if by_channel else (1, 1)
    return folded.each(chosen, shape=(len(numbers), *sides), bias=choose(folded.bias))


def _conv(folded: Folded, conv: Conv) -> Folded:
    """A convolution behind spikes; or behind another one, if it does not pad, or the other sees
    single places.
    """
    for synapses in folded.inputs:
        _expect_places(synapses)
    (channels, *sides), weight = folded.shape, conv.weight
    groups = conv.groups or channels
    outputs, extent = (
        len(weight) if conv.groups else channels,
        kernels.extent(weight.shape[2:], conv.dilation),
    )
    fits = weight.size and weight.shape[1] * groups == channels and not outputs % groups
    makers = {synapses.made_by for synapses in folded.inputs if synapses.made_by}
    of_maker = f" of {makers.pop()}" if len(makers) == 1 else ""
    expected = f"one for {folded.shape}, the map before it{of_maker}"
    expect(fits, f"weight has shape {weight.shape} in {groups} groups", expected)
    shared = conv.groups or len(weight) == 1
    expect(shared, f"has {len(weight)} kernels for every channel alone", "one for all")
    fits = all(
        kernel <= side + sum(borders)
        for kernel, side, borders in zip(extent, sides, conv.padding, strict=True)
    )
    finding = (
        f"a kernel of {extent} does not fit its input {folded.shape} with padding {conv.padding}"
    )
    expect(fits, finding, "a map that holds it")
    few = outputs * channels * prod(extent) <= MOST_WEIGHTS
    expect(few, f"more than {MOST_WEIGHTS:,} weights without groups and dilation", "fewer")
    if not conv.groups:
        weight = weight.repeat(channels, axis=0)
    weight = kernels.undilated(kernels.ungrouped(weight, groups), conv.dilation)
    rows, columns = (
        (side + sum(borders) - kernel) // step + 1
        for side, borders, kernel, step in zip(
            sides, conv.padding, extent, conv.stride, strict=True
        )
    )
    if np.any(conv.padding) and folded.bias.any():
        folded = bordered(folded)
    padding = conv.padding
    if np.any(padding) and not all(map(_of_single_places, folded.inputs)):
        by_row, by_column = (
            kernels.border(side, borders, "zeros")
            for side, borders in zip(sides, padding, strict=True)
        )
        folded, padding = _taken(folded, by_row, by_column), ((0, 0), (0, 0))
        _, *sides = folded.shape
    padded_kernel, border = kernels.evenly_padded(weight, padding)

    def behind(synapses: Synapses) -> Synapses:
        synapses, kernel_behind = _scaled_inputs(synapses, padded_kernel, channels)
        kernel_behind, kernel_in_front = synapses.unordered(kernel_behind), synapses.weight
        stride, padding = conv.stride, border
        if (
            kernel_in_front is not None
            and kernel_in_front.ndim == 2
            and (*sides, rows, columns) == (1, 1, 1, 1)
        ):
            one_place = kernel_behind[:, :, border[0], border[1]] @ kernel_in_front.astype(
                np.float64
            )
            return replace(synapses, weight=one_place.astype(np.float32), order=None)
        if kernel_in_front is not None:
            composable = border == (0, 0) or kernel_in_front.shape[2:] == synapses.stride == (1, 1)
            expect(synapses.windows == NO_POOLING, *BEHIND_MAXIMUM)
            expect(composable and kernel_in_front.ndim == 4, *FOLLOWS)
            kernel_behind = kernels.composed(kernel_behind, kernel_in_front, synapses.stride)
            stride = _times(stride, synapses.stride)
            padding = border[0] + synapses.padding[0], border[1] + synapses.padding[1]
        kernel = (
            kernel_behind if kernel_behind is padded_kernel else kernel_behind.astype(np.float32)
        )
        whole_map = (sides[0], sides[1]) if kernel_in_front is None else synapses.sides
        folded_synapses = replace(
            synapses, weight=kernel, stride=stride, padding=padding, order=None
        )
        return replace(folded_synapses, sides=whole_map)

    return folded.each(
        behind, shape=(outputs, rows, columns), bias=_biases(folded, weight, conv.bias)
    )


def bordered(folded: Folded) -> Folded:
    """One more input for the bias of a map that is padded next: weights of ones, which see 1 at
    every place.
    """
    first = folded.inputs[0]
    channels, weight = folded.shape[0], np.ones((folded.shape[0], 1, 1, 1), np.float32)
    sides = folded.shape[1:] if first.weight is None else first.sides
    spread = (1, *first.spread[1:])
    bias_input = Synapses(
        first.sources[:1], weight, first.pool, sees_ones=True, sides=sides, spread=spread
    )
    single = _of_single_places(first) and first.padding == (0, 0)
    if first.rows or first.columns or not single:
        rows, columns = ((0,) * side for side in folded.shape[1:])  # as many as there are places
        plain = replace(bias_input, pool=(1, 1), spread=WHOLE, sides=folded.shape[1:])
        bias_input = replace(plain, rows=rows, columns=columns)
    gain = np.broadcast_to(folded.bias, (*folded.bias.shape[:-1], channels))
    biases = [bias_input.scaled(numbers) for numbers in _one_of_a_time(gain)]
    return Folded(folded.shape, (*folded.inputs, *biases))


def _one_of_a_time(gain: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Gains whose sum these are, (C,) or (S, C), each of which is 0 but at steps that are alike."""
    if gain.ndim < 2:
        return [gain]
    different = np.unique(gain[gain.any(axis=1)], axis=0)
    few = len(different) <= MOST_BIASES_IN_TIME
    return [gain * (gain == row).all(axis=1)[:, None] for row in different] if few else [gain]


def _of_single_places(synapses: Synapses) -> bool:
    """True of spikes, and of weights that see one place each: a border is one of spikes."""
    kernel = synapses.weight
    if kernel is None or kernel.ndim == 2:
        return True
    return kernel.shape[2:] == synapses.stride == (1, 1)


def _biases(folded: Folded, weight: NDArray[Any], bias: Any) -> NDArray[np.float64]:
    """The bias that (out, C, …) weights make of theirs, and their own (out,)."""
    carried_bias = np.array(0.0)
    if folded.bias.any():
        channels = folded.shape[0]
        sums = weight.reshape(len(weight), channels, -1).sum(axis=2, dtype=np.float64)
        carried_bias = np.broadcast_to(folded.bias, (*folded.bias.shape[:-1], channels)) @ sums.T
    return carried_bias if bias is None else carried_bias + np.asarray(bias, np.float64)


def _scaled_inputs(
    synapses: Synapses, weight: NDArray[Any], channels: int
) -> tuple[Synapses, NDArray[Any]]:
    """Synapses without a gain of channels, and (out, C, …) weights behind them times it."""
    gain, of_steps = synapses.gain, np.array(1.0)
    if gain.ndim == 2:
        passing = gain.any(axis=1)
        rows = gain[passing]
        if (gain == gain[:, :1]).all():
            return replace(synapses, gain=gain[:, :1]), weight
        finding = "sees channels whose gains differ from step to step, each in its own way"
        expect((rows == rows[0]).all(), finding, "one gain of a step, or gains behind it")
        gain, of_steps = rows[0], passing[:, None].astype(np.float64)
    if synapses.weight is None and not gain.ndim:
        return synapses, weight
    scaled = weight.reshape(len(weight), channels, -1) * np.broadcast_to(gain, channels)[:, None]
    return replace(synapses, gain=of_steps), scaled.reshape(weight.shape)


def _linear(folded: Folded, linear: Linear) -> Folded:
    weight, shape = linear.weight, folded.shape
    flat = not linear.flat or shape[1:] == (1, 1)
    expect(
        flat,
        f"weight has shape {weight.shape} behind a map {shape}",
        "a Flatten in front of it",
    )
    fits = weight.shape[1] == prod(shape)
    expect(
        fits,
        f"weight has shape {weight.shape}",
        f"{prod(shape)} inputs, of the map {shape} before it",
    )

    def behind(synapses: Synapses) -> Synapses:
        synapses, weight_behind = _scaled_inputs(synapses, weight, shape[0])
        if synapses.order is not None:
            weight_behind = synapses.unordered(
                weight_behind.reshape(len(weight_behind), shape[0], -1)
            ).reshape(len(weight_behind), -1)
        weight_in_front = synapses.weight
        expect(synapses.windows == NO_POOLING, *BEHIND_MAXIMUM)
        if weight_in_front is not None and weight_in_front.ndim == 2:
            weight_behind = weight_behind @ weight_in_front.astype(np.float64)
        elif weight_in_front is not None and (
            weight_in_front.shape[2:] != (1, 1)
            or (*synapses.stride, *synapses.padding) != (1, 1, 0, 0)
        ):
            few = prod(shape) * weight_in_front.shape[1] * prod(synapses.sides) <= MOST_WEIGHTS
            expect(few, *FOLLOWS)
            map_ = weight_in_front.shape[1], *synapses.sides
            weight_behind = weight_behind @ kernels.unrolled(
                weight_in_front.astype(np.float64), map_, synapses.stride, synapses.padding
            )
        elif weight_in_front is not None:
            maps = weight_behind.reshape(len(weight_behind), shape[0], -1)
            sums = np.tensordot(maps, weight_in_front[:, :, 0, 0].astype(np.float64), (1, 0))
            weight_behind = sums.swapaxes(1, 2).reshape(len(weight_behind), -1)
        dense = weight_behind if weight_behind is weight else weight_behind.astype(np.float32)
        folded_synapses = replace(synapses, weight=dense, order=None)
        return replace(folded_synapses, stride=(1, 1), padding=(0, 0))

    return folded.each(behind, shape=(len(weight), 1, 1), bias=_biases(folded, weight, linear.bias))


def _pool(folded: Folded, pool: Pool) -> Folded:
    if pool.kind == "max":
        expect(_apart(folded), "pools a sum by maximum", "one layer, or a concatenation")
        expect(pool.dilation == (1, 1), f"has dilation={pool.dilation}", "1")
        pooled = [
            _maximum(replace(folded, inputs=(synapses,)), pool.windows, pool.of_currents)
            for synapses in folded.inputs
        ]
        return replace(pooled[0], inputs=tuple(chain.from_iterable(part.inputs for part in pooled)))
    window, stride, padding = pool.windows
    total = prod(window) if pool.kind == "sum" else 1
    if window == stride == (1, 1):
        return folded
    in_front, (height, width) = (
        all(synapses.weight is None for synapses in folded.inputs),
        folded.shape[1:],
    )
    if any(padding) or (in_front and (window != stride or height % window[0] or width % window[1])):
        uniform = np.full((1, 1, *window), total / prod(window), np.float32)
        return _conv(folded, Conv(uniform, None, stride, kernels.around(padding, window), groups=0))
    averaged = _averaged(folded, pool.windows)
    return (
        averaged if total == 1 else averaged.scaled(np.full(folded.shape[0], total))
    )  # which the next weights take up


def _apart(folded: Folded) -> bool:
    """True if every channel has its currents from one input alone."""
    first, *further = folded.inputs
    if not further:
        return first.weight is not None or len(first.sources) == 1
    weights = [synapses.weight for synapses in folded.inputs if synapses.weight is not None]
    driven = sum(weight.reshape(len(weight), -1).any(axis=1).astype(int) for weight in weights)
    return len(weights) == len(folded.inputs) and bool(np.all(driven <= 1))


def _averaged(folded: Folded, windows: Windows) -> Folded:
    """Average pooling without a border, of spikes that its windows cover once, or of currents."""
    window, stride, _ = windows
    channels, height, width = folded.shape
    in_front = [synapses.weight is None for synapses in folded.inputs]
    expect(all(in_front) or not any(in_front), "averages a sum of spikes and currents", "either")

    def of_spikes(synapses: Synapses) -> Synapses:
        once = synapses.pool == (1, 1) or synapses.pooling == "average"
        kind = "maximum" if synapses.pooling == "max" else "sum"
        expect(once, f"averages what was pooled by {kind}", "one kind of pooling")
        _expect_places(synapses)
        return replace(synapses, pool=_times(synapses.pool, window), pooling="average")

    def of_currents(synapses: Synapses) -> Synapses:
        assert synapses.weight is not None
        expect(synapses.weight.ndim == 4, "pools a dense layer", "a convolution in front of it")
        expect(
            synapses.windows == NO_POOLING,
            "averages currents pooled by maximum",
            "one kind of pooling",
        )
        weight = kernels.averaged(synapses.weight, synapses.stride, window)
        return replace(synapses, weight=weight, stride=_times(synapses.stride, stride))

    if all(in_front):
        return folded.each(of_spikes, shape=(channels, height // window[0], width // window[1]))
    return folded.each(of_currents, shape=(channels, *windows.fit((height, width))))


def _averaged_maps(folded: Folded) -> Folded:
    """The mean of the currents of each channel: behind a maximum their sum, of single places that
    of the spikes.
    """
    channels, *sides = folded.shape
    window, places = (sides[0], sides[1]), prod(sides)

    def averaged(synapses: Synapses) -> Synapses:
        if synapses.windows != NO_POOLING:
            return replace(synapses, current_sum=True, gain=synapses.gain / places)
        single_places = (
            synapses.weight is not None
            and synapses.weight.shape[2:] == synapses.stride == (1, 1)
            and synapses.padding == (0, 0)
        )
        if single_places and synapses.pooling == "average":
            return replace(synapses, pool=_times(synapses.pool, window))
        return _averaged(replace(folded, inputs=(synapses,)), Windows(window, window)).inputs[0]

    return folded.each(averaged, shape=(channels, 1, 1))


def _maximum(folded: Folded, windows: Windows, of_currents: bool = False) -> Folded:
    """Maximum pooling: of spikes, which is their OR, or of the currents of a convolution, also of
    one that only chooses channels where `of_currents`.
    """
    (synapses,), (channels, *sides) = folded.inputs, folded.shape
    shape = (channels, *windows.fit(sides))
    if synapses.weight is None:
        if windows != Windows(windows.sides, windows.sides) or any(np.mod(sides, windows.sides)):
            geometries = zip(sides, shape[1:], *windows, strict=True)
            rows, columns = (
                _rows_of_windows(range(count), side, *geometry)
                for side, count, *geometry in geometries
            )
            moved, apart = _taken(folded, rows, columns), windows.sides
            return replace(_maximum(moved, Windows(apart, apart)), shape=shape)
        _expect_places(synapses)
        expect(
            synapses.pool == (1, 1) or synapses.pooling == "max",
            "pools averages",
            "one kind of pooling",
        )
        expect((synapses.gain > 0).all(), "pools spikes scaled by a negative number", "spikes")
        return replace(
            folded,
            shape=shape,
            inputs=(replace(synapses, pool=_times(synapses.pool, windows.sides), pooling="max"),),
        )
    expect(synapses.weight.ndim == 4, "pools a dense layer", "a convolution in front of it")
    if not of_currents and _chooses(synapses):
        spikes = replace(synapses, weight=None, gain=np.array(1.0))
        of_spikes = Folded((synapses.weight.shape[1], *sides), (spikes,))
        (pooled,) = _maximum(of_spikes, windows).inputs
        pooled_in_front = replace(
            pooled, weight=synapses.weight, gain=synapses.gain, sides=shape[1:]
        )
        return replace(folded, shape=shape, inputs=(pooled_in_front,))
    signs = np.where(np.atleast_2d(synapses.gain + np.zeros(channels)) < 0, -1, 1)
    sign = signs[0]
    expect(
        (signs == sign).all(),
        "pools what is scaled by a negative number at some steps alone",
        "one sign",
    )
    once = synapses.windows == NO_POOLING or (sign > 0).all()
    expect(once, "pools a maximum that was scaled by a negative number", "one pooling")
    weight = synapses.weight * sign[:, None, None, None].astype(synapses.weight.dtype)
    joined = _joined(synapses.windows, windows)
    if synapses.windows.stride == (1, 1):
        (y, x), _, (above, beside) = synapses.windows
        joined = joined.within((sides[0] + y - 1 - 2 * above, sides[1] + x - 1 - 2 * beside))
    pooled = replace(synapses, windows=joined, weight=weight, gain=synapses.gain * sign)
    return replace(folded, shape=shape, inputs=(pooled,))


def _chooses(synapses: Synapses) -> bool:
    """True if each channel is one of those in front, times no negative number, as where they are
    joined: its maximum is that of the spikes.
    """
    kernel = synapses.weight
    single = kernel is not None and _of_single_places(synapses) and synapses.padding == (0, 0)
    averaged = synapses.pooling == "average" and synapses.pool != (1, 1)
    if not single or averaged or synapses.sees_ones or synapses.windows != NO_POOLING:
        return False
    assert kernel is not None
    chosen = bool(np.isin(kernel, (0, 1)).all()) and kernel.sum(axis=1).max() <= 1
    return chosen and bool((synapses.gain >= 0).all())


def _joined(in_front: Windows, following: Windows) -> Windows:
    """The windows of a maximum of maxima."""
    if in_front == NO_POOLING:
        return following
    gaps = any(step > side for step, side in zip(in_front.stride, in_front.sides, strict=True))
    (down, right), (y, x) = in_front.stride, in_front.sides
    as_many_windows = in_front.stride == (1, 1) and _times(in_front.padding, (2, 2)) == (
        y - 1,
        x - 1,
    )  # as many windows as places
    fits = not gaps and (as_many_windows or following.padding == (0, 0))
    expect(fits, "pools a maximum again", "one pooling, or windows side by side")
    sides = y + (following.sides[0] - 1) * down, x + (following.sides[1] - 1) * right
    above, beside = np.add(in_front.padding, following.padding).tolist()
    return Windows(sides, _times(in_front.stride, following.stride), (above, beside))


def _expect_places(synapses: Synapses) -> None:
    stayed = synapses.order is None or synapses.order.channels
    expect(
        stayed,
        "sees a map whose places are moved",
        "places that stay, of channels in any order",
    )


def _times(first: Pair, second: Pair) -> Pair:
    return first[0] * second[0], first[1] * second[1]


FOLDS: dict[type, Callable[[Folded, Any], Folded]] = {
    Conv: _conv,
    DeclaredShape: _declared,
    Flatten: _flatten,
    Linear: _linear,
    Mix: _mix,
    Order: _order,
    Pad: _padded,
    Pool: _pool,
    Repeat: lambda folded, repeat: folded,  # left to gated, which knows the larger map
    Scale: _scaled,
    Shift: _shifted,
    Silent: _silent,
    Spread: _spread,
    Take: lambda folded, take: _taken(folded, take.rows, take.columns),
    Total: _total,
}
