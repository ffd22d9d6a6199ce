"""One layer over several steps, from its input spikes to its own, in one compiled call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from backends.network import LIF, PIXEL_LIMIT, FixedLIF, Input, Layer, Shape, Sides, pair

from .compiled import compiled
from .costs import costs_of
from .events import any_fired, count_spikes, maps_at, pack_spikes
from .neurons import Dynamics, decay, drive, dynamics_of, hold, step
from .pooling import pool_currents, pool_spikes
from .products import STEPS, Costs, Products, count_pooled, multiply_rows_of_steps, multiply_step, rows_at_once
from .synapses import Room, WeightLayout, correlate, lay_out, positions_of, room_for
from .tiles import AMX, HOW

NONE = (1, 1)  # sides of no pooling
LEAST = 5_000_000  # products a step of a part of a layer; where there are fewer, threads take longer to meet


class Scratch(NamedTuple):
    """Memory in which the currents of one input are computed.

    Parameters
    ----------
    room : see :func:`backends.event.kernels.synapses.correlate`
    pooled : (H/y, W/x, C) bool — the input spikes behind maximum pooling; empty without
    unpooled : (H·y, W·x, C) as the current — currents in front of their maximum pooling; empty without
    further : as the unpooled currents, or the current — those of one of several sources; empty of one
    """

    room: Room
    pooled: NDArray[np.bool_]
    unpooled: NDArray[Any]
    further: NDArray[Any]


class State(NamedTuple):
    """The memory that one sample changes in a layer, and scratch memory; made by :meth:`LayerKernel.rest`.

    Parameters
    ----------
    current : (K, H, W, C) int32 or float32 — `a[t+1]` of each of K inputs
    membrane : (H, W, C), of that dtype — `v[t]`
    synaptic : as the membrane — `i[t]`; empty where it is not computed apart
    scratch : of each input; None of the identity
    """

    current: NDArray[Any]
    membrane: NDArray[Any]
    synaptic: NDArray[Any]
    scratch: tuple[Scratch | None, ...]


class Synapses(NamedTuple):
    """The synapses of one input, laid out.

    Parameters
    ----------
    weights : for the spikes behind maximum pooling
    spike_pool, current_pool : (y, x) of the maximum pooling of spikes and of currents; (1, 1) for none
    rows : the first row of its sources that it sees, and the one behind the last
    """

    weights: WeightLayout
    spike_pool: tuple[int, int]
    current_pool: tuple[int, int]
    rows: tuple[int, int]

    def part(self, first: int, last: int) -> Synapses:
        """Those of some rows of the layer's neurons; the weights are shared."""
        pools = self.spike_pool[0] * self.weights.pool[0]
        weights, (stride, _), (padding, beside) = self.weights, self.weights.stride, self.weights.padding
        first, last = first * self.current_pool[0], last * self.current_pool[0]
        behind = (last - 1) * stride - padding + weights.weights.shape[2]
        top, bottom = (min(max(0, pools * row), self.rows[1]) for row in (first * stride - padding, behind))
        everything = weights.everything[first:last]
        share = (last - first) / max(1, len(weights.everything))
        costs = Costs(*(share * cost for cost in weights.products.costs))
        return self._replace(
            weights=weights._replace(
                padding=(max(0, padding - first * stride), beside),
                everything=everything,
                products=weights.products._replace(costs=costs),
            ),
            rows=(top, bottom),
        )


