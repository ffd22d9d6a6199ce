"""Linear operations between neurons as inputs of a layer: one kernel, one gain, one bias.

    W (s·x + b) = (W s)·x + W b        where W pads, W b differs from place to place:
                                       one more input, see `bordered`
    max(g·x) = |g| · max(sign(g)·x)    so that kernels whose gain is negative change their sign

Averaging what a convolution gives is a larger convolution; two convolutions are one, where no
border lies between them. A function here folds one operation, whatever stands in front of it;
_inputs.py says what becomes of each kind of input. What cannot be folded is refused by a
NetworkError that names where it is, what it follows, and why.
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

from spikesam.backends.network import NetworkError, Shape, Source, Windows
from spikesam.backends.network.synapses.synapse import WHOLE, repeated
from spikesam.common.errors import at
from spikesam.pipeline.imports.road import kernels
from spikesam.pipeline.imports.road._inputs import (
    FoldedConv,
    FoldedInput,
    FoldedProducts,
    FoldedSpikes,
    refused,
)
from spikesam.pipeline.imports.road._places import border
from spikesam.pipeline.imports.road.constants import per_channel, plus, times
from spikesam.pipeline.imports.road.kernels import MOST_WEIGHTS
from spikesam.pipeline.imports.road.operations import (
    NOTHING,
    ByStep,
    Convolve,
    DeclaredShape,
    Flatten,
    Junction,
    Linear,
    Mix,
    Operation,
    Order,
    Pad,
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

MOST_BIASES_IN_TIME = 16  # of a map that is padded, which differ from step to step
MAKERS = Convolve, Linear, Mix, Pool, Total  # operations that give a map of their own
CONSTANTS = Scale, Shift, Silent  # operations that change gains and biases alone
ONE_EACH = np.ones((1, 1, 1, 1), np.float32)


@dataclass(frozen=True, eq=False)
class Folded:
    """The inputs of a map of currents (C, H, W), which are summed, and their bias: (), (C,), or of
    each step (T, C).
    """

    shape: Shape
    inputs: tuple[FoldedInput, ...]
    bias: NDArray[np.float64] = field(default_factory=lambda: np.array(0.0))
    gate: bool = False

    def changed(self, change: Callable[[FoldedInput], FoldedInput], **changes: Any) -> Folded:
        """With every input changed."""
        return replace(self, inputs=tuple(map(change, self.inputs)), **changes)

    def scaled(self, factor: Any) -> Folded:
        """Everything times a number, or one for each channel."""
        bias = times(self.bias, factor)
        return self.changed(lambda folded_input: folded_input.scaled(factor), bias=bias)

    @property
    def of_spikes(self) -> bool:
        """True if no input has weights."""
        return not any(folded_input.weights for folded_input in self.inputs)


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
    spikes = FoldedSpikes(sources=(Source(source, path.lag or 0, path.sign),))
    return Folded(shapes[source], (spikes,))


def fold_one(folded: Folded, operation: Operation) -> Folded:
    """The fold of a path, and one more operation."""
    if isinstance(operation.what, ByStep):
        return _by_step(folded, operation)
    with at(operation.label):
        folded_behind = _folded_behind(folded, operation.what)
    if not isinstance(operation.what, MAKERS):
        return folded_behind
    return folded_behind.changed(
        lambda folded_input: replace(folded_input, made_by=operation.label)
    )


def _folded_behind(folded: Folded, kind: Any) -> Folded:
    """The fold of a path, and of an operation of this kind, which is the same at every step."""
    fold_kind = FOLDS.get(type(kind))
    if fold_kind is None:
        raise NetworkError("stands between neurons, expected at the end")
    for folded_input in folded.inputs:
        if folded_input.refusal and not isinstance(kind, CONSTANTS):
            raise refused(*folded_input.refusal)
    return fold_kind(folded, kind)


def sum_of(branches: Sequence[Folded], names: Sequence[str]) -> Folded:
    """A sum: what was summed before comes first, and spikes that pass through the same are one
    input.
    """
    branches = _levelled(branches)
    total = together(branches, names)
    inputs: list[FoldedInput] = []
    ordered = sorted(branches, key=lambda branch: len(branch.inputs), reverse=True)
    for folded_input in chain.from_iterable(branch.inputs for branch in ordered):
        for place, earlier in enumerate(inputs):
            if merged := earlier.with_sources_of(folded_input):
                inputs[place] = merged
                break
        else:
            inputs.append(folded_input)
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
    placed: list[FoldedInput] = []
    bias = np.array(0.0)
    first_channel = 0
    for branch in branches:
        placed += [
            folded_input.placed(branch.shape, first_channel, channels)
            for folded_input in branch.inputs
        ]
        next_channel = first_channel + branch.shape[0]
        if branch.bias.any():
            placed_bias = np.zeros((*branch.bias.shape[:-1], channels))
            placed_bias[..., first_channel:next_channel] = branch.bias
            bias = plus(bias, placed_bias)
        first_channel = next_channel
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
    names = " and ".join(branch.last for branch in junction.branches)
    factors: list[FoldedSpikes] = []
    for branch in branches:
        first, *further = branch.inputs
        if further or not isinstance(first, FoldedSpikes) or not first.in_order:
            raise refused(f"multiplies {names}", "spikes of neurons, all of them in their order")
        factors.append(first)
    shapes = [branch.shape for branch in branches]
    listed_shapes = " and ".join(map(str, shapes))
    alike = shapes[0] == shapes[len(shapes) // 2] and shapes[0][1:] == shapes[-1][1:]
    expect(alike, f"multiplies maps (C, H, W) {listed_shapes}", "q, k and v of one shape")
    counts = [len(factor.sources) for factor in factors]
    even = counts == [1] or (len(counts) == 3 and len(set(counts)) == 1)
    finding = f"multiplies sums of {' and '.join(map(str, counts))} layers, which are {names}"
    expect(even, finding, "as many in q, k and v")
    channels, height, width = shapes[-1]
    shape = channels if len(branches) == 3 else channels // 3, height, width
    for channels_of_factor in (shapes[0][0], channels):
        expect(
            channels_of_factor % junction.heads == 0,
            f"has {junction.heads} heads of {channels_of_factor} channels",
            "a divisor",
        )
    sources = tuple(chain.from_iterable(factor.sources for factor in factors))
    return Folded(shape, (FoldedProducts(sources=sources, heads=junction.heads),), gate=True)


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
    """The numbers of times that channels, rows and columns of a map are repeated, so that its
    neurons stand at those of another.
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
    """A map of some rows and columns of another one, of which -1 are zeros."""
    return folded.changed(
        lambda folded_input: folded_input.taken(rows, columns, folded.shape),
        shape=(folded.shape[0], len(rows), len(columns)),
    )


