"""One layer over several steps, from its input spikes to its own, in one compiled call; or step by
step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from spikesam.backends.event.kernels._products import (
    STEPS,
    Costs,
    count_pooled,
    multiply_rows_of_steps,
    multiply_step,
    rows_at_once,
)
from spikesam.backends.event.kernels._tiles import AMX, HOW
from spikesam.backends.event.kernels.compiled import LEAN, PART, internal
from spikesam.backends.event.kernels.events import any_fired, count_spikes, maps_at, pack_spikes
from spikesam.backends.event.kernels.neurons import Dynamics, drive, hold, step
from spikesam.backends.event.kernels.pooling import pool_currents, pool_spikes
from spikesam.backends.event.kernels.synapses import Room, WeightLayout, correlate
from spikesam.backends.network import Windows


class Scratch(NamedTuple):
    """Memory in which the currents of one input are computed; arrays are empty where they are not
    needed.

    `pooled` (H/y, W/x, C) bool holds the spikes behind maximum pooling; `unpooled` (OH, OW, C) the
    currents in front of theirs; `further` those of one of several sources; `attention` is for
    products of spikes.
    """

    room: Room
    pooled: NDArray[np.bool_]
    unpooled: NDArray[Any]
    further: NDArray[Any]
    attention: NDArray[Any]


class KernelSynapses(NamedTuple):
    """The synapses of one input, laid out: `weights` are for the spikes behind a maximum pooling
    `spike_pool`, (y, x).

    `windows` are of the pooling of currents, `positions` (OH, OW, O) of those in front of it, whose
    O channels those of the layer repeat. `rows` are the first row of its sources that it sees, and
    the one behind the last.
    """

    weights: WeightLayout
    spike_pool: tuple[int, int]
    windows: Windows
    positions: tuple[int, int, int]
    rows: tuple[int, int]

    def part(self, first: int, last: int) -> KernelSynapses:
        """Those of some rows of the layer's neurons; the weights are shared."""
        pools = self.spike_pool[0] * self.weights.pool[0]
        weights, (stride, _), (padding, beside) = (
            self.weights,
            self.weights.stride,
            self.weights.padding,
        )
        (window, _), (step, _), (above, beside_windows) = self.windows
        start, end = first * step - above, (last - 1) * step - above + window
        first, last = max(0, start), min(end, self.positions[0])
        last_row = (last - 1) * stride - padding + weights.weights.shape[2]
        top, bottom = (
            min(max(0, pools * row), self.rows[1]) for row in (first * stride - padding, last_row)
        )
        everything = weights.everything[first:last]
        share = (last - first) / max(1, len(weights.everything))
        costs = Costs(*(share * cost for cost in weights.products.costs))
        return self._replace(
            weights=weights._replace(
                padding=(max(0, padding - first * stride), beside),
                everything=everything,
                products=weights.products._replace(costs=costs),
            ),
            windows=self.windows._replace(padding=(first - start, beside_windows)),
            positions=(last - first, *self.positions[1:]),
            rows=(top, bottom),
        )


class LayerInput(NamedTuple):
    """An input of a layer and its neurons: their constants, and the memory of
    :class:`.layer.LayerState`.
    """

    synapses: KernelSynapses
    dynamics: Dynamics
    current: NDArray[Any]
    membrane: NDArray[Any]
    synaptic: NDArray[Any]
    scratch: Scratch


@internal
def advance(
    t: int,
    rest_step: int,
    dynamics: Dynamics,
    current: NDArray[Any],
    membrane: NDArray[Any],
    synaptic: NDArray[Any],
    fired: NDArray[np.bool_],
    place: tuple[int, int],
    packed: NDArray[np.uint8],
) -> None:
    """:meth:`.layer.LayerKernel.advance`, compiled; for `place` see
    :func:`~.events.pack_spikes`.
    """
    channels = membrane.shape[2]
    arrived, membranes = (
        current.reshape(1, len(current), -1, channels),
        membrane.reshape(-1, channels),
    )
    spikes = fired.reshape(1, -1, channels)
    driven, first = synaptic.reshape(-1, channels), np.int64(0)  # 0 would be a type
    update(t, rest_step, dynamics, arrived, membranes, driven, spikes, first)
    pack_spikes(fired, place, packed)


