"""All layers of a chain over some steps of a sample, in one compiled call.

Between two calls Python takes longer than a small layer does, and threads wait for each other, since one alone may run
it. What a layer needs is handed over as an address, since numba would look at all of its arrays in every call, and
compile again for every number of layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import typeof, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import compiled
from spikesam.backends.event.kernels.events import bits_at, maps_at, unpack_spikes
from spikesam.backends.event.kernels.steps import PlainLayer, addresses_of, run_steps


class Chain:
    """Layers that are :func:`alike`, each of which reads the one before it, with the memory that a sample changes.

    Shapes are (H, W, C) of the input and of each layer; `chunk` steps of a layer are computed at a time.
    """

    def __init__(self, layers: Sequence[PlainLayer], shapes: Sequence[tuple[int, int, int]], chunk: int) -> None:
        self._layers, self._chunk, self._shapes = layers, chunk, np.array(shapes, np.int64)
        self._frozen = [np.zeros(frozen_bytes(layer), np.uint8) for layer in layers]
        for layer, memory in zip(layers, self._frozen, strict=True):
            freeze(layer, memory)
        *sizes, last = (math.prod(shape) for shape in shapes)
        # A layer reads one and writes the other, and the next the other way round.
        self._maps = [np.zeros(chunk * max(sizes[first::2], default=0), np.bool_) for first in (0, 1)]
        self._fired = np.zeros((chunk, last), np.bool_)
        self._at = addresses_of(self._frozen), addresses_of(self._maps)

    def run(
        self, given: NDArray[np.uint8], packed: Sequence[NDArray[np.uint8]], take: Callable[[NDArray[np.bool_]], None]
    ) -> None:
        """Simulate a sample: packed spikes (T, bytes) of the input -> those of each layer, written.

        `take` is called with (S, N) bool, the spikes of the last layer in the next steps.
        """
        given = np.ascontiguousarray(given)
        bits = addresses_of([given, *packed])
        for start in range(0, len(given), self._chunk):
            fired = self._fired[: len(given) - start]
            run_chain(start, self._layers[0], *self._at, self._shapes, bits, fired)
            take(fired)


def alike(layers: Sequence[PlainLayer]) -> bool:
    """True if all are of one type to numba, as :func:`run_chain` takes them: arrays may be laid out in several ways."""
    return len({typeof(layer) for layer in layers}) == 1  # type: ignore[no-untyped-call]


@intrinsic
def _size(_: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """How many bytes a value takes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.int64, context.get_abi_sizeof(arguments[0].type))

    return types.int64(value), generate


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


@compiled
def frozen_bytes(layer: PlainLayer) -> int:
    """How many bytes :func:`freeze` writes."""
    return _size(layer)  # type: ignore[call-arg]


@compiled
def freeze(layer: PlainLayer, memory: NDArray[np.uint8]) -> None:
    """Write where the arrays of a layer lie, and its numbers; the arrays must outlive the memory."""
    _store(layer, memory)  # type: ignore[call-arg]


@compiled
def run_chain(
    start: int,
    like: PlainLayer,
    frozen: NDArray[np.int64],
    maps: NDArray[np.int64],
    shapes: NDArray[np.int64],
    bits: NDArray[np.int64],
    fired: NDArray[np.bool_],
) -> None:
    """Simulate S steps of a sample from `start` on, whose spikes of the last layer, (S, N) bool, are written.

    `like` is any layer, for its type. The others are addresses: of what :func:`freeze` wrote of each layer, of memory
    for S steps of what layers of even and of odd number read, and of the bits (T, bytes) of the input and of each
    layer.
    """
    steps, layers = len(fired), len(frozen)
    source = steps, shapes[0, 0], shapes[0, 1], shapes[0, 2]
    size = (source[1] * source[2] * source[3] + 7) // 8
    unpack_spikes(bits_at(bits[0] + start * size, (steps, size)), maps_at(maps[0], source))
    for number in range(layers):
        layer: Any = _load(frozen[number], like)  # type: ignore[call-arg]
        target = steps, shapes[number + 1, 0], shapes[number + 1, 1], shapes[number + 1, 2]
        size = (target[1] * target[2] * target[3] + 7) // 8
        last = number + 1 == layers
        run_steps(
            start,
            maps[number % 2 : number % 2 + 1],
            source,
            layer,
            fired.reshape(target) if last else maps_at(maps[(number + 1) % 2], target),
            (np.int64(0), target[1]),  # of the type that whoever else calls it gives
            bits_at(bits[number + 1] + start * size, (steps, size)),
        )
        source = target
