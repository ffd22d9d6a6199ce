"""One layer over several steps, from its input spikes to its own, in one compiled call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backends.network import LIF, FixedLIF, Layer, Shape, pair

from .compiled import compiled
from .events import pack_spikes
from .neurons import Dynamics, dynamics_of, step
from .pooling import pool_currents, pool_spikes
from .synapses import Room, WeightLayout, correlate, lay_out, room_for


class State(NamedTuple):
    """The memory that one sample changes in a layer, and scratch memory; made by :meth:`LayerKernel.rest`.

    Parameters
    ----------
    current, membrane : (H, W, C) int32 or float32 — `a[t+1]` and `v[t]`
    synaptic : as the membrane — `i[t]`; empty where it does not outlast a step
    room : see :func:`backends.event.kernels.synapses.correlate`
    pooled : (H/y, W/x, C) bool — the input spikes behind maximum pooling; empty without
    unpooled : (H·y, W·x, C) as the current — currents in front of their maximum pooling; empty without
    """

    current: NDArray[Any]
    membrane: NDArray[Any]
    synaptic: NDArray[Any]
    room: Room
    pooled: NDArray[np.bool_]
    unpooled: NDArray[Any]


class Pooling(NamedTuple):
    """(y, x) of the maximum pooling of a layer's input spikes and of its currents; (1, 1) for none."""

    spikes: tuple[int, int]
    currents: tuple[int, int]


