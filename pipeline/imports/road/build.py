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
from spikesam.common.errors import InputError
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
    places, last = {unit.name: unit.where for unit in ordered}, ordered[-1].name
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
        own, drives = depth[unit.name], folded[unit.name]
        neuron, ones, inputs = _neuron(unit, drives.shape), np.ones(drives.shape[0]), []
        for one in _inputs(drives, encoder, in_order):
            sources = tuple(
                Source(names[source.layer], 1, source.sign)
                if steady
                else replace(source.later(own - depth[source.layer]), layer=names[source.layer])
                for source in one.sources
            )
            weight = one.weight
            if weight is not None and one.sources[0].layer == INPUT and pixel != 1:
                weight = pixel * weight
            weight = _shared(weight, layers[-1].inputs if layers else ())
            gain = rows_later(np.atleast_2d(one.gain * ones), own - 1, steps)
            try:
                inputs.append(Input(one.synapse(weight), sources, gain))
            except InputError as error:
                raise NetworkError(f"{unit.where}: layer {unit.layer!r}: {error}") from None
        neurons.append(neuron)
        biases.append(np.atleast_2d((drives.bias + neuron.bias) * ones))
        bias = biases[-1]
        if not isinstance(neuron, ReLU):
            bias = delayed(bias, own - 1, steps, window, neuron.threshold)
        if isinstance(neuron, FixedLIF):  # all its numbers are integers
            bias = bias.astype(np.int64)
            inputs = [replace(each, gain=each.gain.astype(np.int64)) for each in inputs]
        try:
            layers.append(Layer(unit.layer, inputs, replace(neuron, bias=bias)))
        except InputError as error:
            raise NetworkError(f"{unit.where}: {error}") from None
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
    before: tuple[Synapses, ...] = ()
    for unit in units:
        drives = _folded(unit, shapes)
        before = tuple(replace(one, weight=_shared(one.weight, before)) for one in drives.inputs)
        drives = replace(drives, inputs=before)
        fits = unit.shape is None or prod(unit.shape) == prod(drives.shape)
        found = f"has {prod(unit.shape or ())} neurons, driven by {prod(drives.shape)} currents"
        expect(fits, unit.where, found, "one for each")
        shapes[unit.name] = drives.shape
        folded[unit.name], ones = _with_ones(unit, drives, shapes)
        folded |= {each.name: _folded(each, shapes) for each in ones}
        ordered += [*ones, unit]
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
            raise NetworkError(f"{left[0].where}: nothing on the way from the input is read there")
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
    return (
        branches[0]
        if len(branches) == 1
        else together(branches, unit.where, [path.last for path in unit.paths])
    )


def _shared(weight: NDArray[Any] | None, before: Iterable[Input | Synapses]) -> NDArray[Any] | None:
    """Weights, or those of earlier inputs that are equal: planes of the same neurons hold theirs
    once.
    """
    known = (
        known
        for each in before
        for known in (each.synapse.tensors.values() if isinstance(each, Input) else [each.weight])
        if known is not None
    )
    return (
        weight
        if weight is None
        else next((each for each in known if np.array_equal(each, weight)), weight)
    )


def _with_ones(unit: Unit, drives: Folded, shapes: dict[str, Shape]) -> tuple[Folded, list[Unit]]:
    """Inputs of a unit with neurons as the sources of ones, which read what would have the bias;
    and these neurons.
    """
    made: dict[Shape, Unit] = {}

    def sourced(one: Synapses) -> Synapses:
        if not one.ones:
            return one
        source = one.sources[0]
        channels, height, width = shapes[source.layer]
        shape = 1, height * one.spread[1] // one.pool[0], width * one.spread[2] // one.pool[1]
        if shape not in made:
            number = len(made) + 1 if made else ""
            zeros = np.zeros((1, channels, 1, 1), np.float32)
            seen = Spread(one.spread), Pool("average", Windows(one.pool, one.pool)), Conv(zeros)
            operations = tuple(Operation(unit.where, each) for each in seen)
            late = Path(source.layer, operations, source.later(1).delay, source.sign)
            name, layer = (
                f"{unit.name}{ONES}{number}",
                f"{unit.layer}{ONES}{number}".replace("/", "_"),
            )
            made[shape] = Unit(
                name, unit.where, layer, replace(_repeating(unit), bias=1.0), (late,), shape
            )
            shapes[name] = shape
        return replace(
            one, pool=(1, 1), spread=WHOLE, sources=(Source(made[shape].name, 0),), ones=False
        )

    return drives.each(sourced), list(made.values())