def _padded(folded: Folded, pad: Pad) -> Folded:
    """A border of zeros as a convolution of single places; or one that repeats places."""
    if pad.mode == "zeros":
        return _conv(folded, Convolve(ONE_EACH, padding=pad.padding, groups=0))
    sides = zip(folded.shape[1:], pad.padding, strict=True)
    rows, columns = (border(side, padding, pad.mode) for side, padding in sides)
    return _taken(folded, rows, columns)


def _spread(folded: Folded, spread: Spread) -> Folded:
    """Spikes repeated, in front of any weights; or places that single ones made currents of."""
    factors = spread.factors
    copies, down, across = factors
    if factors == WHOLE:
        return folded
    if copies == 1 and any(
        folded_input.rows or folded_input.columns for folded_input in folded.inputs
    ):
        sides = zip(folded.shape[1:], (down, across), strict=True)
        rows, columns = (np.arange(side).repeat(factor).tolist() for side, factor in sides)
        return _taken(folded, rows, columns)

    def copied(of_channels: NDArray[np.float64]) -> NDArray[np.float64]:
        shared = not of_channels.ndim or of_channels.shape[-1] == 1
        return of_channels if shared else of_channels.repeat(copies, -1)

    def behind(folded_input: FoldedInput) -> FoldedInput:
        return replace(folded_input.repeated(factors), gain=copied(folded_input.gain))

    channels, height, width = folded.shape
    shape = channels * copies, height * down, width * across
    return Folded(shape, folded.changed(behind).inputs, copied(folded.bias))


