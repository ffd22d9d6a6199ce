"""A network of units and an answer: its layers, what each reads, and the steps by which they stand
later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    DEFAULT_RANGE,
    LIF,
    NO_POOLING,
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
from spikesam.pipeline.imports.road.fold import (
    MOST_WEIGHTS,
    Folded,
    Synapses,
    beginning,
    fold,
    fold_one,
    per_channel,
    together,
)
from spikesam.pipeline.imports.road.kernels import unrolled, weights_of_windows
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    Answer,
    ByStep,
    Conv,
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
        name: [source for synapses in drives.inputs for source in synapses.sources]
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
        for synapses in _inputs(drives, encoder, in_order):
            sources = tuple(
                Source(names[source.layer], 1, source.sign)
                if steady
                else replace(
                    source.later(layer_depth - depth[source.layer]), layer=names[source.layer]
                )
                for source in synapses.sources
            )
            weight = synapses.weight
            if weight is not None and synapses.sources[0].layer == INPUT and pixel != 1:
                weight = pixel * weight
            weight = _shared(weight, layers[-1].inputs if layers else ())
            gain = rows_later(
                np.atleast_2d(synapses.gain * per_channel_ones), layer_depth - 1, steps
            )
            try:
                inputs.append(Input(synapses.synapse(weight), sources, gain))
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
    earlier_inputs: tuple[Synapses, ...] = ()
    for unit in units:
        drives = _folded(unit, shapes)
        earlier_inputs = tuple(
            replace(synapses, weight=_shared(synapses.weight, earlier_inputs))
            for synapses in drives.inputs
        )
        drives = replace(drives, inputs=earlier_inputs)
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


def _shared(
    weight: NDArray[Any] | None, earlier_inputs: Iterable[Input | Synapses]
) -> NDArray[Any] | None:
    """Weights, or those of earlier inputs that are equal: planes of the same neurons hold theirs
    once.
    """
    earlier_weights = (
        tensor
        for earlier in earlier_inputs
        for tensor in (
            earlier.synapse.tensors.values() if isinstance(earlier, Input) else [earlier.weight]
        )
        if tensor is not None
    )
    return (
        weight
        if weight is None
        else next((tensor for tensor in earlier_weights if np.array_equal(tensor, weight)), weight)
    )


def _with_ones(unit: Unit, drives: Folded, shapes: dict[str, Shape]) -> tuple[Folded, list[Unit]]:
    """Inputs of a unit with neurons as the sources of ones, which read what would have the bias;
    and these neurons.
    """
    units_of_ones: dict[Shape, Unit] = {}

    def sourced(synapses: Synapses) -> Synapses:
        if not synapses.sees_ones:
            return synapses
        source = synapses.sources[0]
        channels, height, width = shapes[source.layer]
        shape = (
            1,
            height * synapses.spread[1] // synapses.pool[0],
            width * synapses.spread[2] // synapses.pool[1],
        )
        if shape not in units_of_ones:
            number = len(units_of_ones) + 1 if units_of_ones else ""
            zeros = np.zeros((1, channels, 1, 1), np.float32)
            kinds = (
                Spread(synapses.spread),
                Pool("average", Windows(synapses.pool, synapses.pool)),
                Conv(zeros),
            )
            operations = tuple(Operation(unit.label, kind) for kind in kinds)
            late = Path(source.layer, operations, source.later(1).delay, source.sign)
            name, layer = (
                f"{unit.name}{ONES}{number}",
                f"{unit.layer}{ONES}{number}".replace("/", "_"),
            )
            units_of_ones[shape] = Unit(
                name, unit.label, layer, replace(_repeating(unit), bias=1.0), (late,), shape
            )
            shapes[name] = shape
        return replace(
            synapses,
            pool=(1, 1),
            spread=WHOLE,
            sources=(Source(units_of_ones[shape].name, 0),),
            sees_ones=False,
        )

    return drives.each(sourced), list(units_of_ones.values())


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


def _inputs(drives: Folded, encoder: Encoder, in_order: bool) -> list[Synapses]:
    """The inputs of a layer, of which the first has weights, but for gates and attention, and those
    of a current.
    """

    def connected(synapses: Synapses) -> Synapses:
        return (
            synapses
            if synapses.weight is not None
            else synapses.placed(drives.shape, 0, drives.shape[0])
        )

    def identity(synapses: Synapses) -> bool:
        current = encoder != "spikes" and synapses.sources[0].layer == INPUT
        return (
            synapses.weight is None
            and synapses.order is None
            and synapses.pool == (1, 1)
            and not current
        )

    inputs = list(drives.inputs)
    if all(synapses.weight is None for synapses in inputs) and not drives.gate:
        inputs[0] = connected(inputs[0])
    connected_inputs = [
        synapses if identity(synapses) else connected(synapses) for synapses in inputs
    ]
    first = not in_order or connected_inputs[0].weight is None
    return (
        sorted(
            connected_inputs,
            key=lambda synapses: (synapses.weight is None, synapses.sources[0].layer != INPUT),
        )
        if first
        else connected_inputs
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
    """The sum of a path behind the last units, after so many steps."""
    folded, leak, over_steps, over = beginning(path, shapes), 1.0, 1, False
    integral: Folded | None = None  # the integral, without the biases in front of it
    for operation in path.operations:
        kind, label = operation.what, operation.label
        if isinstance(kind, TimeSum):
            with at(label):
                expected = "spikes or currents; or the last membrane as the answer"
                expect(not over, "sums membranes over steps", expected)
            bias = folded.bias * steps
            if folded.bias.ndim == 2:
                bias = rows_later(folded.bias, 0, steps).sum(axis=0)
            folded, over_steps, over = replace(folded, bias=bias), steps, True
        elif isinstance(kind, Integral):
            with at(label):
                expect(not over, "integrates an integral", "one readout")
            leak, over = kind.leak, True
            integral = replace(folded, bias=np.zeros_like(folded.bias))
        else:
            with at(label):
                expect(not isinstance(kind, ByStep), *STEPS)
            folded = fold_one(folded, operation)
            integral = None if integral is None else fold_one(integral, operation)
    with at(path.last):
        expect(all(synapses.gain.ndim < 2 for synapses in folded.inputs), *STEPS)
    folded = folded.dense
    read = {source.layer for synapses in folded.inputs for source in synapses.sources}
    numbers, neurons = prod(folded.shape), sum(prod(shapes[name]) for name in read)
    finding = f"is {numbers:,} numbers of {neurons:,} neurons, each of which has a weight for each"
    with at(path.last):
        fewer = "fewer, such as the mean of each channel over its map"
        expect(numbers * neurons <= MOST_WEIGHTS, finding, fewer)
        _expect_linear(folded)
    weights: dict[Source, NDArray[np.float64]] = {}
    for synapses in folded.inputs:
        assert synapses.weight is not None
        copies = Identity(spread=synapses.spread, rows=synapses.rows, columns=synapses.columns)
        shape, (y, x) = shapes[synapses.sources[0].layer], synapses.pool
        channels, height, width = copies.arranged_shape(shape, synapses.sources[0].layer)
        pooled = channels, height // y, width // x
        dense = (
            synapses.weight
            if synapses.weight.ndim == 2
            else unrolled(synapses.weight, pooled, synapses.stride, synapses.padding)
        )
        averaged = weights_of_windows(dense, pooled, (y, x)) / (
            y * x if synapses.pooling == "average" else 1
        )
        averaged = averaged.reshape(-1, channels, height, width)
        of_neurons = copies.gathered(averaged, shape).reshape(len(averaged), -1)
        gain = np.broadcast_to(synapses.gain, len(synapses.weight)).repeat(
            len(dense) // len(synapses.weight)
        )
        weight = gain[:, None] * of_neurons
        for source in synapses.sources:
            key = replace(source, sign=1)
            weights[key] = weights.get(key, 0.0) + source.sign * weight
    weights_by_source = {
        source: weights.pop(source).astype(np.float32) for source in tuple(weights)
    }
    readout_weights = np.concatenate(list(weights_by_source.values()), axis=1)
    last = np.array(0.0) if integral is None else integral.dense.bias
    bias, last = (
        np.broadcast_to(bias_part, (*bias_part.shape[:-1], folded.shape[0])).repeat(
            len(readout_weights) // folded.shape[0], axis=-1
        )
        for bias_part in (folded.bias - last, last)
    )
    return FoldedAnswer(tuple(weights_by_source), readout_weights, bias / over_steps, leak, last)


def _expect_linear(folded: Folded) -> None:
    """Refuse inputs of an answer that are no weights of spikes."""
    bordered = any(synapses.sees_ones for synapses in folded.inputs)
    border = "is behind padding of a map that has a bias"
    expect(not bordered, border, "no bias or no padding there")
    for synapses in folded.inputs:
        unpooled = synapses.windows == NO_POOLING
        expect(unpooled, "pools currents by maximum for the answer", "an average")
        spikes = synapses.pooling != "max"
        expect(spikes, "pools spikes by maximum for the answer", "an average")
        expect(not synapses.heads, "multiplies spikes for the answer", "neurons behind that")


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