class LayerKernel:
    """A layer of a network, laid out for the kernels. It holds constants only, so several threads may use it.

    A dense layer is a convolution whose kernel is as large as its pooled map.

    Parameters
    ----------
    layer : its weights and neurons
    shape : (C, H, W) of its input
    """

    def __init__(self, layer: Layer, shape: Shape) -> None:
        channels, height, width = shape
        rows, columns = pool = pair(layer.pool)
        kernel = layer.averaged_weight
        if layer.kind == "dense":
            kernel = kernel.reshape(-1, channels, height // rows, width // columns)
        spikes, summed = (pool, (1, 1)) if layer.pooling == "max" else ((1, 1), pool)
        self.pooling = Pooling(spikes, pair(layer.current_pool))
        self.synapses_shape = channels, height // spikes[0], width // spikes[1]
        self.synapses = lay_out(kernel, self.synapses_shape, summed, pair(layer.stride), pair(layer.padding))
        self.input_shape = height, width, channels
        outputs, rows, columns = layer.output_shape(shape)
        self.output_shape = rows, columns, outputs
        self.dynamics = dynamics_of(layer.spiking_neuron)
        self.dtype = np.int32 if isinstance(layer.spiking_neuron, FixedLIF) else np.float32  # of currents, membranes

    def rest(self) -> State:
        """The state before a sample begins."""
        channels, height, width = self.synapses_shape
        rows, columns, outputs = self.output_shape
        y, x = self.pooling.currents
        return State(
            np.zeros(self.output_shape, self.dtype),
            np.zeros(self.output_shape, self.dtype),
            np.zeros(self.output_shape if self.dynamics.outlasts else (0, 0, 0), self.dtype),
            room_for(self.synapses, self.synapses_shape),
            np.zeros((height, width, channels) if self.pooling.spikes != (1, 1) else (0, 0, 0), np.bool_),
            np.zeros((rows * y, columns * x, outputs) if (y, x) != (1, 1) else (0, 0, 0), self.dtype),
        )

    def advance(self, t: int, state: State, fired: NDArray[np.bool_], packed: NDArray[np.uint8]) -> None:
        """Bring the neurons to step t of a sample; at t = 0 they are at rest, whatever they and `current` were before.

        Parameters
        ----------
        fired : (H', W', C') bool, written — their spikes
        packed : (⌈C'·H'·W'/8⌉,) uint8, written — the same as bits in the file's order
        """
        advance(t, self.dynamics, state.current, state.membrane, state.synaptic, fired, packed)

    def add(self, spikes: NDArray[np.bool_], state: State) -> None:
        """Set `state.current` to the currents that one step's `spikes`, (H, W, C) bool, cause in the next step."""
        add(spikes, self.synapses, self.pooling, state)

    def run(
        self, start: int, arrived: NDArray[np.bool_] | None, state: State, packed: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """Advance by several steps.

        Parameters
        ----------
        start : number of the first of them
        arrived : (S, H, W, C) bool — input spikes of these steps; None leaves the current as it is
        state : of the step before, advanced
        packed : (S, ⌈C'·H'·W'/8⌉) uint8, written — the spikes as bits in the file's order

        Returns
        -------
        (S, H', W', C') bool — the layer's spikes
        """
        fired = np.empty((len(packed), *self.output_shape), np.bool_)
        nothing = np.empty((0, *self.input_shape), np.bool_)
        arrived = nothing if arrived is None else arrived
        run_steps(start, arrived, self.synapses, self.pooling, self.dynamics, state, fired, packed)
        return fired


@compiled
def advance(
    t: int,
    dynamics: Dynamics,
    current: NDArray[Any],
    membrane: NDArray[Any],
    synaptic: NDArray[Any],
    fired: NDArray[np.bool_],
    packed: NDArray[np.uint8],
) -> None:
    """:meth:`LayerKernel.advance`, compiled; `current`, `membrane` and `synaptic` are those of :class:`State`."""
    channels = dynamics.neurons.gain.shape[1]
    if t == 0:
        membrane[:] = 0
        synaptic[:] = 0
        fired[:] = False
    else:
        maps = current.reshape(-1, channels), membrane.reshape(-1, channels), fired.reshape(-1, channels)
        if dynamics.outlasts:
            driven = synaptic.reshape(-1, channels)
            step(t, dynamics.currents, maps[0], driven, maps[2])
            step(t, dynamics.neurons, driven, maps[1], maps[2])
        else:
            step(t, dynamics.neurons, maps[0], maps[1], maps[2])
    pack_spikes(fired, packed)


@compiled
def add(spikes: NDArray[np.bool_], synapses: WeightLayout, pooling: Pooling, state: State) -> None:
    """:meth:`LayerKernel.add`, compiled."""
    currents = state.unpooled if pooling.currents != (1, 1) else state.current
    if pooling.spikes != (1, 1):
        pool_spikes(spikes, pooling.spikes, state.pooled)
        correlate(state.pooled, synapses, state.room, currents)
    else:
        correlate(spikes, synapses, state.room, currents)
    if pooling.currents != (1, 1):
        pool_currents(currents, pooling.currents, state.current)


@compiled
def run_steps(
    start: int,
    arrived: NDArray[np.bool_],
    synapses: WeightLayout,
    pooling: Pooling,
    dynamics: Dynamics,
    state: State,
    fired: NDArray[np.bool_],
    packed: NDArray[np.uint8],
) -> None:
    """:meth:`LayerKernel.run`, compiled; `arrived` holds no steps where the current is constant."""
    for i in range(len(fired)):
        advance(start + i, dynamics, state.current, state.membrane, state.synaptic, fired[i], packed[i])
        if len(arrived):
            add(arrived[i], synapses, pooling, state)


def compile_kernels(precision: str) -> None:
    """Compile (or load from numba's cache) every kernel for one precision: seconds the first time, then a moment.

    Call it before a timed part, and before forking, so that no child compiles again.
    """
    fixed = precision == "fixed"
    neuron = FixedLIF(0, 0, np.ones((1, 1), np.int32), np.zeros((1, 1), np.int32)) if fixed else LIF(1.0)
    kernel = LayerKernel(Layer("compiled", np.ones((1, 1), np.int8 if fixed else np.float32), neuron), (1, 1, 1))
    state, spikes = kernel.rest(), np.zeros((1, 1, 1, 1), np.bool_)
    kernel.advance(0, state, spikes[0], np.zeros(1, np.uint8))
    kernel.add(spikes[0], state)
    kernel.run(0, spikes, state, np.zeros((1, 1), np.uint8))
