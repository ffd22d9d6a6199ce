"""One layer, laid out for the kernels: its weights and neurons, the memory of a sample, and its parts for threads."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.attention import AttentionRoom, attend, attention_room
from spikesam.backends.event.kernels.chain import Chain
from spikesam.backends.event.kernels.costs import costs_of
from spikesam.backends.event.kernels.events import pack_spikes
from spikesam.backends.event.kernels.neurons import dynamics_of
from spikesam.backends.event.kernels.pooling import pool_currents
from spikesam.backends.event.kernels.products import Costs, Products
from spikesam.backends.event.kernels.steps import (
    KernelSynapses,
    PlainLayer,
    Scratch,
    add,
    add_signed,
    addresses_of,
    advance,
    run_steps,
)
from spikesam.backends.event.kernels.synapses import lay_out, room_for
from spikesam.backends.network import LIF, NO_POOLING, PIXEL_LIMIT, FixedLIF, Input, Layer, Shape, Sides, pair
from spikesam.backends.network.inputs import WHOLE

NONE = (1, 1)  # sides of no pooling
LEAST = 5_000_000  # products a step of a part of a layer; where there are fewer, threads take longer to meet


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
    scratch: tuple[Scratch | AttentionRoom | None, ...]


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
    driven : numbers of the inputs at which a current comes in place of spikes

    Attributes
    ----------
    packs : whether it writes bits; not so a part whose first bit may lie amid a byte
    """

    def __init__(self, layer: Layer, *shapes: Shape, costs: Costs | None = None, driven: Collection[int] = ()) -> None:
        neuron, inputs = layer.spiking_neuron, layer.inputs
        self.shapes = [each.arriving(shape) for each, shape in zip(inputs, shapes, strict=True)]
        self.heads, self.summed = [each.heads for each in inputs], [each.current_sum for each in inputs]
        self.spreads = [each.spread for each in inputs for _ in each.sources or [None]]
        self.signs = [[source.sign for source in each.sources] or [1] for each in inputs]
        self.synapses = [_laid_out(each, shape, costs) for each, shape in zip(inputs, shapes, strict=True)]
        self.packs = True
        outputs, rows, columns = inputs[0].output_shape(shapes[0])
        self.output_shape, self.rows, self.height = (rows, columns, outputs), slice(0, rows), rows
        largest = inputs[0].counted(self.shapes[0]) if inputs[0].heads else inputs[0].largest_current
        largest *= math.prod(inputs[0].unpooled_shape(shapes[0])[1:]) if inputs[0].current_sum else 1
        self.dynamics = dynamics_of(neuron, inputs, largest * (PIXEL_LIMIT if driven else 1))
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
        if last - first < self.height:
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
            tuple(map(self._scratch, range(len(self.synapses)))),
        )

    def _scratch(self, number: int) -> Scratch | AttentionRoom | None:
        """The room for an input."""
        synapses, shape, several = self.synapses[number], self.shapes[number], self.signs[number] != [1]
        if synapses is None:
            return attention_room(shape[0] // 3 // self.heads[number]) if self.heads[number] else None
        top, bottom = synapses.rows
        channels, height, width = _pooled((shape[0], bottom - top, shape[2]), synapses.spike_pool)
        unpooled, nothing = (*synapses.positions, self.output_shape[2]), (0, 0, 0)
        return Scratch(
            room_for(synapses.weights, (channels, height, width)),
            np.zeros((height, width, channels) if synapses.spike_pool != NONE else nothing, np.bool_),
            np.zeros(unpooled if synapses.windows != NO_POOLING or self.summed[number] else nothing, self.dtype),
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
        self._add(self._spread(arrived), state)

    def _spread(self, arrived: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
        """Spikes of each source, (…, H, W, C), as their inputs see them."""
        found = list(arrived)
        for number, ((channels, rows, columns), spikes) in enumerate(zip(self.spreads, arrived, strict=True)):
            if spikes is not None and (channels, rows, columns) != WHOLE:
                found[number] = spikes.repeat(rows, -3).repeat(columns, -2).repeat(channels, -1)
        return found

    def _add(self, arrived: Sequence[NDArray[Any] | None], state: State) -> None:
        """:meth:`add` of spikes that are spread."""
        following = iter(arrived)
        for synapses, signs, scratch, current in zip(
            self.synapses, self.signs, state.scratch, state.current, strict=True
        ):
            spikes: list[Any] = [next(following) for _ in signs]
            if spikes[0] is None:
                continue
            if spikes[0].dtype != np.bool_:
                current[:] = spikes[0][self.rows]
                continue
            if isinstance(scratch, AttentionRoom):
                several, size = len(spikes) == 3, current.shape[-1]
                query, key, value = spikes if several else 3 * spikes
                firsts = (0, 0, 0) if several else (0, size, 2 * size)
                attend(query[self.rows], key, value, firsts, scratch, current)
                continue
            for number, (sign, fired) in enumerate(zip(signs, spikes, strict=True)):
                if synapses is None:
                    assert fired is not None  # where the first source is not
                    add_signed(fired[self.rows], number > 0, sign, current)
                else:
                    add(fired, synapses, scratch, number > 0, sign, current)
            if synapses and scratch and scratch.unpooled.size:
                pool_currents(scratch.unpooled, synapses.windows, current)

    @property
    def repeats(self) -> bool:
        """True if an input spreads its sources."""
        return any(each != WHOLE for each in self.spreads)

    def plain(self, state: State) -> PlainLayer | None:
        """The layer and its state, if it has one input, whose sources have sign 1."""
        (synapses, *others), (signs, *_), scratch = self.synapses, self.signs, state.scratch[0]
        if others or set(signs) != {1} or not synapses or not isinstance(scratch, Scratch):
            return None
        return PlainLayer(synapses, self.dynamics, state.current, state.membrane, state.synaptic, scratch)

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
        # What is spread is a copy, which would lack the spikes that are yet to be fired.
        loop = self.repeats and any(each is not None and np.may_share_memory(each, fired) for each in arrived)
        arrived, add = (arrived, self.add) if loop else (self._spread(arrived), self._add)
        if not loop and (layer := self.plain(state)) and (arrived[0] is None or arrived[0].dtype == np.bool_):
            channels, height, width = self.shapes[0]
            sources, shape = addresses_of(each for each in arrived if each is not None), (height, width, channels)
            run_steps(start, sources, (len(fired), *shape), layer, fired, (self.rows.start, self.height), packed)
            return
        for i in range(len(fired)):
            self.advance(start + i, state, fired[i, self.rows], packed[i])
            add([None if each is None else each[i] for each in arrived], state)


def _laid_out(each: Input, shape: Shape, costs: Costs | None) -> KernelSynapses | None:
    """The synapses of an input whose sources are (C, H, W); None of the identity and of attention."""
    if each.weight is None:
        return None
    _, down, across = each.unpooled_shape(shape)
    shape, kernel = each.arriving(shape), each.averaged_weight
    if each.kind == "dense":
        kernel = kernel.reshape(-1, *_pooled(shape, each.pool))
    pool = pair(each.pool)
    spikes, summed = (pool, NONE) if each.pooling == "max" else (NONE, pool)
    before = _pooled(shape, spikes)
    weights = lay_out(kernel, before, summed, pair(each.stride), pair(each.padding), max(1, len(each.sources)))
    positions = down, across
    if costs is None:
        _, *seen = _pooled(before, summed)
        sides = seen[0], seen[1]
        costs = costs_of(weights.products, weights.weights, math.prod(before), sides, positions, LayerKernel)
    weights = weights._replace(products=weights.products._replace(costs=costs))
    return KernelSynapses(weights, spikes, each.windows, positions, (0, shape[1]))


def _pooled(shape: Shape, pool: Sides) -> Shape:
    (channels, height, width), (y, x) = shape, pair(pool)
    return channels, height // y, width // x


def compile_kernels(precision: str) -> None:
    """Compile (or load from numba's cache) every kernel for one precision: seconds the first time, then a moment.

    Call it before a timed part, and before forking, so that no child compiles again.
    """
    fixed = precision == "fixed"
    neuron = FixedLIF(0) if fixed else LIF(1.0)
    weight = np.ones((1, 1), np.int8 if fixed else np.float32)
    spikes, packed = np.zeros((1, 1, 1, 1), np.bool_), np.zeros((1, 1), np.uint8)
    several = Input(weight, ("a", "b")), Input(None, "a"), Input(None, ("a", "b", "a"), heads=1)
    for inputs in ((Input(weight),), several):
        kernel = LayerKernel(Layer("compiled", inputs, neuron), *len(inputs) * [(1, 1, 1)], costs=Costs(0.0, 0.0, 0.0))
        state, arrived = kernel.rest(), sum(map(len, kernel.signs)) * [spikes]
        kernel.run(0, arrived, state, spikes, packed)
        kernel.add([each[0] for each in arrived], state)
        kernel.advance(0, state, spikes[0], packed[0])
        if plain := kernel.plain(state):
            Chain([plain], [(1, 1, 1), (1, 1, 1)], 1).run(packed, [packed], lambda _: None)
    pool_currents(state.current[0], NO_POOLING, state.membrane)
