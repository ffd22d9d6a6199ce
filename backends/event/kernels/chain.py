"""Layers over some steps of a sample, in one compiled call: those of a chain, or one with all of
its inputs.

Between two calls Python takes longer than a small layer does, and threads wait for each other,
since one alone may run it. What a layer needs is handed over as an address, since numba would look
at all of its arrays in every call, and compile again for every number of layers. There is one such
function, since each compiles all that it calls anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import typeof, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from spikesam.backends.event.kernels._relay import add_relayed
from spikesam.backends.event.kernels.attention import attend
from spikesam.backends.event.kernels.compiled import LEAN, PART, compiled, internal
from spikesam.backends.event.kernels.events import (
    bits_at,
    floats_at,
    integers_at,
    maps_at,
    unpack_spikes,
)
from spikesam.backends.event.kernels.pooling import pool_currents
from spikesam.backends.event.kernels.private_numba import stored_size
from spikesam.backends.event.kernels.steps import LayerInput, add, addresses_of, advance, run_steps

PLAIN, ADVANCE, ADD = (
    0,
    1,
    2,
)  # what is to do in each step: see :func:`run_steps`; parts of :func:`run_layer`
SPIKES, RELAY, ATTENTION, CURRENT = range(4)  # what a source is to its input


class Arrival(NamedTuple):
    """A source of an input in some steps, (S, H, W, C) at an address, as a row of numbers.

    `further` sources are added to those before, and with the `last` they are pooled. That of
    ATTENTION has all channels if it is the `last`, too; else those of k and v are the next rows. Of
    a RELAY so many channels are `relayed`, from `channel` on to those of the current from `output`
    on, by weights at an address.
    """

    number: int
    kind: int
    sign: int
    further: int
    last: int
    address: int
    height: int
    width: int
    channels: int
    relayed: int
    output: int
    channel: int
    weights: int


NO_ARRIVALS = np.zeros((0, len(Arrival._fields)), np.int64)


class Inputs:
    """The inputs of a layer, with the memory that a sample changes, as compiled functions take any
    number of them.

    `run` is :func:`run_layers` of layers of this type. To call that itself takes ten times as long:
    numba looks for the types of all arguments, and of each array in them.
    """

    def __init__(self, inputs: Sequence[LayerInput]) -> None:
        self.first, self._kept = inputs[0], inputs
        number, row, rows, spikes = (
            types.int64,
            types.int64[::1],
            types.int64[:, ::1],
            types.boolean[:, ::1],
        )
        like = typeof(inputs[0])  # type: ignore[no-untyped-call]
        kinds = number, number, number, like, row, row, rows, rows, spikes, number, number, rows
        self.run = run_layers.compile(kinds)
        self._frozen = [np.zeros(frozen_bytes(layer_input), np.uint8) for layer_input in inputs]
        for layer_input, memory in zip(inputs, self._frozen, strict=True):
            freeze(layer_input, memory)
        self.at = addresses_of(self._frozen)


class Chain:
    """Layers that are :func:`alike`, each of which reads the one before it, with the memory that a
    sample changes.

    Shapes are (H, W, C) of the input and of each layer; `chunk` steps of a layer are computed at a
    time.
    """

    def __init__(
        self, layers: Sequence[LayerInput], shapes: Sequence[tuple[int, int, int]], chunk: int
    ) -> None:
        self._layers, self._shapes = Inputs(layers), np.array(shapes, np.int64)
        *sizes, last = (math.prod(shape) for shape in shapes)
        # A layer reads one and writes the other, and the next the other way round.
        self._maps = [
            np.zeros(chunk * max(sizes[first::2], default=0), np.bool_) for first in (0, 1)
        ]
        self._fired = np.zeros((chunk, last), np.bool_)
        self._at = addresses_of(self._maps)

    def run(
        self, samples: Sequence[NDArray[np.uint8]], packed: Sequence[NDArray[np.uint8]]
    ) -> None:
        """Simulate B samples, packed spikes (T, bytes) of the input -> those of each layer, (B, T,
        bytes), written.
        """
        arrays = [np.ascontiguousarray(sample) for sample in samples]
        sample_numbers = np.arange(len(arrays))
        written = (
            first + sample_numbers * bits.strides[0]
            for first, bits in zip(addresses_of(packed), packed, strict=True)
        )
        bits = np.stack([addresses_of(arrays), *written], axis=1)
        constants = self._layers.first, self._layers.at, self._at, self._shapes
        self._layers.run(0, len(arrays[0]), 0, *constants, bits, self._fired, 0, PLAIN, NO_ARRIVALS)


def alike(layers: Sequence[LayerInput]) -> bool:
    """True if all are of one type to numba, as :func:`run_layers` takes them: arrays have several
    layouts.
    """
    return len({typeof(layer) for layer in layers}) == 1  # type: ignore[no-untyped-call]


@intrinsic
def _store(_: Any, value: Any, memory: Any) -> tuple[Any, Callable[..., Any]]:
    """Write a value to the beginning of an array of bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        builder.store(arguments[0], builder.bitcast(data, arguments[0].type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(value, memory), generate


@intrinsic
def _load(_: Any, address: Any, like: Any) -> tuple[Any, Callable[..., Any]]:
    """The value at an address, of the type of `like`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], arguments[1].type.as_pointer()), align=1)

    return like(types.int64, like), generate


def frozen_bytes(layer: LayerInput) -> int:
    """The number of bytes that :func:`freeze` writes."""
    return stored_size(typeof(layer))  # type: ignore[no-untyped-call]


@compiled
def freeze(layer: LayerInput, memory: NDArray[np.uint8]) -> None:
    """Write where the arrays of a layer lie, and its numbers; the arrays must outlive the
    memory.
    """
    _store(layer, memory)  # type: ignore[call-arg]


@compiled
def run_layers(
    start: int,
    stop: int,
    rest_step: int,
    like: LayerInput,
    frozen: NDArray[np.int64],
    maps: NDArray[np.int64],
    shapes: NDArray[np.int64],
    bits: NDArray[np.int64],
    fired: NDArray[np.bool_],
    top: int,
    todo: int,
    arrivals: NDArray[np.int64],
) -> None:
    """Simulate B samples from step `start` to `stop`, S steps of a layer at a time.

    `like` is any layer, for its type. The others are addresses: of what :func:`freeze` wrote of
    each layer, of memory for S steps of what layers of even and of odd number read, and of the bits
    (T, bytes) of the input and of each layer, a row for each sample. `fired`, (S, N) bool, is
    memory for the spikes of the last layer. One layer may be given without bits of its input, for
    one sample and S steps; then `maps` are those of its sources, none where its current stays as it
    is, its rows begin at `top`, and its bits are of these steps alone, 0 for none. With more `todo`
    than PLAIN, it is a layer whose inputs are `frozen`, and `arrivals` have their sources.
    """
    layers = len(shapes) - 1
    one_layer = bits.shape[1] == layers
    for sample in range(len(bits)):
        for first in range(start, stop, len(fired)):
            now = fired[: stop - first]
            steps, source = len(now), (len(now), shapes[0, 0], shapes[0, 1], shapes[0, 2])
            if not one_layer:
                size = (source[1] * source[2] * source[3] + 7) // 8
                unpack_spikes(
                    bits_at(bits[sample, 0] + first * size, (steps, size)), maps_at(maps[0], source)
                )
            for number in range(layers):
                layer: Any = _load(frozen[number], like)  # type: ignore[call-arg]
                target = steps, shapes[number + 1, 0], shapes[number + 1, 1], shapes[number + 1, 2]
                size, place = (target[1] * target[2] * target[3] + 7) // 8, (top, target[1])
                spikes = (
                    now.reshape(target)
                    if number + 1 == layers
                    else maps_at(maps[(number + 1) % 2], target)
                )
                if one_layer:
                    packed = bits_at(bits[sample, 0], (steps, size if bits[sample, 0] else 0))
                else:
                    packed = bits_at(bits[sample, number + 1] + first * size, (steps, size))
                if todo != PLAIN:
                    run_layer(
                        first, rest_step, todo, layer, frozen, arrivals, spikes, place, packed
                    )
                else:
                    read = maps if one_layer else maps[number % 2 : number % 2 + 1]
                    run_steps(first, rest_step, read, source, layer, spikes, place, packed)
                source = target


@internal
def run_layer(
    start: int,
    rest_step: int,
    todo: int,
    layer: LayerInput,
    frozen: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    fired: NDArray[np.bool_],
    place: tuple[int, int],
    packed: NDArray[np.uint8],
) -> None:
    """:meth:`.layer.LayerKernel.run` of any layer: `todo` is ADVANCE, ADD or both; `arrivals` are
    :class:`Arrival`.
    """
    _, dynamics, current, membrane, synaptic, _ = layer
    top, bottom = place[0], place[0] + len(membrane)
    for i in range(len(fired)):
        if todo & ADVANCE:
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
        row = 0
        while row < len(arrivals) and todo & ADD:
            number, kind, sign = arrivals[row, 0], arrivals[row, 1], arrivals[row, 2]
            further, last, address = arrivals[row, 3] > 0, arrivals[row, 4] > 0, arrivals[row, 5]
            shape = len(fired), arrivals[row, 6], arrivals[row, 7], arrivals[row, 8]
            layer_input: Any = _load(frozen[number], layer)  # type: ignore[call-arg]
            synapses, scratch = layer_input.synapses, layer_input.scratch
            target = current[number]
            if kind == CURRENT:
                copy_rows(address, shape, i, top, target)
            elif kind == ATTENTION:
                keys, size = row if last else row + 1, target.shape[2]
                values, apart = row if last else row + 2, size if last else 0
                attend(
                    maps_at(address, shape)[i, top:bottom],
                    maps_at(arrivals[keys, 5], shape)[i],
                    maps_at(arrivals[values, 5], shape)[i],
                    (np.int64(0), apart, 2 * apart),
                    scratch.attention,
                    target,
                )
                row = values
            elif kind == RELAY:
                places = arrivals[row, 9], arrivals[row, 10], arrivals[row, 11]
                add_relayed(
                    maps_at(address, shape)[i, top:bottom],
                    arrivals[row, 12],
                    places,
                    further,
                    sign,
                    target,
                )
            else:
                add(maps_at(address, shape)[i], synapses, scratch, further, sign, target)
                if last and scratch.unpooled.size:
                    pool_currents(scratch.unpooled, synapses.windows, target)
            row += 1


def copy_rows(*_: Any) -> None:
    """Set a current, (H', W', C), to rows from `top` on of a step of the currents at an address."""
    raise NotImplementedError  # compiled only


@overload(copy_rows, jit_options=LEAN | PART)
def _copy_rows(address: Any, shape: Any, step: Any, top: Any, current: Any) -> Any:
    given_at = integers_at if current.dtype == types.int32 else floats_at

    def copy(address: Any, shape: Any, step: Any, top: Any, current: Any) -> None:
        currents = given_at(address, shape)[step]
        for row in range(len(current)):
            for column in range(current.shape[1]):
                for channel in range(current.shape[2]):
                    current[row, column, channel] = currents[top + row, column, channel]

    return copy