class LayerKernel:
    """A layer of a network, laid out for the kernels. It holds constants only, so several threads may use it.

    A dense layer is a convolution whose kernel is as large as its pooled map.

    What arrives at a layer is one map of spikes for each source of each input: those of the first input in their order,
    then those of the second, and so on. A source with delay d gives the spikes of d - 1 steps before the step that has
    just been computed: they act in the next one.

    Parameters
    ----------
    layer : its inputs and neurons
    shapes : (C, H, W) of the sources of each input
    costs : what decides whether spikes are added or multiplied; measured if not given

    Attributes
    ----------
    packs : whether it writes bits; not so a part whose first bit may lie amid a byte
    """

    def __init__(self, layer: Layer, *shapes: Shape, costs: Costs | None = None) -> None:
        neuron = layer.spiking_neuron
        self.shapes, inputs = shapes, (layer.first, *layer.more)
        self.signs = [[source.sign for source in each.sources] or [1] for each in inputs]
        self.synapses = [_laid_out(each, shape, costs) for each, shape in zip(inputs, shapes, strict=True)]
        self.packs = True
        self.plain = len(inputs) == 1 and set(self.signs[0]) == {1}
        outputs, rows, columns = layer.output_shape(shapes[0])
        self.output_shape, self.rows, self.height = (rows, columns, outputs), slice(0, rows), rows
        of_pixels = PIXEL_LIMIT if any(source.layer == "input" for source in layer.first.sources) else 1
        self.dynamics = dynamics_of(neuron, layer.more, layer.largest_current * of_pixels)
        self.dtype = np.int32 if isinstance(neuron, FixedLIF) else np.float32  # of currents, membranes

    @property
    def products(self) -> Products:
        """The weights that multiply the spikes of the first input, which has synapses."""
        assert self.synapses[0] is not None
        return self.synapses[0].weights.products

    def parts(self, most: int) -> list[LayerKernel]:
        """Kernels of some rows each, up to `most`, which threads may run at the same time.

        Their bits share no byte, or they leave them to be packed, see :attr:`packs`; and they are so few that they are
        worth it.
        """
        height, width, outputs = self.output_shape
        rows = 8 // math.gcd(8, width)  # whose bits fill whole bytes
        if height % rows:
            rows = 1
        taps = sum(math.prod(each.weights.weights.shape[1:4]) for each in self.synapses if each)
        count = max(1, min(most, height // rows, height * width * outputs * taps // LEAST))
        bounds = [height // rows * number // count * rows for number in range(count + 1)]
        return [self._part(first, last) for first, last in pairwise(bounds)]

    def _part(self, first: int, last: int) -> LayerKernel:
        part = copy(self)
        part.packs = self.height * self.output_shape[1] % 8 == 0 or last - first == self.height
        part.output_shape, part.rows = (last - first, *self.output_shape[1:]), slice(first, last)
        part.synapses = [each and each.part(first, last) for each in self.synapses]
        return part

    def pack(self, fired: NDArray[np.bool_], packed: NDArray[np.uint8]) -> None:
        """Write the bits of several steps that parts left, see :attr:`packs`; arrays as of :meth:`run`."""
        for spikes, bits in zip(fired, packed, strict=True):
            pack_spikes(spikes, (0, self.height), bits)

    def rest(self) -> State:
        """The state before a sample begins."""
        return State(
            np.zeros((len(self.synapses), *self.output_shape), self.dtype),
            np.zeros(self.output_shape, self.dtype),
            np.zeros(self.output_shape if self.dynamics.apart else (0, 0, 0), self.dtype),
            tuple(
                self._scratch(synapses, shape, several=signs != [1]) if synapses else None
                for synapses, shape, signs in zip(self.synapses, self.shapes, self.signs, strict=True)
            ),
        )

    def _scratch(self, synapses: Synapses, shape: Shape, *, several: bool) -> Scratch:
        top, bottom = synapses.rows
        channels, height, width = _pooled((shape[0], bottom - top, shape[2]), synapses.spike_pool)
        rows, columns, outputs = self.output_shape
        (y, x), nothing = synapses.current_pool, (0, 0, 0)
        unpooled = rows * y, columns * x, outputs
        return Scratch(
            room_for(synapses.weights, (channels, height, width)),
            np.zeros((height, width, channels) if synapses.spike_pool != NONE else nothing, np.bool_),
            np.zeros(unpooled if (y, x) != NONE else nothing, self.dtype),
            np.zeros(unpooled if several else nothing, self.dtype),
        )

    def advance(self, t: int, state: State, fired: NDArray[np.bool_], packed: NDArray[np.uint8]) -> None:
        """Bring the neurons to step t of a sample; at t = 0 they are at rest, whatever they and `current` were before.

        Parameters
        ----------
        fired : (H', W', C') bool, written — their spikes, or those of :attr:`rows`
        packed : (⌈C'·H'·W'/8⌉,) uint8, written — the same as bits in the file's order
        """
        place = self.rows.start, self.height
        advance(t, self.dynamics, state.current, state.membrane, state.synaptic, fired, place, packed)

    def add(self, arrived: Sequence[NDArray[Any] | None], state: State) -> None:
        """Set `state.current` to the currents that spikes cause in the next step.

        Parameters
        ----------
        arrived : (H, W, C) bool of each source, C-contiguous; or the current itself, (H', W', C') of its type, of an
            input of one source; None leaves the current of its input as it is
        """
        following = iter(arrived)
        for synapses, signs, scratch, current in zip(
            self.synapses, self.signs, state.scratch, state.current, strict=True
        ):
            spikes = [next(following) for _ in signs]
            if spikes[0] is None:
                continue
            if spikes[0].dtype != np.bool_:
                current[:] = spikes[0][self.rows]
                continue
            for number, (sign, fired) in enumerate(zip(signs, spikes, strict=True)):
                if synapses is None:
                    assert fired is not None  # where the first source is not
                    add_signed(fired[self.rows], number > 0, sign, current)
                else:
                    add(fired, synapses, scratch, number > 0, sign, current)
            if synapses and scratch and synapses.current_pool != (1, 1):
                pool_currents(scratch.unpooled, synapses.current_pool, current)

    def run(
        self,
        start: int,
        arrived: Sequence[NDArray[Any] | None],
        state: State,
        fired: NDArray[np.bool_],
        packed: NDArray[np.uint8],
    ) -> None:
        """Advance by several steps.

        Parameters
        ----------
        start : number of the first of them
        arrived : (S, …) of each source — see :meth:`add`; spikes may share memory with `fired`
        state : of the step before, advanced
        fired : (S, H', W', C') bool, of which :attr:`rows` are written — the layer's spikes
        packed : (S, ⌈C'·H'·W'/8⌉) uint8, written if it :attr:`packs` — the same as bits in the file's order
        """
        if not self.packs:
            packed = packed[:, :0]
        if self.plain and self.synapses[0] and (arrived[0] is None or arrived[0].dtype == np.bool_):
            channels, height, width = self.shapes[0]
            sources = np.array([each.__array_interface__["data"][0] for each in arrived if each is not None], np.int64)
            maps, place = (state.current, state.membrane, state.synaptic), (self.rows.start, self.height)
            shape, scratch = (len(fired), height, width, channels), state.scratch[0]
            run_steps(start, sources, shape, self.synapses[0], self.dynamics, *maps, scratch, fired, place, packed)
            return
        for i in range(len(fired)):
            self.advance(start + i, state, fired[i, self.rows], packed[i])
            self.add([None if each is None else each[i] for each in arrived], state)


def _laid_out(each: Input, shape: Shape, costs: Costs | None) -> Synapses | None:
    """The synapses of an input whose sources are (C, H, W); None of the identity."""
    if each.weight is None:
        return None
    kernel = each.averaged_weight
    if each.kind == "dense":
        kernel = kernel.reshape(-1, *_pooled(shape, each.pool))
    pool = pair(each.pool)
    spikes, summed = (pool, NONE) if each.pooling == "max" else (NONE, pool)
    before = _pooled(shape, spikes)
    weights = lay_out(kernel, before, summed, pair(each.stride), pair(each.padding), max(1, len(each.sources)))
    if costs is None:
        _, *seen = _pooled(before, summed)
        sides = seen[0], seen[1]
        positions = positions_of(sides, kernel.shape[2:], weights.stride, weights.padding)
        costs = costs_of(weights.products, weights.weights, math.prod(before), sides, positions, LayerKernel)
    weights = weights._replace(products=weights.products._replace(costs=costs))
    return Synapses(weights, spikes, pair(each.current_pool), (0, shape[1]))


def _pooled(shape: Shape, pool: Sides) -> Shape:
    (channels, height, width), (y, x) = shape, pair(pool)
    return channels, height // y, width // x


@compiled
def advance(
    t: int,
    dynamics: Dynamics,
    current: NDArray[Any],
    membrane: NDArray[Any],
    synaptic: NDArray[Any],
    fired: NDArray[np.bool_],
    place: tuple[int, int],
    packed: NDArray[np.uint8],
) -> None:
    """:meth:`LayerKernel.advance`, compiled; `current`, `membrane` and `synaptic` are those of :class:`State`.

    See :func:`~.events.pack_spikes` for `place`.
    """
    channels = dynamics.neurons.gain.shape[1]
    currents, membranes = current.reshape(len(current), -1, channels), membrane.reshape(-1, channels)
    update(t, dynamics, currents, membranes, synaptic.reshape(-1, channels), fired.reshape(-1, channels))
    pack_spikes(fired, place, packed)


@compiled
def update(
    t: int,
    dynamics: Dynamics,
    currents: NDArray[Any],
    membranes: NDArray[Any],
    synaptic: NDArray[Any],
    fired: NDArray[np.bool_],
) -> None:
    """Bring neurons at P positions to step t: currents (K, P, C or more), all others (P, C)."""
    if t == 0:
        membranes[:] = 0
        synaptic[:] = 0
        fired[:] = False
        return
    if dynamics.apart:
        drive(t, dynamics.currents, currents, synaptic)
        step(t, dynamics.neurons, synaptic, membranes, fired)
    else:
        step(t, dynamics.neurons, currents[0], membranes, fired)
    if len(dynamics.lowest):
        hold(dynamics.lowest, membranes)


@compiled
def add(
    spikes: NDArray[np.bool_], synapses: Synapses, scratch: Scratch, further: bool, sign: int, current: NDArray[Any]
) -> None:
    """Set an input's currents, in front of their pooling, to those of its first source, or add those of a further one.

    Parameters
    ----------
    spikes : (H, W, C) bool
    further, sign : whether it is a further source, and what its spikes are multiplied by
    current : (H', W', C') int32 or float32, written where its input has no pooling of currents
    """
    target = scratch.unpooled if synapses.current_pool != (1, 1) else current
    spikes = spikes[synapses.rows[0] : synapses.rows[1]]
    if not any_fired(spikes):
        if not further:
            target[:] = 0
        return
    alone = target if sign > 0 and not further else scratch.further
    if synapses.spike_pool != (1, 1):
        pool_spikes(spikes, synapses.spike_pool, scratch.pooled)
        correlate(scratch.pooled, synapses.weights, scratch.room, alone)
    else:
        correlate(spikes, synapses.weights, scratch.room, alone)
    if sign < 0 or further:
        add_signed(alone, further, sign, target)


@compiled
def add_signed(added: NDArray[Any], further: bool, sign: int, current: NDArray[Any]) -> None:
    """Add or subtract, (H, W, C) both; where it is no `further` source, `current` is 0 before."""
    if not further:
        current[:] = 0
    flat, flat_added = current.reshape(-1), added.reshape(-1)
    if sign > 0:
        for neuron in range(len(flat)):
            flat[neuron] += flat_added[neuron]
    else:
        for neuron in range(len(flat)):
            flat[neuron] -= flat_added[neuron]


@compiled
def run_steps(
    start: int,
    sources: NDArray[np.int64],
    shape: tuple[int, int, int, int],
    synapses: Synapses,
    dynamics: Dynamics,
    current: NDArray[Any],
    membrane: NDArray[Any],
    synaptic: NDArray[Any],
    scratch: Scratch,
    fired: NDArray[np.bool_],
    place: tuple[int, int],
    packed: NDArray[np.uint8],
) -> None:
    """:meth:`LayerKernel.run` of one input whose sources have sign 1, compiled.

    Parameters
    ----------
    sources, shape : addresses of the spikes of each source, see :func:`~.events.maps_at`; none where a constant current
        stays as it is
    place : see :func:`~.events.pack_spikes`
    """
    membranes, quiet = membrane.reshape(-1, membrane.shape[2]), dynamics.quiet
    top, bottom = place[0], place[0] + len(membrane)
    first = decays = 0  # steps in which membranes did nothing but decay, which they still have to
    no_current = nobody_fired = False
    while first < len(fired):
        last = min(first + STEPS, len(fired))
        if not len(sources) or not any_arrived(sources, shape, first, synapses.rows):
            last = first + 1
        else:
            decay(decays, dynamics.neurons.kept, membranes)
            decays = 0
            multiplied = steps_multiplied(
                start + first,
                sources,
                shape,
                synapses,
                dynamics,
                current,
                membrane,
                synaptic,
                scratch,
                fired[first:last],
                first,
                place,
                packed[first:last],
            )
            if multiplied:
                first += multiplied
                no_current = nobody_fired = False
                continue
        for i in range(first, last):
            mine = fired[i, top:bottom]
            if no_current and i > 0 and quiet[(start + i - 1) % len(quiet)]:
                nobody_fired = nobody_fired or not any_fired(fired[i - 1, top:bottom])
            else:
                nobody_fired = False
            if nobody_fired:
                mine[:] = False
                if len(membrane) == place[1]:
                    packed[i] = 0
                else:
                    pack_spikes(mine, place, packed[i])
                decays += 1
            else:
                decay(decays, dynamics.neurons.kept, membranes)
                decays = 0
                advance(start + i, dynamics, current, membrane, synaptic, mine, place, packed[i])
            if len(sources) and any_arrived(sources, shape, i, synapses.rows):
                if len(sources) == 1 or not sources_multiplied(sources, shape, i, synapses, scratch, current[0]):
                    for number in range(len(sources)):
                        arrived = maps_at(sources[number], shape)[i]
                        add(arrived, synapses, scratch, number > 0, 1, current[0])
                if synapses.current_pool != (1, 1):
                    pool_currents(scratch.unpooled, synapses.current_pool, current[0])
                no_current = False
            elif len(sources) and not no_current:
                current[0] = 0
                no_current = True
        first = last
    decay(decays, dynamics.neurons.kept, membranes)


@njit(nogil=True)
def any_arrived(sources: NDArray[np.int64], shape: tuple[int, int, int, int], step: int, rows: tuple[int, int]) -> bool:
    """Whether a neuron in these rows of any source fired in a step."""
    for address in sources:  # noqa: SIM110  # Numba compiles no generators
        if any_fired(maps_at(address, shape)[step, rows[0] : rows[1]]):
            return True
    return False


@njit(nogil=True)
def count_sources(
    sources: NDArray[np.int64],
    shape: tuple[int, int, int, int],
    first: int,
    steps: int,
    synapses: Synapses,
    scratch: Scratch,
) -> None:
    """Write the sum-pooled spikes of all sources in some steps into the counts."""
    weights, (top, bottom), counts = synapses.weights, synapses.rows, scratch.room.products.counts
    for i in range(steps):
        for number in range(len(sources)):
            seen = maps_at(sources[number], shape)[first + i, top:bottom]
            if synapses.spike_pool != (1, 1):
                pool_spikes(seen, synapses.spike_pool, scratch.pooled)
                seen = scratch.pooled
            count_pooled(seen, weights.pool, weights.padding, counts[i], number > 0)


def sources_multiplied(*_: Any) -> bool:
    """Set the current of a step to the products of the sum of several sources if that is cheaper; whether it was."""
    raise NotImplementedError  # compiled only


@overload(sources_multiplied)
def _sources_multiplied(sources: Any, shape: Any, step: Any, synapses: Any, scratch: Any, current: Any) -> Any:
    def never(sources: Any, shape: Any, step: Any, synapses: Any, scratch: Any, current: Any) -> bool:
        return False

    def multiply(sources: Any, shape: Any, step: Any, synapses: Any, scratch: Any, current: Any) -> bool:
        products, (top, bottom) = synapses.weights.products, synapses.rows
        if not len(products.weights):
            return False
        adding = 0.0
        for address in sources:
            seen = maps_at(address, shape)[step, top:bottom]
            count = count_spikes(seen)
            adding += min(count, seen.size - count) + products.costs.pixels
        if adding <= products.costs.step:
            return False
        count_sources(sources, shape, step, 1, synapses, scratch)
        target = scratch.unpooled if synapses.current_pool != (1, 1) else current
        multiply_step(products, synapses.weights.stride, scratch.room.products, target)
        return True

    return never if HOW is None or current.dtype != types.int32 else multiply


def steps_multiplied(*_: Any) -> int:
    """:func:`run_steps` of a few steps by :func:`~.products.multiply_rows_of_steps` if that is cheaper: of how many.

    A few rows of currents are computed for all steps, and their neurons go through all steps, before the next rows.
    """
    raise NotImplementedError  # compiled only


@overload(steps_multiplied)
def _steps_multiplied(
    start: Any,
    sources: Any,
    shape: Any,
    synapses: Any,
    dynamics: Any,
    current: Any,
    membrane: Any,
    synaptic: Any,
    scratch: Any,
    fired: Any,
    step: Any,
    place: Any,
    packed: Any,
) -> Any:
    def never(
        start: Any,
        sources: Any,
        shape: Any,
        synapses: Any,
        dynamics: Any,
        current: Any,
        membrane: Any,
        synaptic: Any,
        scratch: Any,
        fired: Any,
        step: Any,
        place: Any,
        packed: Any,
    ) -> int:
        return 0

    def multiply(
        start: Any,
        sources: Any,
        shape: Any,
        synapses: Any,
        dynamics: Any,
        current: Any,
        membrane: Any,
        synaptic: Any,
        scratch: Any,
        fired: Any,
        step: Any,
        place: Any,
        packed: Any,
    ) -> int:
        weights, products, steps = synapses.weights, synapses.weights.products, len(fired)
        if not len(products.weights) or synapses.current_pool != (1, 1):
            return 0
        (top, bottom), few = synapses.rows, products.costs.steps - steps * len(sources) * products.costs.pixels
        while steps > 1 and not any_arrived(sources, shape, step + steps - 1, synapses.rows):
            steps -= 1
        fires = silent = 0
        for i in range(steps):
            for address in sources:
                seen = maps_at(address, shape)[step + i, top:bottom]
                count = count_spikes(seen)
                fires, silent = fires + count, silent + seen.size - count
            if min(fires, silent) > few:
                break
        else:
            return 0
        room = scratch.room.products
        count_sources(sources, shape, step, steps, synapses, scratch)
        rows, columns, channels = membrane.shape
        at_once = rows_at_once(STEPS, columns * products.weights.shape[0] * products.weights.shape[3], rows)
        before, membranes = current.reshape(-1, channels), membrane.reshape(-1, channels)
        driven, spikes, above = (
            synaptic.reshape(-1, channels),
            fired.reshape(len(fired), -1, channels),
            place[0] * columns,
        )
        for row in range(0, rows, at_once):
            some = min(at_once, rows - row)
            sums = multiply_rows_of_steps(products, weights.stride, room, steps, row, (some, columns))
            first, last = row * columns, (row + some) * columns
            here = membranes[first:last], driven[first:last]
            arriving = before[first:last].reshape(1, -1, channels)
            update(start, dynamics, arriving, here[0], here[1], spikes[0, above + first : above + last])
            for i in range(1, steps):
                mine = spikes[i, above + first : above + last]
                update(start + i, dynamics, sums[i - 1 : i], here[0], here[1], mine)
            for position in range(first, last):  # a slice would compile how to tell of its shape
                for channel in range(channels):
                    before[position, channel] = sums[steps - 1, position - first, channel]
        for i in range(steps):
            pack_spikes(fired[i, place[0] : place[0] + rows], place, packed[i])
        return steps

    return multiply if HOW is AMX and current.dtype == types.int32 else never


def compile_kernels(precision: str) -> None:
    """Compile (or load from numba's cache) every kernel for one precision: seconds the first time, then a moment.

    Call it before a timed part, and before forking, so that no child compiles again.
    """
    fixed = precision == "fixed"
    neuron = FixedLIF(0, 0, np.ones((1, 1), np.int32), np.zeros((1, 1), np.int32)) if fixed else LIF(1.0)
    weight = np.ones((1, 1), np.int8 if fixed else np.float32)
    spikes, packed = np.zeros((1, 1, 1, 1), np.bool_), np.zeros((1, 1), np.uint8)
    several = Layer("compiled", weight, neuron, source=("a", "b"), more=(Input(None, "a", np.ones(1, np.int32)),))
    for layer in (Layer("compiled", weight, neuron), several):
        kernel = LayerKernel(layer, *(1 + len(layer.more)) * [(1, 1, 1)], costs=Costs(0.0, 0.0, 0.0))
        state, arrived = kernel.rest(), sum(map(len, kernel.signs)) * [spikes]
        kernel.run(0, arrived, state, spikes, packed)
        kernel.add([each[0] for each in arrived], state)
        kernel.advance(0, state, spikes[0], packed[0])
    pool_currents(state.current[0], NONE, state.membrane)
