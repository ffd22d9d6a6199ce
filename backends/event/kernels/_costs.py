"""The cheaper of adding and multiplying, by the time that either takes on this machine, measured at
first use.

What is measured is one layer, small enough for the cache, of as many outputs as a row of weights
has: a few milliseconds, once a process. It is the same whole layer each time, so what is not
synapses cancels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels._products import STEPS, Costs, Pair, ProductWeights
from spikesam.backends.event.kernels._tiles import AMX, GROUP, HOW
from spikesam.backends.network import Conv, FixedLIF, Input, Layer, Shape

SIDE, CHANNELS, REPEATS = 16, 64, 5  # of the layer that is measured, and how often
POOL = 2  # of one with fewer positions
ALWAYS, NEVER = Costs(0.0, 0.0, 0.0), Costs(0.0, math.inf, math.inf)  # multiply if anything fires


class Kernel(Protocol):
    """The part of :mod:`.layer`, which imports this file, that is needed here."""

    output_shape: Shape

    @property
    def products(self) -> ProductWeights:
        """The weights of its only synapses."""

    def rest(self) -> Any:
        """See :meth:`.layer.LayerKernel.rest`."""

    def run(self, start: int, arrived: Any, state: Any, fired: Any, packed: Any) -> None:
        """See :meth:`.layer.LayerKernel.run`."""


class Seconds(NamedTuple):
    """Seconds that a layer spends, by what it does.

    Parameters
    ----------
    row : adding a row of weights
    pixel : how much longer adding at a position takes than multiplying, for each block of outputs,
        spikes or not
    neuron : counting its spikes, and whatever else products take beside themselves
    product : an instruction, or all of AMX for two tiles of counts, and the loads for them
    """

    row: float
    pixel: float
    neuron: float
    product: float


def costs_of(
    products: ProductWeights,
    weights: NDArray[Any],
    size: int,
    seen_sides: Pair,
    positions: Pair,
    make: Callable[..., Kernel],
) -> Costs:
    """Of a layer's synapses.

    Parameters
    ----------
    weights : as they are added, see :class:`.synapses.WeightLayout`
    size : neurons in front of the pooling
    seen_sides, positions : height and width of the pooled map, and of the map of currents
    make : :class:`.layer.LayerKernel`
    """
    if not len(products.weights):
        return Costs(0.0, 0.0, 0.0)
    seconds = measured(weights.shape[-1], make)
    blocks = len(weights)
    spike = (
        seconds.row * math.prod(weights.shape[:3]) * math.prod(positions) / math.prod(seen_sides)
    )
    return Costs(
        (seconds.pixel * blocks * math.prod(positions) - seconds.neuron * size) / spike,
        seconds.product * instructions(products, positions, min(positions[1], STEPS)) / spike,
        seconds.product * instructions(products, positions, 1) / spike,
    )


def instructions(products: ProductWeights, positions: Pair, across: int) -> int:
    """The instructions that the products of a step take; or those of several steps, with AMX and
    tiles of one pixel.

    Parameters
    ----------
    across : pixels of a tile
    """
    assert HOW is not None
    rows, columns = positions
    lanes = products.weights.shape[3]
    if HOW is AMX:
        return (
            rows
            * -(-columns // (2 * across))
            * products.weights.size
            // (lanes * GROUP * HOW.groups)
        )
    tiles_in_row, single = divmod(columns, HOW.tiles[lanes])
    pixels = rows * (
        tiles_in_row * HOW.tiles[lanes] + 2 * single
    )  # weights are loaded for one pixel alone
    return pixels * products.weights.size // (HOW.lanes * GROUP)


@lru_cache
def measured(outputs: int, make: Callable[..., Kernel]) -> Seconds:
    """Seconds that a row of so many outputs takes; `make` as of :func:`costs_of`."""
    rng, sides = np.random.default_rng(0), (SIDE, SIDE)
    weight = rng.integers(-127, 128, (outputs, CHANNELS, 3, 3)).astype(np.int8)
    one_by_one_time = weight[:, :, :1, :1]
    layer, narrow, few_positions = (
        Layer("timed", Input(Conv(kernel, padding=padding, pool=pool), shift=12), FixedLIF(400))
        for kernel, padding, pool in (
            (weight, 1, 1),
            (one_by_one_time, 0, 1),
            (one_by_one_time, 0, POOL),
        )
    )
    multiply, adding, multiply_narrow, multiply_pooled, adding_pooled = (
        make(timed_layer, (CHANNELS, *sides), costs=costs)
        for timed_layer, costs in (
            (layer, ALWAYS),
            (layer, NEVER),
            (narrow, ALWAYS),
            (few_positions, ALWAYS),
            (few_positions, NEVER),
        )
    )
    steps = max(STEPS, 4)
    draws = rng.random((steps, *sides, CHANNELS))
    few, many = draws < 1 / CHANNELS, draws < 1 / 8
    silent, added_few, added_many = (
        shortest(adding, spikes) for spikes in (few & False, few, many)
    )
    nine, one_by_one_time = (
        shortest(kernel, few) - silent for kernel in (multiply, multiply_narrow)
    )
    pooled = shortest(multiply_pooled, few) - shortest(adding_pooled, few & False)
    row = max((added_many - added_few) / (9 * (many.sum() - few.sum())), 1e-12)
    pixel = (added_few - silent - 9 * few.sum() * row) / (steps * SIDE * SIDE)
    times, small = 1 if HOW is AMX else steps, SIDE // POOL
    in_nine, in_one = (
        times * instructions(kernel.products, sides, 1) for kernel in (multiply, multiply_narrow)
    )
    product = max(nine - one_by_one_time, 0.0) / (in_nine - in_one)
    one_by_one_time -= (
        in_one * product
    )  # what is left is of neurons in front of the pooling, and of positions
    pooled -= times * instructions(multiply_pooled.products, (small, small), 1) * product
    position = max(one_by_one_time - pooled, 0.0) / (steps * (SIDE * SIDE - small * small))
    neuron_time = max(one_by_one_time - steps * SIDE * SIDE * position, 0.0) / draws.size
    return Seconds(row, max(pixel - position, 0.0), neuron_time, product)


def shortest(kernel: Kernel, spikes: NDArray[np.bool_]) -> float:
    """Seconds that a layer takes for these spikes, (S, H, W, C)."""
    steps, state, times = len(spikes), kernel.rest(), []
    fired = np.empty((steps, *kernel.output_shape), np.bool_)
    packed = np.empty((steps, fired[0].size // 8), np.uint8)
    for _ in range(1 + REPEATS):
        begun = time.perf_counter()
        kernel.run(1, [spikes], state, fired, packed)
        times.append(time.perf_counter() - begun)
    return min(times)
