"""One layer, laid out for the kernels: its weights and neurons, the memory of a sample, and its
parts for threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels._costs import costs_of
from spikesam.backends.event.kernels._products import Costs, ProductWeights
from spikesam.backends.event.kernels._relay import joined_gains, relay_of
from spikesam.backends.event.kernels.chain import (
    ADD,
    ADVANCE,
    ATTENTION,
    CURRENT,
    NO_ARRIVALS,
    PLAIN,
    RELAY,
    SPIKES,
    Arrival,
    Inputs,
)
from spikesam.backends.event.kernels.events import unpack
from spikesam.backends.event.kernels.neurons import dynamics_of
from spikesam.backends.event.kernels.steps import KernelSynapses, LayerInput, Scratch, addresses_of
from spikesam.backends.event.kernels.synapses import lay_out, room_for
from spikesam.backends.network import (
    LIF,
    NO_POOLING,
    PIXEL_LIMIT,
    Attention,
    FixedLIF,
    Identity,
    Input,
    Layer,
    LinearSynapse,
    Shape,
    Sides,
    Weighted,
    pair,
)

NONE = (1, 1)  # sides of no pooling
NO_BITS = np.zeros(1, np.int64)  # the address of none
# products a step of a part of a layer; where there are fewer, threads take longer to meet
LEAST = 5_000_000


Call = Callable[[NDArray[np.uint8] | None], None]  # is given room for packed bits


class LayerState(NamedTuple):
    """The memory that one sample changes in a layer, and scratch memory; made by
    :meth:`LayerKernel.rest`.

    Parameters
    ----------
    current : (K, H, W, C) int32 or float32 — `a[t+1]` of each of K inputs
    membrane : (H, W, C), of that dtype — `v[t]`
    inputs : these, all constants, and scratch memory
    """

    current: NDArray[Any]
    membrane: NDArray[Any]
    inputs: Inputs


class LayerKernel:
    """A layer of a network, laid out for the kernels. It holds constants only, so several threads
    may use it.

    A dense layer is a convolution whose kernel is as large as its pooled map.

    What arrives at a layer is one map of spikes for each source of each input: those of the first
    input in their order, then those of the second, and so on. A source with delay d gives the
    spikes of d - 1 steps before the step that has just been computed: they act in the next one.

    Parameters
    ----------
    layer : its inputs and neurons
    shapes : (C, H, W) of the sources of each input
    costs : what decides whether spikes are added or multiplied; measured if not given
    driven : numbers of the inputs at which a current comes in place of spikes

    Attributes
    ----------
    shapes : (C, H, W) of the spikes that arrive at each input, its sources joined
    heads : of each input, of attention on bits how many heads; 0 of others
    counted : number of an input -> the input, where spikes of several layers are multiplied: its
        current is computed in NumPy
    summed : of each input, True if the currents of all places are summed to one for each channel
    copied : of each source, its input if the synapse reads copies of some of its places; else None
    signs : of each input, the signs of its sources, 1 or -1; [1] of one without sources, or counted
    relays : of each input, its weights if none adds anything up: the identity, or 1×1 weights of
        which each output has one; None of others
    joined : the gains of all inputs as one input, where all are relays to different outputs; None
        elsewhere
    synapses : of each input, its weights and geometry; None without weights, or where joined
    output_shape : (H', W', C') of the currents, of a part of its rows
    rows, height : which rows of the layer's map these are, of how many
    packs : True if it writes bits; not so a part whose first bit may lie amid a byte
    dynamics : what neurons do in a step: decays, thresholds, biases
    dtype : of currents and membranes, int32 in fixed point, else float32
    """

    def __init__(
        self, layer: Layer, *shapes: Shape, costs: Costs | None = None, driven: Collection[int] = ()
    ) -> None:
        neuron, inputs = layer.spiking_neuron, layer.inputs
        self.shapes = [
            layer_input.arriving(shape) for layer_input, shape in zip(inputs, shapes, strict=True)
        ]
        self.heads = [
            _heads_of_bits(layer_input, arriving_shape)
            for layer_input, arriving_shape in zip(inputs, self.shapes, strict=True)
        ]
        # Kernels know no other products: their currents are computed beside.
        self.counted = {
            number: layer_input
            for number, layer_input in enumerate(inputs)
            if not isinstance(layer_input.synapse, LinearSynapse) and not self.heads[number]
        }
        self.summed = [layer_input.synapse.current_sum for layer_input in inputs]
        self.copied = [
            None if number in driven or not layer_input.synapse.copies else layer_input
            for number, layer_input in enumerate(inputs)
            for _ in layer_input.sources or [None]
        ]
        self.signs = [
            [1]
            if number in self.counted or not layer_input.sources
            else [source.sign for source in layer_input.sources]
            for number, layer_input in enumerate(inputs)
        ]
        self.relays = [
            relay_of(layer_input, shape)
            for layer_input, shape in zip(inputs, self.shapes, strict=True)
        ]
        self.joined = None if driven else joined_gains(neuron, inputs, self.relays)
        self.synapses = [
            None if self.joined is not None else _laid_out(layer_input, shape, costs)
            for layer_input, shape in zip(inputs, shapes, strict=True)
        ]
        self.packs = True
        outputs, rows, columns = inputs[0].output_shape(shapes[0])
        self.output_shape, self.rows, self.height = (rows, columns, outputs), slice(0, rows), rows
        largest = int(inputs[0].most(shapes[0], inputs[0].synapse.largest_current))
        if self.joined is not None:
            largest = max(layer_input.largest_current for layer_input in inputs)
            inputs = (Input(Identity(), gain=self.joined),)
        self.dynamics = dynamics_of(neuron, inputs, largest * (PIXEL_LIMIT if driven else 1))
        self.dtype = np.int32 if isinstance(neuron, FixedLIF) else np.float32

    @property
    def products(self) -> ProductWeights:
        """The weights that multiply the spikes of the first input, which has synapses."""
        assert self.synapses[0] is not None
        return self.synapses[0].weights.products

    def parts(self, max_parts: int) -> list[LayerKernel]:
        """Kernels of some rows each, up to `max_parts`, which threads may run at the same time.

        Their bits share no byte, or they leave them to be packed, see :attr:`packs`; and they are
        so few that they are worth it.
        """
        height, width, outputs = self.output_shape
        rows = 8 // math.gcd(8, width)  # whose bits fill whole bytes
        if height % rows:
            rows = 1
        taps = sum(
            math.prod(kernel_synapses.weights.weights.shape[1:4])
            for kernel_synapses in self.synapses
            if kernel_synapses
        )
        count = max(1, min(max_parts, height // rows, height * width * outputs * taps // LEAST))
        bounds = [height // rows * number // count * rows for number in range(count + 1)]
        return [self._part(first, last) for first, last in pairwise(bounds)]

    def _part(self, first: int, last: int) -> LayerKernel:
        part = copy(self)
        part.packs = self.height * self.output_shape[1] % 8 == 0 or last - first == self.height
        part.output_shape, part.rows = (last - first, *self.output_shape[1:]), slice(first, last)
        if last - first < self.height:
            part.synapses = [
                kernel_synapses and kernel_synapses.part(first, last)
                for kernel_synapses in self.synapses
            ]
        return part

    def pack(self, fired: NDArray[np.bool_], packed: NDArray[np.uint8]) -> None:
        """Write the bits of several steps that parts left, see :attr:`packs`; arrays as of
        :meth:`run`.
        """
        packed[:] = np.packbits(np.moveaxis(fired, -1, 1).reshape(len(fired), -1), axis=-1)

    def rest(self) -> LayerState:
        """The state before a sample begins."""
        count = len(self.synapses) if self.joined is None else 1
        current = np.zeros((count, *self.output_shape), self.dtype)
        membrane = np.zeros(self.output_shape, self.dtype)
        synaptic = np.zeros(self.output_shape if self.dynamics.apart else (0, 0, 0), self.dtype)
        shared = self.dynamics, current, membrane, synaptic
        synapses = (kernel_synapses or NO_SYNAPSES[self.dtype] for kernel_synapses in self.synapses)
        inputs = [
            LayerInput(kernel_synapses, *shared, self._scratch(number))
            for number, kernel_synapses in enumerate(synapses)
        ]
        return LayerState(current, membrane, Inputs(inputs))

    def _scratch(self, number: int) -> Scratch:
        """The room for an input."""
        synapses, heads = self.synapses[number] or NO_SYNAPSES[self.dtype], self.heads[number]
        shape, several_sources = (
            self.shapes[number] if self.synapses[number] else (1, 1, 1),
            self.signs[number] != [1],
        )
        top, bottom = synapses.rows
        channels, height, width = _pooled((shape[0], bottom - top, shape[2]), synapses.spike_pool)
        unpooled, nothing = synapses.positions, (0, 0, 0)
        apart = (
            synapses.windows != NO_POOLING
            or self.summed[number]
            or unpooled[2] < self.output_shape[2]
        )
        depth = self.shapes[number][0] // 3 // heads if heads else 0
        return Scratch(
            room_for(synapses.weights, (channels, height, width)),
            np.zeros(
                (height, width, channels) if synapses.spike_pool != NONE else nothing, np.bool_
            ),
            np.zeros(unpooled if self.synapses[number] and apart else nothing, self.dtype),
            np.zeros(unpooled if several_sources else nothing, self.dtype),
            np.zeros((depth, depth), self.dtype),
        )

    def advance(
        self,
        t: int,
        state: LayerState,
        fired: NDArray[np.bool_],
        packed: NDArray[np.uint8],
        rest_step: int = 0,
    ) -> None:
        """Bring the neurons to step t of a sample; at that of `rest_step` they rest, whatever was
        before.

        Parameters
        ----------
        fired : (H', W', C') bool, of which :attr:`rows` are written — their spikes
        packed : (⌈C'·H'·W'/8⌉,) uint8, written — the same as bits in the file's order
        """
        self._call(t, rest_step, ADVANCE, [], state, fired[None])(packed[None])

    def add(self, arrived: Sequence[NDArray[Any] | None], state: LayerState) -> None:
        """Set `state.current` to the currents that spikes cause in the next step.

        Parameters
        ----------
        arrived : (H, W, C) bool of each source; or the current itself, (H', W', C') of its type, of
            an input of one source; None leaves the current of its input as it is
        """
        room = np.empty((1, self.height, *self.output_shape[1:]), np.bool_)
        spread = self._spread(
            [
                arriving_map if arriving_map is None else arriving_map[None]
                for arriving_map in arrived
            ]
        )
        self._call(0, 0, ADD, spread, state, room)(None)

    def _spread(self, arrived: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
        """Spikes of each source, (S, H, W, C), as their inputs see them."""
        spread_spikes = list(arrived)
        for number, (copying_input, spikes) in enumerate(zip(self.copied, arrived, strict=True)):
            if spikes is not None and copying_input is not None:
                spread_spikes[number] = copying_input.synapse.arranged(spikes, (-1, -3, -2))
        return self._multiplied(spread_spikes) if self.counted else spread_spikes

    def _multiplied(self, arrived: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
        """Currents in place of spikes that are multiplied, of the inputs of `counted`."""
        following, currents = iter(arrived), list[NDArray[Any] | None]()
        for number, signs in enumerate(self.signs):
            multiplied = self.counted.get(number)
            sources = [next(following) for _ in (multiplied.sources if multiplied else signs)]
            if multiplied and sources[0] is not None:
                sums = [
                    np.sum(summands, axis=0, dtype=np.float32)
                    for summands in multiplied.summands(sources)
                ]
                maps = np.moveaxis(np.concatenate(sums, axis=-1), -1, 1)
                products = multiplied.synapse.currents_of_steps(multiplied, maps)
                sources = [np.moveaxis(products, 1, -1).astype(self.dtype)]
            currents += sources[: len(signs)]
        return currents

    @property
    def repeats(self) -> bool:
        """True if an input makes copies of what its sources fire."""
        return bool(self.counted) or any(copying_input is not None for copying_input in self.copied)

    @property
    def plain(self) -> bool:
        """True if the layer has one input, of synapses, whose sources have sign 1."""
        return (
            len(self.synapses) == 1 and self.synapses[0] is not None and set(self.signs[0]) == {1}
        )

    def run(
        self,
        start: int,
        arrived: Sequence[NDArray[Any] | None],
        state: LayerState,
        fired: NDArray[np.bool_],
        packed: NDArray[np.uint8],
        rest_step: int = 0,
    ) -> None:
        """Advance by several steps.

        Parameters
        ----------
        start, rest_step : number of the first of them, and of that in which neurons are at rest, as
            before the first
        arrived : (S, …) of each source — see :meth:`add`; spikes may share memory with `fired`
        state : of the step before, advanced
        fired : (S, H', W', C') bool, of which :attr:`rows` are written — the layer's spikes
        packed : (S, ⌈C'·H'·W'/8⌉) uint8, written if it :attr:`packs` — the same as bits in the
            file's order
        """
        self.call(start, arrived, state, fired, rest_step)(packed)

    def call(
        self,
        start: int,
        arrived: Sequence[NDArray[Any] | None],
        state: LayerState,
        fired: NDArray[np.bool_],
        rest_step: int = 0,
    ) -> Call:
        """A function of `packed` that does what :meth:`run` does; it may be called again as long as
        `arrived` are the same arrays.
        """
        plain = self.plain and (arrived[0] is None or arrived[0].dtype == np.bool_)
        todo = PLAIN if plain else ADVANCE | ADD
        if not self.repeats:
            return self._call(start, rest_step, todo, arrived, state, fired)
        reads_itself = any(
            arriving_maps is not None and np.may_share_memory(arriving_maps, fired)
            for arriving_maps in arrived
        )

        def call(packed: Any) -> None:
            if not reads_itself:
                self._call(start, rest_step, todo, self._spread(arrived), state, fired)(packed)
                return
            for i in range(
                len(fired)
            ):  # what is spread is a copy, which would lack spikes that are yet to be fired
                self.advance(start + i, state, fired[i], packed[i], rest_step)
                self.add(
                    [
                        arriving_maps if arriving_maps is None else arriving_maps[i]
                        for arriving_maps in arrived
                    ],
                    state,
                )

        return call

    def _call(
        self,
        start: int,
        rest_step: int,
        todo: int,
        arrived: Sequence[NDArray[Any] | None],
        state: LayerState,
        fired: NDArray[np.bool_],
    ) -> Call:
        """:func:`~.chain.run_layers` of this layer, of the bits to be written; spikes that arrive
        are spread.
        """
        assert fired.flags.c_contiguous
        dtypes = {np.dtype(np.bool_): np.bool_}
        contiguous_maps = [
            None
            if arriving_maps is None
            else np.ascontiguousarray(arriving_maps, dtypes.get(arriving_maps.dtype, self.dtype))
            for arriving_maps in arrived
        ]
        sources = addresses_of(
            arriving_maps
            for arriving_maps in contiguous_maps
            if arriving_maps is not None and todo == PLAIN
        )
        rows = self._arrivals(contiguous_maps) if todo & ADD else NO_ARRIVALS
        channels, height, width = self.shapes[0]
        shapes = np.array(
            [(height, width, channels), (self.height, *self.output_shape[1:])], np.int64
        )
        inputs, spikes, top = state.inputs, fired.reshape(len(fired), -1), self.rows.start
        stop = start + len(fired)

        def call(
            packed: NDArray[np.uint8] | None, _: object = contiguous_maps
        ) -> None:  # whose addresses are handed over
            assert packed is None or packed.flags.c_contiguous or not self.packs
            bits = NO_BITS if packed is None or not self.packs else addresses_of([packed])
            inputs.run(
                start,
                stop,
                rest_step,
                inputs.first,
                inputs.at,
                sources,
                shapes,
                bits[None],
                spikes,
                top,
                todo,
                rows,
            )

        return call

    def _arrivals(self, arrived: Sequence[NDArray[Any] | None]) -> NDArray[np.int64]:
        """A row as of :class:`~.chain.Arrival` for each source from which something arrives."""
        following, rows = iter(arrived), []
        rows_of_inputs = zip(self.synapses, self.signs, self.relays, strict=True)
        for number, (synapses, signs, relay) in enumerate(rows_of_inputs):
            sources = [next(following) for _ in signs]
            if sources[0] is None:
                continue
            kind, relay_fields = SPIKES if synapses else ATTENTION, (0, 0, 0, 0)
            if relay and not synapses:
                kind, relay_fields = (
                    RELAY,
                    (
                        len(relay.weights),
                        relay.output,
                        relay.channel,
                        *addresses_of([relay.weights]),
                    ),
                )
            for place, (source, sign) in enumerate(zip(sources, signs, strict=True)):
                assert source is not None  # where the first source is not
                arrival_kind, last = (
                    kind if source.dtype == np.bool_ else CURRENT,
                    place + 1 == len(signs),
                )
                input_number, (address,) = (
                    number if self.joined is None else 0,
                    addresses_of([source]),
                )
                rows.append(
                    (
                        input_number,
                        arrival_kind,
                        sign,
                        place > 0,
                        last,
                        address,
                        *source.shape[1:],
                        *relay_fields,
                    )
                )
        return np.array(rows, np.int64).reshape(-1, len(Arrival._fields))


def _heads_of_bits(layer_input: Input, arriving_shape: Shape) -> int:
    """The heads of attention that the kernels know, to bits of one shape; 0 of other inputs."""
    synapse = layer_input.synapse
    if isinstance(synapse, Attention) and synapse.of_bits(layer_input, arriving_shape[0]):
        return synapse.heads
    return 0


def _laid_out(layer_input: Input, shape: Shape, costs: Costs | None) -> KernelSynapses | None:
    """The synapses of an input whose sources are (C, H, W); None where it has no weights."""
    synapse = layer_input.synapse
    if not isinstance(synapse, Weighted):
        return None
    _, down, across = layer_input.unpooled_shape(shape)
    weight, n_outputs = synapse.weight, len(synapse.weight)
    counts = (
        n
        for n in range(1, n_outputs)
        if n_outputs % n == 0 and not synapse.current_sum and (weight[0] == weight[n]).all()
    )
    outputs = next(
        (n for n in counts if (weight[n:] == weight[:-n]).all()), n_outputs
    )  # whose weights others repeat
    shape = layer_input.arriving(shape)
    kernel = synapse.kernel(synapse.averaged_weight[:outputs], synapse.pooled_shape(shape))
    pool = pair(synapse.pool)
    spikes, summed = (pool, NONE) if synapse.pooling == "max" else (NONE, pool)
    spike_shape = _pooled(shape, spikes)
    weights = lay_out(
        kernel,
        spike_shape,
        summed,
        pair(synapse.stride),
        pair(synapse.padding),
        max(1, len(layer_input.sources)),
    )
    if costs is None:
        _, seen_height, seen_width = _pooled(spike_shape, summed)
        size, seen_sides, positions = (
            math.prod(spike_shape),
            (seen_height, seen_width),
            (down, across),
        )
        costs = costs_of(
            weights.products, weights.weights, size, seen_sides, positions, LayerKernel
        )
    weights = weights._replace(products=weights.products._replace(costs=costs))
    return KernelSynapses(weights, spikes, synapse.windows, (down, across, outputs), (0, shape[1]))


def _pooled(shape: Shape, pool: Sides) -> Shape:
    (channels, height, width), (y, x) = shape, pair(pool)
    return channels, height // y, width // x


NO_SYNAPSES: Any = {  # of an input that has none: kernels take inputs of one type
    current: KernelSynapses(
        lay_out(np.zeros((1, 1, 1, 1), dtype), (1, 1, 1), NONE, NONE, (0, 0)),
        NONE,
        NO_POOLING,
        (1, 1, 1),
        (0, 1),
    )
    for current, dtype in ((np.int32, np.int8), (np.float32, np.float32))
}


def compile_kernels(precision: str) -> None:
    """Compile (or load from numba's cache) every kernel for one precision: seconds the first time,
    then a moment.

    Call it before a timed part, and before forking, so that no child compiles again.
    """
    fixed = precision == "fixed"
    inputs = Input(np.ones((1, 1), np.int8 if fixed else np.float32))
    layer = Layer("compiled", inputs, FixedLIF(0) if fixed else LIF(1.0))
    kernel = LayerKernel(layer, (1, 1, 1), costs=Costs(0.0, 0.0, 0.0))
    spikes, packed = np.zeros((1, 1, 1, 1), np.bool_), np.zeros((1, 1), np.uint8)
    kernel.run(0, [spikes], kernel.rest(), spikes, packed)
    unpack(packed, spikes)