def _mix(folded: Folded, mix: Mix) -> Folded:
    """A convolution of single places; without places, as many small linear layers."""
    weight = np.asarray(mix.weight, np.float32)
    if prod(folded.shape[1:]) == mix.places:
        return _conv(folded, Convolve(weight[:, :, None, None], mix.bias))
    bias = None if mix.bias is None else np.repeat(mix.bias, mix.places)
    return _linear(folded, Linear(np.kron(weight, np.eye(mix.places, dtype=np.float32)), bias))


def _total(folded: Folded, total: Total) -> Folded:
    """Pooling of whole maps; without places, a linear layer."""
    channels, height, width = folded.shape
    sides = height, width
    if height * width != total.places:
        share = np.float32(1 / total.places if total.kind == "average" else 1)
        shares = np.full((1, total.places), share)
        maps = np.eye(prod(folded.shape) // total.places, dtype=np.float32)
        return _linear(folded, Linear(np.kron(maps, shares)))
    if total.kind == "sum" and all(map(_are_spikes, folded.inputs)):  # whole numbers stay exact
        pooled = _averaged(folded, Windows(sides, sides))
        return pooled.changed(
            lambda folded_input: replace(folded_input, pooling="sum"),
            bias=pooled.bias * total.places,
        )
    if folded.of_spikes:
        return _pool(folded, Pool(total.kind, Windows(sides, sides)))
    pooled = folded.changed(
        lambda folded_input: folded_input.average_of_map(sides), shape=(channels, 1, 1)
    )
    return pooled if total.kind == "average" else pooled.scaled(np.full(channels, total.places))


def _are_spikes(folded_input: FoldedInput) -> bool:
    """True of spikes that nothing has pooled."""
    return isinstance(folded_input, FoldedSpikes) and folded_input.pool == (1, 1)


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
        of_this_step = Folded(folded.shape, (FoldedSpikes(sources=()),))
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

    def behind(folded_input: FoldedInput) -> FoldedInput:
        shortest = min(source.shortest for source in folded_input.sources)
        arrives = 0 if folded_input.sees_ones else shortest
        return folded_input if last < arrives else folded_input.scaled(passes)

    bias = times(folded.bias, passes) if folded.bias.any() else folded.bias
    return folded.changed(behind, bias=bias)


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
    if shape[1:] == (1, 1):
        return folded
    flat = folded.changed(lambda folded_input: folded_input.flattened(shape))
    return _chosen(flat, np.arange(prod(shape)), False)


def _chosen(folded: Folded, numbers: NDArray[Any], by_channel: bool) -> Folded:
    """Channels in another order where `by_channel`, else neurons without places."""
    _, height, width = folded.shape
    neurons = 1 if by_channel else height * width

    def choose(of_channels: NDArray[np.float64]) -> NDArray[np.float64]:
        if not of_channels.ndim or of_channels.shape[1:] == (1,):
            return of_channels
        return of_channels.repeat(neurons, axis=-1)[..., numbers]

    def chosen(folded_input: FoldedInput) -> FoldedInput:
        chosen_input = folded_input.chosen(numbers, by_channel, folded.shape)
        return replace(chosen_input, gain=choose(folded_input.gain))

    sides = (height, width) if by_channel else (1, 1)
    return folded.changed(chosen, shape=(len(numbers), *sides), bias=choose(folded.bias))


def _conv(folded: Folded, conv: Convolve) -> Folded:
    """Fold a convolution into the synapses in front of it, so that both are one.

    Parameters
    ----------
    folded : the inputs, bias and shape (C, H, W) that the path has in front of it
    conv : its kernels, biases and geometry as torch has them; of 0 groups one kernel for every
        channel

    Returns
    -------
    The path's inputs, bias and shape behind it. Zeros around a map are padding where the synapses
    in front see single places; elsewhere rows and columns are taken that hold them.
    """
    _expect_fitting_conv(folded, conv)
    channels = folded.shape[0]
    weight = conv.weight if conv.groups else conv.weight.repeat(channels, axis=0)
    weight = kernels.ungrouped(weight, conv.groups or channels)
    weight = kernels.undilated(weight, conv.dilation)
    padding = conv.padding
    if np.any(padding):
        folded = bordered(folded) if folded.bias.any() else folded
        if not all(folded_input.single_places for folded_input in folded.inputs):
            rows, columns = (
                border(side, borders, "zeros")
                for side, borders in zip(folded.shape[1:], padding, strict=True)
            )
            folded, padding = _taken(folded, rows, columns), ((0, 0), (0, 0))
    kernel, even_padding = kernels.evenly_padded(weight, padding)
    rows_behind, columns_behind = (
        (side + 2 * borders - length) // step + 1
        for side, borders, length, step in zip(
            folded.shape[1:], even_padding, kernel.shape[2:], conv.stride, strict=True
        )
    )
    return folded.changed(
        lambda folded_input: folded_input.convolved(
            kernel, conv.stride, even_padding, folded.shape
        ),
        shape=(len(kernel), rows_behind, columns_behind),
        bias=_biases(folded, weight, conv.bias),
    )


def _expect_fitting_conv(folded: Folded, conv: Convolve) -> None:
    """Refuse a convolution whose kernels do not fit the map in front, or are too many."""
    for folded_input in folded.inputs:
        if isinstance(folded_input, FoldedSpikes):
            folded_input.expect_places()
    channels, *sides = folded.shape
    groups, outputs = conv.groups or channels, len(conv.weight) if conv.groups else channels
    makers = {folded_input.made_by for folded_input in folded.inputs if folded_input.made_by}
    of_maker = f" of {makers.pop()}" if len(makers) == 1 else ""
    fits_channels = conv.weight.shape[1] * groups == channels and not outputs % groups
    expect(
        conv.weight.size and fits_channels,
        f"weight has shape {conv.weight.shape} in {groups} groups",
        f"one for {folded.shape}, the map before it{of_maker}",
    )
    shared = conv.groups or len(conv.weight) == 1
    expect(shared, f"has {len(conv.weight)} kernels for every channel alone", "one for all")
    extent = kernels.extent(conv.weight.shape[2:], conv.dilation)
    fits_map = all(
        length <= side + sum(borders)
        for length, side, borders in zip(extent, sides, conv.padding, strict=True)
    )
    finding = (
        f"a kernel of {extent} does not fit its input {folded.shape} with padding {conv.padding}"
    )
    expect(fits_map, finding, "a map that holds it")
    few = outputs * channels * prod(extent) <= MOST_WEIGHTS
    expect(few, f"more than {MOST_WEIGHTS:,} weights without groups and dilation", "fewer")


def bordered(folded: Folded) -> Folded:
    """One more input for the bias of a map that is padded next: weights of ones, which see 1 at
    every place.
    """
    first = folded.inputs[0]
    channels, sides = folded.shape[0], folded.shape[1:]
    ones = FoldedConv(
        sources=first.sources[:1],
        weight=np.ones((channels, 1, 1, 1), np.float32),
        pool=first.pool,
        sees_ones=True,
        sides=sides,
        spread=(1, *first.spread[1:]),
    )
    if first.rows or first.columns or not first.pointwise:
        rows, columns = ((0,) * side for side in sides)  # as many as there are places
        ones = replace(ones, pool=(1, 1), spread=WHOLE, rows=rows, columns=columns)
    gain = np.broadcast_to(folded.bias, (*folded.bias.shape[:-1], channels))
    biases = [ones.scaled(numbers) for numbers in _one_of_a_time(gain)]
    return Folded(folded.shape, (*folded.inputs, *biases))


def _one_of_a_time(gain: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Gains whose sum these are, (C,) or (S, C), each of which is 0 but at steps that are alike."""
    if gain.ndim < 2:
        return [gain]
    different = np.unique(gain[gain.any(axis=1)], axis=0)
    few = len(different) <= MOST_BIASES_IN_TIME
    return [gain * (gain == row).all(axis=1)[:, None] for row in different] if few else [gain]


def _biases(folded: Folded, weight: NDArray[Any], bias: Any) -> NDArray[np.float64]:
    """The bias that (out, C, …) weights make of theirs, and their own (out,)."""
    carried_bias = np.array(0.0)
    if folded.bias.any():
        channels = folded.shape[0]
        sums = weight.reshape(len(weight), channels, -1).sum(axis=2, dtype=np.float64)
        carried_bias = np.broadcast_to(folded.bias, (*folded.bias.shape[:-1], channels)) @ sums.T
    return carried_bias if bias is None else carried_bias + np.asarray(bias, np.float64)


def _linear(folded: Folded, linear: Linear) -> Folded:
    weight, shape = linear.weight, folded.shape
    flat = not linear.flat or shape[1:] == (1, 1)
    finding = f"weight has shape {weight.shape}"
    expect(flat, f"{finding} behind a map {shape}", "a Flatten in front of it")
    fits = weight.shape[1] == prod(shape)
    expect(fits, finding, f"{prod(shape)} inputs, of the map {shape} before it")
    return folded.changed(
        lambda folded_input: folded_input.multiplied(weight, shape),
        shape=(len(weight), 1, 1),
        bias=_biases(folded, weight, linear.bias),
    )


def _pool(folded: Folded, pool: Pool) -> Folded:
    if pool.kind == "max":
        return _maximum(folded, pool)
    window, stride, padding = pool.windows
    if window == stride == (1, 1):
        return folded
    factor = prod(window) if pool.kind == "sum" else 1
    side_by_side = window == stride and not any(np.mod(folded.shape[1:], window))
    if any(padding) or (folded.of_spikes and not side_by_side):
        uniform = np.full((1, 1, *window), factor / prod(window), np.float32)
        return _conv(
            folded, Convolve(uniform, None, stride, kernels.around(padding, window), groups=0)
        )
    averaged = _averaged(folded, pool.windows)
    if factor == 1:
        return averaged
    return averaged.scaled(np.full(folded.shape[0], factor))  # which the next weights take up


def _averaged(folded: Folded, windows: Windows) -> Folded:
    """Average pooling without a border, of spikes that its windows cover once, or of currents."""
    alike = folded.of_spikes or all(folded_input.weights for folded_input in folded.inputs)
    expect(alike, "averages a sum of spikes and currents", "either")
    channels, height, width = folded.shape
    return folded.changed(
        lambda folded_input: folded_input.averaged(windows),
        shape=(channels, *windows.fit((height, width))),
    )


def _maximum(folded: Folded, pool: Pool) -> Folded:
    """Maximum pooling of spikes or of currents, of which each channel has one input."""
    expect(_apart(folded), "pools a sum by maximum", "one layer, or a concatenation")
    expect(pool.dilation == (1, 1), f"has dilation={pool.dilation}", "1")
    channels, *sides = folded.shape
    return folded.changed(
        lambda folded_input: folded_input.maximum(pool.windows, folded.shape, pool.of_currents),
        shape=(channels, *pool.windows.fit(sides)),
    )


def _apart(folded: Folded) -> bool:
    """True if every channel has its currents from one input alone."""
    first, *further = folded.inputs
    if not further:
        return bool(first.weights) or len(first.sources) == 1
    weights = list(chain.from_iterable(folded_input.weights for folded_input in folded.inputs))
    driven = sum(weight.reshape(len(weight), -1).any(axis=1).astype(int) for weight in weights)
    return len(weights) == len(folded.inputs) and bool(np.all(driven <= 1))


FOLDS: dict[type, Callable[[Folded, Any], Folded]] = {
    Convolve: _conv,
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