@internal
def update(
    t: int,
    rest_step: int,
    dynamics: Dynamics,
    arrived: NDArray[Any],
    membranes: NDArray[Any],
    synaptic: NDArray[Any],
    fired: NDArray[np.bool_],
    first: int,
) -> None:
    """Bring neurons at P positions, (P, C), to step t, or through several from there on: one if it
    is that of `rest_step`.

    `arrived` are (S, K, P or more, C or more), the currents of K inputs in S steps; `fired` (S,
    positions, C) is written from position `first` on.
    """
    positions, channels = membranes.shape
    if t == rest_step:
        membranes[:] = 0
        synaptic[:] = 0
        fired[0, first : first + positions] = False
        return
    if not dynamics.apart and not len(dynamics.lowest):
        steps, _, held, lanes = arrived.shape
        times = 1  # positions that are computed as one, see neurons.repeats
        if lanes == channels:
            times = math.gcd(len(dynamics.neurons.leak) // channels, positions)
            times = math.gcd(math.gcd(times, held), math.gcd(fired.shape[1], first))
        together = times * channels
        currents, spikes = (
            arrived.reshape(steps, held // times, times * lanes),
            fired.reshape(len(fired), -1, together),
        )
        step(t, dynamics.neurons, currents, membranes.reshape(-1, together), spikes, first // times)
        return
    for i in range(len(arrived)):
        now = arrived[i]
        if dynamics.apart:
            drive(t + i, dynamics.currents, now, synaptic)
            now = synaptic.reshape(1, positions, channels)
        step(t + i, dynamics.neurons, now, membranes, fired[i : i + 1], first)
        if len(dynamics.lowest):
            hold(dynamics.lowest, membranes)


@internal
def add(
    spikes: NDArray[np.bool_],
    synapses: KernelSynapses,
    scratch: Scratch,
    further: bool,
    sign: int,
    current: NDArray[Any],
) -> None:
    """Set an input's currents, in front of their pooling, to those of its first source, or add
    those of a further one.

    Spikes are (H, W, C) bool and count `sign`; `current` (H', W', C') is written where there is no
    pooling.
    """
    target = scratch.unpooled if scratch.unpooled.size else current
    spikes = spikes[synapses.rows[0] : synapses.rows[1]]
    if not any_fired(spikes):
        if not further:
            target[:] = 0
        return
    source_current = target if sign > 0 and not further else scratch.further
    if synapses.spike_pool != (1, 1):
        pool_spikes(spikes, synapses.spike_pool, scratch.pooled)
        spikes = scratch.pooled
    correlate(spikes, synapses.weights, scratch.room, source_current)
    if sign < 0 or further:
        add_signed(source_current, further, sign, target)


@internal
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


@internal
def run_steps(
    start: int,
    rest_step: int,
    sources: NDArray[np.int64],
    shape: tuple[int, int, int, int],
    layer: LayerInput,
    fired: NDArray[np.bool_],
    place: tuple[int, int],
    packed: NDArray[np.uint8],
) -> None:
    """:meth:`.layer.LayerKernel.run` of a layer of one input, whose sources have sign 1.

    `sources` are addresses of maps of a `shape`, see :func:`~.events.maps_at`, none where a
    constant current stays as it is; for `place` see :func:`~.events.pack_spikes`.
    """
    synapses, dynamics, current, membrane, synaptic, scratch = layer
    top, bottom = place[0], place[0] + len(membrane)
    first: Any = np.int64(0)  # 0 would be a type
    plus = np.int64(1)
    no_current = False
    while first < len(fired):
        arrives = len(sources) > 0 and any_arrived(sources, shape, first, synapses.rows)
        last = min(first + STEPS, len(fired)) if arrives else first + 1
        if arrives:
            now = slice(first, last)
            multiplied = steps_multiplied(
                start + first,
                rest_step,
                sources,
                shape,
                layer,
                fired[now],
                first,
                place,
                packed[now],
            )
            if multiplied:
                first += multiplied
                no_current = False
                continue
        for i in range(first, last):
            if i > first:
                arrives = any_arrived(sources, shape, i, synapses.rows)
            advance(
                start + i,
                rest_step,
                dynamics,
                current,
                membrane,
                synaptic,
                fired[i, top:bottom],
                place,
                packed[i],
            )
            if arrives:
                if len(sources) == 1 or not sources_multiplied(
                    sources, shape, i, synapses, scratch, current[0]
                ):
                    for number in range(len(sources)):
                        arrived = maps_at(sources[number], shape)[i]
                        add(arrived, synapses, scratch, number > 0, plus, current[0])
                if scratch.unpooled.size:
                    pool_currents(scratch.unpooled, synapses.windows, current[0])
                no_current = False
            elif len(sources) and not no_current:
                current[0] = 0
                no_current = True
        first = last


def addresses_of(arrays: Iterable[NDArray[Any]]) -> NDArray[np.int64]:
    """Addresses of arrays in memory, as compiled functions take any number of them: see
    :func:`~.events.maps_at`.
    """
    return np.array([array.__array_interface__["data"][0] for array in arrays], np.int64)


@internal
def any_arrived(
    sources: NDArray[np.int64], shape: tuple[int, int, int, int], step: int, rows: tuple[int, int]
) -> bool:
    """True if a neuron in these rows of any source fired in a step."""
    for address in sources:  # noqa: SIM110  # Numba compiles no generators
        if any_fired(maps_at(address, shape)[step, rows[0] : rows[1]]):
            return True
    return False


@internal
def count_sources(
    sources: NDArray[np.int64],
    shape: tuple[int, int, int, int],
    first: int,
    steps: int,
    synapses: KernelSynapses,
    scratch: Scratch,
) -> None:
    """Write the sum-pooled spikes of all sources in some steps into the counts."""
    weights, (top, bottom), counts = synapses.weights, synapses.rows, scratch.room.products.counts
    for i in range(steps):
        for number in range(len(sources)):
            seen_spikes = maps_at(sources[number], shape)[first + i, top:bottom]
            if synapses.spike_pool != (1, 1):
                pool_spikes(seen_spikes, synapses.spike_pool, scratch.pooled)
                seen_spikes = scratch.pooled
            count_pooled(seen_spikes, weights.pool, weights.padding, counts[i], number > 0)


def sources_multiplied(*_: Any) -> bool:
    """Set the current of a step to the products of the sum of several sources if that is cheaper;
    whether it was.
    """
    raise NotImplementedError  # compiled only


@overload(sources_multiplied, jit_options=LEAN | PART)
def _sources_multiplied(
    sources: Any, shape: Any, step: Any, synapses: Any, scratch: Any, current: Any
) -> Any:
    def never(
        sources: Any, shape: Any, step: Any, synapses: Any, scratch: Any, current: Any
    ) -> bool:
        return False

    def multiply(
        sources: Any, shape: Any, step: Any, synapses: Any, scratch: Any, current: Any
    ) -> bool:
        products, (top, bottom) = synapses.weights.products, synapses.rows
        if not len(products.weights):
            return False
        adding = 0.0
        for address in sources:
            seen_spikes = maps_at(address, shape)[step, top:bottom]
            count = count_spikes(seen_spikes)
            adding += min(count, seen_spikes.size - count) + products.costs.pixels
        if adding <= products.costs.step:
            return False
        count_sources(sources, shape, step, 1, synapses, scratch)
        target = scratch.unpooled if scratch.unpooled.size else current
        multiply_step(products, synapses.weights.stride, scratch.room.products, target)
        return True

    return never if HOW is None or current.dtype != types.int32 else multiply


def steps_multiplied(*_: Any) -> int:
    """:func:`run_steps` of a few steps by :func:`~._products.multiply_rows_of_steps` if that is
    cheaper: of how many.

    A few rows of currents are computed for all steps, and their neurons go through all steps,
    before the next rows.
    """
    raise NotImplementedError  # compiled only


@overload(steps_multiplied, jit_options=LEAN | PART)
def _steps_multiplied(
    start: Any,
    rest_step: Any,
    sources: Any,
    shape: Any,
    layer: Any,
    fired: Any,
    step: Any,
    place: Any,
    packed: Any,
) -> Any:
    def never(
        start: Any,
        rest_step: Any,
        sources: Any,
        shape: Any,
        layer: Any,
        fired: Any,
        step: Any,
        place: Any,
        packed: Any,
    ) -> int:
        return 0

    def multiply(
        start: Any,
        rest_step: Any,
        sources: Any,
        shape: Any,
        layer: Any,
        fired: Any,
        step: Any,
        place: Any,
        packed: Any,
    ) -> int:
        synapses, dynamics, current, membrane, synaptic, scratch = layer
        weights, products, steps = synapses.weights, synapses.weights.products, len(fired)
        if not len(products.weights) or scratch.unpooled.size:
            return 0
        (top, bottom), few = (
            synapses.rows,
            products.costs.steps - steps * len(sources) * products.costs.pixels,
        )
        while steps > 1 and not any_arrived(sources, shape, step + steps - 1, synapses.rows):
            steps -= 1
        fires = silent = 0
        for i in range(steps):
            for address in sources:
                seen_spikes = maps_at(address, shape)[step + i, top:bottom]
                count = count_spikes(seen_spikes)
                fires, silent = fires + count, silent + seen_spikes.size - count
            if min(fires, silent) > few:
                break
        else:
            return 0
        room = scratch.room.products
        count_sources(sources, shape, step, steps, synapses, scratch)
        rows, columns, channels = membrane.shape
        at_once = rows_at_once(
            STEPS, columns * products.weights.shape[0] * products.weights.shape[3], rows
        )
        current_before, membranes = current.reshape(-1, channels), membrane.reshape(-1, channels)
        driven, spikes = synaptic.reshape(-1, channels), fired.reshape(len(fired), -1, channels)
        for row in range(0, rows, at_once):
            n_rows = min(at_once, rows - row)
            sums = multiply_rows_of_steps(
                products, weights.stride, room, steps, row, (n_rows, columns)
            )
            first, last = row * columns, (row + n_rows) * columns
            here, above = (membranes[first:last], driven[first:last]), place[0] * columns + first
            update(
                start,
                rest_step,
                dynamics,
                current_before[first:last].reshape(1, 1, -1, channels),
                *here,
                spikes,
                above,
            )
            if steps > 1:
                arriving = sums[: steps - 1].reshape(steps - 1, 1, sums.shape[1], sums.shape[2])
                update(start + 1, rest_step, dynamics, arriving, *here, spikes[1:], above)
            for position in range(first, last):  # a slice would compile how to tell of its shape
                for channel in range(channels):
                    current_before[position, channel] = sums[steps - 1, position - first, channel]
        for i in range(steps):
            pack_spikes(fired[i, place[0] : place[0] + rows], place, packed[i])
        return steps

    current = layer[LayerInput._fields.index("current")]
    return multiply if HOW is AMX and current.dtype == types.int32 else never
