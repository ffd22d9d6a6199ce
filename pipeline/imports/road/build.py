"""A network of units and an answer: its layers, what each reads, and the steps by which they stand
later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    DEFAULT_RANGE,
    LIF,
    Encoder,
    FixedLIF,
    Identity,
    Input,
    Layer,
    Network,
    NetworkError,
    Neuron,
    Readout,
    ReLU,
    Shape,
    Source,
    Windows,
)
from spikesam.backends.network.synapses.synapse import WHOLE
from spikesam.common.errors import InputError, at
from spikesam.pipeline.imports.road._fold import Folded, beginning, fold, fold_one, together
from spikesam.pipeline.imports.road._inputs import FoldedDense, FoldedInput, Weights, refused
from spikesam.pipeline.imports.road.constants import per_channel
from spikesam.pipeline.imports.road.kernels import MOST_WEIGHTS, weights_of_windows
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    Answer,
    ByStep,
    Convolve,
    Integral,
    Junction,
    Operation,
    Path,
    Pool,
    Spread,
    TimeSum,
    Unit,
    expect,
)
from spikesam.recordings.schema import check_cap

# Neurons that repeat what arrives. The threshold lies between 0 and 1, and above 1/2: the surrogate
# gradient of a membrane of 1 is 0 at 1/2, so that no gradient would pass. Without the reset to
# zero, what is subtracted would hide the next spike.
REPEATING = LIF(0.0, 0.75, reset="zero")
# neurons that repeat spikes for an answer that comes from several, or from earlier steps
ANSWER = "/answer"
# behind the name of a unit: neurons that fire at every step, for a bias in front of a border
ONES = "/bias"
MOST_BIASES = 1 << 28  # of one layer, over all steps
SILENCE = 1 << 17  # thresholds that such a bias is below zero: 2²⁹ in fixed point
STEPS = "has other numbers at every step in front of the answer", "the same numbers"


@dataclass(frozen=True, eq=False)
class Built:
    """A network, and what it was built of; `biases` are (C,) or rows (S, C), before it is known
    when they act.
    """

    network: Network  # the network
    units: tuple[Unit, ...]  # one for each of its layers; the last ones give the answer
    neurons: tuple[Neuron, ...]  # their equations, with numbers by channel
    biases: tuple[NDArray[np.float64], ...]
    shifts: tuple[int, ...]  # by how many steps the bits of each layer stand later in the network
    answer: FoldedAnswer  # behind the last layer


def build(
    units: Sequence[Unit],
    answer: Answer,
    shape: Shape,
    window: int | None,
    *,
    timesteps: int | None = None,
    encoder: Encoder = "spikes",
    input_range: float = DEFAULT_RANGE,
    pixel: float = 1,
    in_order: bool = False,
) -> Built:
    """The network of units and an answer; 1 in the input's weights is `pixel`, and layers fire for
    `window` steps.
    """
    steady = any(isinstance(unit.neuron, ReLU) for unit in units)  # no layer costs a step
    ordered, folded, end = _arranged(units, answer, shape, window or 1)
    reads = {
        name: [source for folded_input in drives.inputs for source in folded_input.sources]
        for name, drives in folded.items()
    }
    places, last = {unit.name: unit.label for unit in ordered}, ordered[-1].name
    depth = depths(reads, places)
    if window is not None:  # in front of a delay layers may stand later than what is behind it
        as_deep = depths(reads, places, {last: max(depth.values())})
        depth = as_deep if as_deep[last] == max(as_deep.values()) else depth
    shifts = tuple(depth[unit.name] - unit.late for unit in ordered)
    steps = 1 if steady else (window or 0) + shifts[-1] if timesteps is None else timesteps
    check_cap("timesteps", steps, "T")
    names = {INPUT: INPUT} | {unit.name: unit.layer for unit in ordered}
    layers: list[Layer] = []
    neurons: list[Neuron] = []
    biases: list[NDArray[np.float64]] = []
    for unit in ordered:
        layer_depth, drives = depth[unit.name], folded[unit.name]
        neuron, per_channel_ones, inputs = _neuron(unit, drives.shape), np.ones(drives.shape[0]), []
        for folded_input in _inputs(drives, encoder, in_order):
            sources = tuple(
                Source(names[source.layer], 1, source.sign)
                if steady
                else replace(
                    source.later(layer_depth - depth[source.layer]), layer=names[source.layer]
                )
                for source in folded_input.sources
            )
            if folded_input.sources[0].layer == INPUT and pixel != 1:
                folded_input = folded_input.weighed(lambda weight: pixel * weight)
            earlier_layers = layers[-1].inputs if layers else ()
            earlier_weights = [
                tensor for earlier in earlier_layers for tensor in earlier.synapse.tensors.values()
            ]
            synapse = _sharing(folded_input, earlier_weights).synapse()
            gain = rows_later(
                np.atleast_2d(folded_input.gain * per_channel_ones), layer_depth - 1, steps
            )
            try:
                inputs.append(Input(synapse, sources, gain))
            except InputError as error:
                raise NetworkError(f"{unit.label}: layer {unit.layer!r}: {error}") from None
        neurons.append(neuron)
        biases.append(np.atleast_2d((drives.bias + neuron.bias) * per_channel_ones))
        bias = biases[-1]
        if not isinstance(neuron, ReLU):
            bias = delayed(bias, layer_depth - 1, steps, window, neuron.threshold)
        if isinstance(neuron, FixedLIF):  # all its numbers are integers
            bias = bias.astype(np.int64)
            inputs = [
                replace(layer_input, gain=layer_input.gain.astype(np.int64))
                for layer_input in inputs
            ]
        try:
            layers.append(Layer(unit.layer, inputs, replace(neuron, bias=bias)))
        except InputError as error:
            raise NetworkError(f"{unit.label}: {error}") from None
    fixed = any(isinstance(neuron, FixedLIF) for neuron in neurons)
    weight, silent = (
        end.weight.astype(np.int8 if fixed else np.float32),
        0 if steady else shifts[-1],
    )
    bias = delayed(end.bias, silent, steps, last=end.last)
    readout = Readout(
        weight, answer.scale, end.leak, bias.astype(np.int32 if fixed else np.float64)
    )
    network = Network(shape, steps, tuple(layers), readout, encoder, input_range)
    return Built(
        with_window(network, window, shifts),
        tuple(ordered),
        tuple(neurons),
        tuple(biases),
        shifts,
        end,
    )


def _arranged(
    units: Sequence[Unit], answer: Answer, shape: Shape, steps: int
) -> tuple[list[Unit], dict[str, Folded], FoldedAnswer]:
    """Units in the order of the layers, with those of ones and of the answer; what drives each, by
    name; the answer.
    """
    shapes = _shapes(units, shape)
    folded: dict[str, Folded] = {}
    ordered: list[Unit] = []
    earlier_weights: tuple[Weights, ...] = ()
    for unit in units:
        drives = _folded(unit, shapes)
        drives = drives.changed(partial(_sharing, weights=earlier_weights))
        earlier_weights = tuple(
            chain.from_iterable(folded_input.weights for folded_input in drives.inputs)
        )
        fits = unit.shape is None or prod(unit.shape) == prod(drives.shape)
        finding = f"has {prod(unit.shape or ())} neurons, driven by {prod(drives.shape)} currents"
        with at(unit.label):
            expect(fits, finding, "one for each")
        shapes[unit.name] = drives.shape
        folded[unit.name], sources_of_ones = _with_ones(unit, drives, shapes)
        folded |= {
            source_unit.name: _folded(source_unit, shapes) for source_unit in sources_of_ones
        }
        ordered += [*sources_of_ones, unit]
    end = fold_answer(answer.path, shapes, steps)
    last = end.sources[0]
    if len(end.sources) > 1 or last.delay != {unit.name: unit.late for unit in units}.get(
        last.layer
    ):
        ordered.append(_gathered(end.sources, _repeating(units[0])))
        folded[ANSWER] = _folded(ordered[-1], shapes)
    else:
        ordered.sort(key=lambda unit: unit.name == last.layer)
    return ordered, folded, end


def _shapes(units: Sequence[Unit], shape: Shape) -> dict[str, Shape]:
    """(C, H, W) of the input and of all units: as they are known, or as the first path says that
    can be folded.
    """
    shapes = {INPUT: shape} | {unit.name: unit.shape for unit in units if unit.shape}
    waiting = [unit for unit in units if not unit.shape]
    while waiting:
        left = []
        for unit in waiting:
            path = next(filter(None, (_of_known(path, shapes) for path in unit.paths)), None)
            if path is None:
                left.append(unit)
            else:
                shapes[unit.name] = fold(path, shapes).shape
        if len(left) == len(waiting):
            raise NetworkError(f"{left[0].label}: nothing on the way from the input is read there")
        waiting = left
    return shapes


def _of_known(path: Path, shapes: Mapping[str, Shape]) -> Path | None:
    """A path without branches of sums whose shape is not known yet; None if nothing is left."""
    source = path.source
    if not isinstance(source, Junction):
        return path if source in shapes else None
    branches = tuple(filter(None, (_of_known(branch, shapes) for branch in source.branches)))
    enough = branches if source.kind == "sum" else len(branches) == len(source.branches)
    return replace(path, source=replace(source, branches=branches)) if enough else None


def _folded(unit: Unit, shapes: Mapping[str, Shape]) -> Folded:
    branches = [fold(path, shapes) for path in unit.paths]
    if len(branches) == 1:
        return branches[0]
    with at(unit.label):
        return together(branches, [path.last for path in unit.paths])


def _sharing(folded_input: FoldedInput, weights: Sequence[Weights]) -> FoldedInput:
    """An input with those of some weights that equal its own: planes of the same neurons hold
    theirs once.
    """
    return folded_input.weighed(
        lambda own: next((weight for weight in weights if np.array_equal(weight, own)), own)
    )


def _with_ones(unit: Unit, drives: Folded, shapes: dict[str, Shape]) -> tuple[Folded, list[Unit]]:
    """Inputs of a unit with neurons as the sources of ones, which read what would have the bias;
    and these neurons.
    """
    units_of_ones: dict[Shape, Unit] = {}

    def sourced(folded_input: FoldedInput) -> FoldedInput:
        if not folded_input.sees_ones:
            return folded_input
        source, (down, across) = folded_input.sources[0], folded_input.pool
        channels, height, width = shapes[source.layer]
        _, row_copies, column_copies = folded_input.spread
        shape = (1, height * row_copies // down, width * column_copies // across)
        if shape not in units_of_ones:
            number = len(units_of_ones) + 1 if units_of_ones else ""
            zeros = np.zeros((1, channels, 1, 1), np.float32)
            kinds = (
                Spread(folded_input.spread),
                Pool("average", Windows(folded_input.pool, folded_input.pool)),
                Convolve(zeros),
            )
            operations = tuple(Operation(unit.label, kind) for kind in kinds)
            path = Path(source.layer, operations, source.later(1).delay, source.sign)
            name = f"{unit.name}{ONES}{number}"
            layer = f"{unit.layer}{ONES}{number}".replace("/", "_")
            neuron = replace(_repeating(unit), bias=1.0)
            units_of_ones[shape] = Unit(name, unit.label, layer, neuron, (path,), shape)
            shapes[name] = shape
        return replace(
            folded_input,
            pool=(1, 1),
            spread=WHOLE,
            sources=(Source(units_of_ones[shape].name, 0),),
            sees_ones=False,
        )

    return drives.changed(sourced), list(units_of_ones.values())


def _repeating(unit: Unit) -> Neuron:
    return ReLU() if isinstance(unit.neuron, ReLU) else REPEATING


def _gathered(sources: Iterable[Source], repeating: Neuron) -> Unit:
    """Neurons that repeat the spikes of several sources, one behind the other."""
    label = "the model's output"
    branches = tuple(Path(source.layer, (), source.delay) for source in sources)
    if any(branch.source == INPUT for branch in branches):
        raise NetworkError(
            f"{label} comes from the input, too; expected neurons that fire in between"
        )
    path = Path(Junction(label, "concatenation", branches), lag=None)
    return Unit(ANSWER, label, ANSWER[1:], repeating, (path,))


def _neuron(unit: Unit, shape: Shape) -> Neuron:
    neuron = unit.neuron
    if isinstance(neuron, FixedLIF):
        return neuron
    numbers = ("leak", "threshold", "bias", "reset_by", "synaptic_leak", "min_v_mem", "limit")
    numbers_by_name = {name: getattr(neuron, name, None) for name in numbers}
    with at(unit.label):
        constants: dict[str, Any] = {
            name: per_channel(value, shape, name)
            for name, value in numbers_by_name.items()
            if value is not None
        }
        return replace(neuron, **constants).of_channels(shape[0])


def _inputs(drives: Folded, encoder: Encoder, in_order: bool) -> list[FoldedInput]:
    """The inputs of a layer, of which the first has weights, but for gates and attention, and those
    of a current.
    """
    shape = drives.shape
    inputs = list(drives.inputs)
    if drives.of_spikes and not drives.gate:
        inputs[0] = inputs[0].connected(shape)
    for number, folded_input in enumerate(inputs):
        current = encoder != "spikes" and folded_input.sources[0].layer == INPUT
        if current or not folded_input.has_synapse:
            inputs[number] = folded_input.connected(shape)
    if in_order and inputs[0].weights:
        return inputs
    return sorted(
        inputs,
        key=lambda folded_input: (
            not folded_input.weights,
            folded_input.sources[0].layer != INPUT,
        ),
    )


@dataclass(frozen=True, eq=False)
class FoldedAnswer:
    """r[t] = leak · r[t-1] + weight s[t] + bias, plus `last`, at the last step."""

    sources: tuple[Source, ...]  # whose spikes s are, one behind the other
    weight: NDArray[np.float32]  # (K, N) float32
    bias: NDArray[np.float64]  # (K,) float64, or rows (S, K) of the first steps
    leak: float  # 1 of a sum
    last: NDArray[np.float64]  # (K,) float64, what is added once, behind the integral


def fold_answer(path: Path, shapes: Mapping[str, Shape], steps: int) -> FoldedAnswer:
    """The answer of a network as one readout, of the path from the last units to it.

    Parameters
    ----------
    path : operations behind those units; one of them may sum or integrate over steps
    shapes : (C, H, W) of each unit by name
    steps : T, after which the answer is read

    Raises
    ------
    NetworkError : if the answer is not linear in spikes, or has too many weights
    """
    currents = _answer_currents(path, shapes, steps)
    folded = currents.folded
    with at(path.last):
        expect(all(folded_input.gain.ndim < 2 for folded_input in folded.inputs), *STEPS)
        _expect_linear(folded)
    channels, height, width = folded.shape
    numbers, places = prod(folded.shape), height * width
    if not all(folded_input.weights for folded_input in folded.inputs):
        with at("the answer"):
            few = numbers**2 <= MOST_WEIGHTS
            expect(few, f"is {numbers:,} neurons without weights", "a class each")
    read = {source.layer for folded_input in folded.inputs for source in folded_input.sources}
    neurons = sum(prod(shapes[name]) for name in read)
    finding = f"is {numbers:,} numbers of {neurons:,} neurons, each of which has a weight for each"
    with at(path.last):
        fewer = "fewer, such as the mean of each channel over its map"
        expect(numbers * neurons <= MOST_WEIGHTS, finding, fewer)
    weights: dict[Source, NDArray[np.float64]] = {}  # by source; those of its inputs are added up
    for folded_input in folded.inputs:
        weight = _weights_of_spikes(folded_input.dense(folded.shape), shapes)
        for source in folded_input.sources:
            positive_source = replace(source, sign=1)
            weights[positive_source] = weights.get(positive_source, 0.0) + source.sign * weight
    sources = tuple(weights)
    readout_weights = np.concatenate(  # each is dropped once it is copied: they can be large
        [weights.pop(source).astype(np.float32) for source in sources], axis=1
    )

    def at_every_place(of_channels: NDArray[np.float64]) -> NDArray[np.float64]:
        rows_of_channels = np.broadcast_to(of_channels, (*of_channels.shape[:-1], channels))
        return rows_of_channels.repeat(places, axis=-1)

    return FoldedAnswer(
        sources=sources,
        weight=readout_weights,
        bias=at_every_place(folded.bias - currents.last) / currents.over_steps,
        leak=currents.leak,
        last=at_every_place(currents.last),
    )


@dataclass(frozen=True, eq=False)
class _AnswerCurrents:
    """The currents of an answer, and how they are integrated."""

    folded: Folded
    leak: float  # 1 of a sum
    over_steps: int  # T where the biases are those of a sum over all steps, else 1
    last: NDArray[np.float64]  # what is added once, behind the integral


def _answer_currents(path: Path, shapes: Mapping[str, Shape], steps: int) -> _AnswerCurrents:
    """Fold a path behind the last units, of which one operation may sum or integrate over steps."""
    folded, leak, over_steps, summed = beginning(path, shapes), 1.0, 1, False
    integral: Folded | None = None  # the integral, without the biases in front of it
    for operation in path.operations:
        kind, label = operation.what, operation.label
        if isinstance(kind, TimeSum):
            with at(label):
                expected = "spikes or currents; or the last membrane as the answer"
                expect(not summed, "sums membranes over steps", expected)
            bias = folded.bias * steps
            if folded.bias.ndim == 2:
                bias = rows_later(folded.bias, 0, steps).sum(axis=0)
            folded, over_steps, summed = replace(folded, bias=bias), steps, True
        elif isinstance(kind, Integral):
            with at(label):
                expect(not summed, "integrates an integral", "one readout")
            leak, summed = kind.leak, True
            integral = replace(folded, bias=np.zeros_like(folded.bias))
        else:
            with at(label):
                expect(not isinstance(kind, ByStep), *STEPS)
            folded = fold_one(folded, operation)
            integral = None if integral is None else fold_one(integral, operation)
    last = np.array(0.0) if integral is None else integral.bias
    return _AnswerCurrents(folded, leak, over_steps, last)


def _weights_of_spikes(dense: FoldedDense, shapes: Mapping[str, Shape]) -> NDArray[np.float64]:
    """(K, N) weights of all spikes of a source, in front of any pooling, times the gains."""
    name = dense.sources[0].layer
    copies = Identity(spread=dense.spread, rows=dense.rows, columns=dense.columns)
    channels, height, width = copies.arranged_shape(shapes[name], name)
    down, across = dense.pool
    pooled_shape = channels, height // down, width // across
    weight = weights_of_windows(dense.weight, pooled_shape, dense.pool)
    weight = weight / (down * across if dense.pooling == "average" else 1)
    maps = weight.reshape(-1, channels, height, width)
    of_neurons = copies.gathered(maps, shapes[name]).reshape(len(dense.weight), -1)
    return np.broadcast_to(dense.gain, len(dense.weight))[:, None] * of_neurons


def _expect_linear(folded: Folded) -> None:
    """Refuse inputs of an answer that are no weights of spikes."""
    bordered = any(folded_input.sees_ones for folded_input in folded.inputs)
    border = "is behind padding of a map that has a bias"
    expect(not bordered, border, "no bias or no padding there")
    for folded_input in folded.inputs:
        if folded_input.nonlinearity:
            finding, expected = folded_input.nonlinearity
            raise refused(f"{finding} for the answer", expected)


def depths(
    reads: Mapping[str, Iterable[Source]],
    labels: Mapping[str, str],
    at_least: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, int]:
    """The depth D of each unit, 1 + the largest of those that it reads within a step; 0 of the
    input. `labels` are their names in messages.
    """
    edges = [(name, source) for name, sources in reads.items() for source in sources]
    depth = {INPUT: 0} | dict.fromkeys(reads, 1) | dict(at_least)
    via: dict[str, str] = {}
    late = ""
    for _ in range(len(depth) + 1):
        late = ""
        for name, source in edges:
            if depth[source.layer] + 1 - source.shortest > depth[name]:
                depth[name], via[name], late = (
                    depth[source.layer] + 1 - source.shortest,
                    source.layer,
                    name,
                )
        if not late:
            return depth
    for _ in depth:
        late = via[late]  # after so many steps back it is on the loop
    loop = [late]
    while via[loop[0]] != late:
        loop.insert(0, via[loop[0]])
    count = len(loop)
    ways = " → ".join(labels[name] for name in (late, *loop))
    raise NetworkError(
        f"{ways}: form a loop of {count} layers, whose spikes are back sooner than {count} steps "
        "later: feedback past a layer within a step, where every layer takes one; expected "
        f"feedback of a layer to itself, or delays of {count} steps in all"
    )


def delayed(
    bias: NDArray[np.float64],
    silent: int,
    timesteps: int,
    window: int | None = None,
    threshold: Any = 0.0,
    last: Any = 0.0,
) -> NDArray[np.float64]:
    """A bias that acts in a window alone: (C,) or rows (S, C) -> rows (T, C), or (1, C) where all
    are the same.

    `last` is added at the last step alone.
    """
    rows = np.atleast_2d(bias)
    channels, stop = rows.shape[1], timesteps if window is None else silent + window
    if (
        len(rows) == 1
        and stop >= timesteps - 1
        and not (bias.any() and silent)
        and not np.any(last)
    ):
        return rows
    if timesteps * channels > MOST_BIASES:
        raise NetworkError(
            f"biases: {timesteps:,} steps of {channels:,} channels, expected at most "
            f"{MOST_BIASES:,} numbers"
        )
    rows_of_steps = np.where(
        np.arange(timesteps)[:, None] < silent, 0.0, rows_later(rows, silent, timesteps)
    )
    rows_of_steps[stop:-1] = -SILENCE * np.asarray(
        threshold
    )  # the last row acts at no step, and stays the bias
    rows_of_steps[-1] += last
    return rows_of_steps


def with_window(network: Network, window: int | None, depths: Sequence[int]) -> Network:
    """The network with its window, in which each layer stands as many steps later as it is deep."""
    last, ways = depths[-1], network.to_readout
    if window is None or [last - ways[name] for name in network.names] == [0, *depths]:
        return replace(network, window=window)
    if not last or max(depths) > last or network.timesteps != window + last:
        return network  # as where a library delays every layer
    return replace(network, window=window, late=tuple(depths))


def rows_later(rows: NDArray[np.float64], steps: int, timesteps: int) -> NDArray[np.float64]:
    """Rows (S, C) so many steps later, (T, C): the first and last go on; one row stays one."""
    return rows if len(rows) == 1 else rows[np.clip(np.arange(timesteps) - steps, 0, len(rows) - 1)]