def _repeating(unit: Unit) -> Neuron:
    return ReLU() if isinstance(unit.neuron, ReLU) else REPEATING


def _gathered(sources: Iterable[Source], repeating: Neuron) -> Unit:
    """Neurons that repeat the spikes of several sources, one behind the other."""
    where = "the model's output"
    branches = tuple(Path(source.layer, (), source.delay) for source in sources)
    if any(branch.source == INPUT for branch in branches):
        raise NetworkError(
            f"{where} comes from the input, too; expected neurons that fire in between"
        )
    path = Path(Junction(where, "concatenation", branches), lag=None)
    return Unit(ANSWER, where, ANSWER[1:], repeating, (path,))


def _neuron(unit: Unit, shape: Shape) -> Neuron:
    neuron = unit.neuron
    if isinstance(neuron, FixedLIF):
        return neuron
    numbers = ("leak", "threshold", "bias", "reset_by", "synaptic_leak", "min_v_mem", "limit")
    given = {name: getattr(neuron, name, None) for name in numbers}
    constants: dict[str, Any] = {
        name: per_channel(value, shape, unit.where, name)
        for name, value in given.items()
        if value is not None
    }
    return replace(neuron, **constants).of_channels(shape[0], unit.where)


def _inputs(drives: Folded, encoder: Encoder, in_order: bool) -> list[Synapses]:
    """The inputs of a layer, of which the first has weights, but for gates and attention, and those
    of a current.
    """

    def connected(one: Synapses) -> Synapses:
        return one if one.weight is not None else one.placed(drives.shape, 0, drives.shape[0])

    def identity(one: Synapses) -> bool:
        current = encoder != "spikes" and one.sources[0].layer == INPUT
        return one.weight is None and one.order is None and one.pool == (1, 1) and not current

    given = list(drives.inputs)
    if all(one.weight is None for one in given) and not drives.gate:
        given[0] = connected(given[0])
    found = [one if identity(one) else connected(one) for one in given]
    first = not in_order or found[0].weight is None
    return (
        sorted(found, key=lambda one: (one.weight is None, one.sources[0].layer != INPUT))
        if first
        else found
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
    behind: Folded | None = None  # the integral, without the biases in front of it
    for operation in path.operations:
        what, where = operation.what, operation.where
        if isinstance(what, TimeSum):
            found = "sums membranes over steps"
            expect(not over, where, found, "spikes or currents; or the last membrane as the answer")
            bias = folded.bias * steps
            if folded.bias.ndim == 2:
                bias = rows_later(folded.bias, 0, steps).sum(axis=0)
            folded, over_steps, over = replace(folded, bias=bias), steps, True
        elif isinstance(what, Integral):
            expect(not over, where, "integrates an integral", "one readout")
            leak, over = what.leak, True
            behind = replace(folded, bias=np.zeros_like(folded.bias))
        else:
            expect(not isinstance(what, ByStep), where, *STEPS)
            folded = fold_one(folded, operation)
            behind = None if behind is None else fold_one(behind, operation)
    expect(all(one.gain.ndim < 2 for one in folded.inputs), path.last, *STEPS)
    folded = folded.dense
    read = {source.layer for one in folded.inputs for source in one.sources}
    numbers, neurons = prod(folded.shape), sum(prod(shapes[name]) for name in read)
    found = f"is {numbers:,} numbers of {neurons:,} neurons, each of which has a weight for each"
    expect(
        numbers * neurons <= MOST_WEIGHTS,
        path.last,
        found,
        "fewer, such as the mean of each channel over its map",
    )
    weights: dict[Source, NDArray[np.float64]] = {}
    for one in folded.inputs:
        assert one.weight is not None
        expect(
            not one.ones,
            path.last,
            "is behind padding of a map that has a bias",
            "no bias or no padding there",
        )
        expect(
            one.windows == NO_POOLING,
            path.last,
            "pools currents by maximum for the answer",
            "an average",
        )
        expect(
            one.pooling != "max", path.last, "pools spikes by maximum for the answer", "an average"
        )
        expect(not one.heads, path.last, "multiplies spikes for the answer", "neurons behind that")
        copies = Identity(spread=one.spread, rows=one.rows, columns=one.columns)
        shape, (y, x) = shapes[one.sources[0].layer], one.pool
        channels, height, width = copies.arranged_shape(shape, one.sources[0].layer)
        pooled = channels, height // y, width // x
        dense = (
            one.weight
            if one.weight.ndim == 2
            else unrolled(one.weight, pooled, one.stride, one.padding)
        )
        averaged = weights_of_windows(dense, pooled, (y, x)) / (
            y * x if one.pooling == "average" else 1
        )
        averaged = averaged.reshape(-1, channels, height, width)
        of_neurons = copies.gathered(averaged, shape).reshape(len(averaged), -1)
        gain = np.broadcast_to(one.gain, len(one.weight)).repeat(len(dense) // len(one.weight))
        weight = gain[:, None] * of_neurons
        for source in one.sources:
            key = replace(source, sign=1)
            weights[key] = weights.get(key, 0.0) + source.sign * weight
    each = {source: weights.pop(source).astype(np.float32) for source in tuple(weights)}
    whole = np.concatenate(list(each.values()), axis=1)
    last = np.array(0.0) if behind is None else behind.dense.bias
    bias, last = (
        np.broadcast_to(of, (*of.shape[:-1], folded.shape[0])).repeat(
            len(whole) // folded.shape[0], axis=-1
        )
        for of in (folded.bias - last, last)
    )
    return FoldedAnswer(tuple(each), whole, bias / over_steps, leak, last)


def depths(
    reads: Mapping[str, Iterable[Source]],
    where: Mapping[str, str],
    at_least: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, int]:
    """The depth D of each unit, 1 + the largest of those that it reads within a step; 0 of the
    input.
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
    ways = " → ".join(where[name] for name in (late, *loop))
    raise NetworkError(
        f"{ways}: form a loop of {count} layers, whose spikes are back sooner than {count} steps "
        "later: feedback past "
        "a layer within a step, where every layer takes one; expected feedback of a layer to "
        "itself, or delays of "
        f"{count} steps in all"
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
    found = np.where(
        np.arange(timesteps)[:, None] < silent, 0.0, rows_later(rows, silent, timesteps)
    )
    found[stop:-1] = -SILENCE * np.asarray(
        threshold
    )  # the last row acts at no step, and stays the bias
    found[-1] += last
    return found


def with_window(network: Network, window: int | None, depths: Sequence[int]) -> Network:
    """The network with its window, in which each layer stands as many steps later as it is deep."""
    last, ways = depths[-1], network.to_readout
    if window is None or [last - ways[name] for name in network.names] == [0, *depths]:
        return replace(network, window=window)
    if not last or max(depths) > last or network.timesteps != window + last:
        return network  # as where a library delays every layer
    return replace(network, window=window, late=tuple(depths))


def rows_later(rows: NDArray[np.float64], steps: int, timesteps: int) -> NDArray[np.float64]:
    """Rows (S, C) so many steps later, (T, C): the first and the last one go on; one row stays one."""
    return rows if len(rows) == 1 else rows[np.clip(np.arange(timesteps) - steps, 0, len(rows) - 1)]
