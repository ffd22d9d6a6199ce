"""One step of a layer in NumPy, in both precisions: the equations of inputs.py and neurons.py as
they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spikesam.backends.network.checks import pair
from spikesam.backends.network.inputs import NO_POOLING, Input, Source
from spikesam.backends.network.neurons import MEMBRANE_LIMIT, THETA, SpikingNeuron

Floats = NDArray[np.float64]
ALONE = (
    1 << 18
)  # products that BLAS leaves to one thread: several wait for each other where all cores simulate
# of the threshold: the order of additions may take a float32 membrane as close to it to either side
ROUNDING = 1e-5


def arrived(given: Input, fired: Mapping[str, NDArray[Any]], t: int) -> NDArray[np.int8]:
    """x[t] of an input, (C, H, W), of what the layers that it reads fire: (T, C, H, W) by name."""
    each = [
        np.int8(source.sign) * arrived_from(source, fired[source.layer], t)
        for source in given.sources
    ]
    sums = [sum(more, first) for first, *more in given.summands(each)]
    return np.concatenate(sums) if given.heads else arranged(sums[0], given)


def arrived_from(source: Source, fired: NDArray[Any], t: int) -> NDArray[Any]:
    """What arrives at step t of a source that fires (T, …, C, H, W): (…, C, H, W)."""
    found: NDArray[Any] = source.arriving(
        lambda delay: fired[t - delay] if t >= delay else np.zeros_like(fired[0])
    )
    return found


def arranged(maps: NDArray[Any], given: Input, axes: tuple[int, int, int] = (-3, -2, -1)) -> Any:
    """x of an input, of what its sources fire: their maps, whose channels, rows and columns are some `axes`."""
    for axis, times in zip(axes, given.spread, strict=True):
        maps = maps if times == 1 else maps.repeat(times, axis)
    for axis, numbers in zip(axes[1:], (given.rows, given.columns), strict=True):
        if numbers:
            maps = maps.take(numbers, axis)  # -1 takes the last
            maps.swapaxes(0, axis)[np.less(numbers, 0)] = 0
    return maps


def gathered(values: NDArray[Any], given: Input, shape: Sequence[int]) -> Floats:
    """The transpose of :func:`arranged`: what all copies of (…, C, H, W) = `shape` get, summed."""
    found = values.astype(np.float64)
    for axis, numbers in ((-2, given.rows), (-1, given.columns)):
        if numbers:
            sides = list(found.shape)
            sides[axis] = shape[axis] * given.spread[axis]
            back = np.zeros(sides)
            inside = np.flatnonzero(np.greater_equal(numbers, 0))
            moved = found.swapaxes(0, axis)[inside]
            np.add.at(back.swapaxes(0, axis), np.array(numbers)[inside], moved)
            found = back
    apart = [side for pair in zip(shape[-3:], given.spread, strict=True) for side in pair]
    return found.reshape(*found.shape[:-3], *apart).sum(axis=(-5, -3, -1))


def repeated(maps: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[Any]:
    """Channels, rows and columns of maps (…, C, H, W), each repeated beside itself."""
    for axis, times in zip((-3, -2, -1), factors, strict=True):
        maps = maps if times == 1 else maps.repeat(times, axis)
    return maps


def attended(given: Input, maps: NDArray[Any]) -> Floats:
    """q · kᵀ · v of each head: (2·C + V, H, W), the channels of q, k and v, -> (V, H, W), whole
    numbers.
    """
    query, key, value = factors(given, maps.astype(np.float64))
    found: Floats = (value @ key.swapaxes(1, 2) @ query).reshape(-1, *maps.shape[1:])
    return found


def factors(given: Input, maps: NDArray[Any]) -> list[NDArray[Any]]:
    """q, k and v of attention, (heads, d, N) each, whose channels stand one behind the other in
    (2·C + V, H, W).
    """
    channels = (len(maps) - given.values(len(maps))) // 2
    each = np.split(maps, (channels, 2 * channels))
    return [part.reshape(given.heads, len(part) // given.heads, -1) for part in each]


def current_of(given: Input, values: NDArray[Any]) -> NDArray[Any]:
    """a of an input that x reaches, (C, H, W) -> (C', H', W'): int64 in fixed point, else float64."""
    sums = summed_currents(given, values)
    return sums.astype(np.int64) if given.fixed else sums / given.averaged


def summed_currents(given: Input, values: NDArray[Any]) -> Floats:
    """W ⊛ pool(x) of spikes or numbers, (C, H, W) -> (C', H', W'), where average pooling sums."""
    if given.heads:
        return attended(given, values)
    if given.weight is None:
        return values.astype(np.float64)
    found = correlated(given, given.weight, pooled(given, values))
    if given.windows != NO_POOLING:
        found = current_cells(given, found).max(axis=3)
    return found.sum(axis=(1, 2), keepdims=True) if given.current_sum else found


def pooled(given: Input, values: NDArray[Any]) -> Floats:
    """The sum of each window of a map, or its maximum: (C, H, W) -> (C, H / y, W / x)."""
    (channels, height, width), (y, x) = values.shape, pair(given.pool)
    windows = values.reshape(channels, height // y, y, width // x, x).astype(np.float64)
    found: Floats = windows.max(axis=(2, 4)) if given.pooling == "max" else windows.sum(axis=(2, 4))
    return found


def correlated(given: Input, weight: NDArray[Any], maps: Floats) -> Floats:
    """W ⊛ x of a pooled map: (C, H, W) -> (C', H', W'), of a dense layer (C', 1, 1); W · x of an
    identity.
    """
    if given.kind == "identity":
        return weight * maps
    window = weight.shape[2:] if given.kind == "conv" else maps.shape[1:]
    (top, left), (down, right) = pair(given.padding), pair(given.stride)
    padded = np.pad(maps, ((0, 0), (top, top), (left, left))) if top or left else maps
    patches = sliding_window_view(padded, (len(maps), *window))[0, ::down, ::right]
    rows, columns = patches.shape[:2]
    matrix, places = (
        weight.reshape(len(weight), -1).astype(np.float64),
        patches.reshape(rows * columns, -1),
    )
    some = ALONE // matrix.size if 64 * matrix.size < ALONE else len(places)
    parts = [matrix @ each.T for each in np.split(places, range(some, len(places), some))]
    return np.concatenate(parts, axis=1).reshape(-1, rows, columns)


def current_cells(given: Input, sums: Floats) -> Floats:
    """The currents of each window of an input: (C, H, W) -> (C, H', W', y·x), row by row; -inf
    outside the map.
    """
    (y, x), (down, across), (above, beside) = given.windows
    padded = np.pad(sums, ((0, 0), (above, above), (beside, beside)), constant_values=-np.inf)
    windows = sliding_window_view(padded, (y, x), axis=(1, 2))[:, ::down, ::across]
    return windows.reshape(*windows.shape[:3], y * x)


class Neurons:
    """Neurons of a map (C, H, W), first at rest; `v` and `i` are of the last step. In int64 they
    round.
    """

    def __init__(
        self, neuron: SpikingNeuron, inputs: Sequence[Input], shape: Sequence[int], dtype: Any
    ) -> None:
        self.neuron, self.inputs, self.dtype = neuron, inputs, dtype
        self.limited = len(inputs) > 1 or bool(
            np.any(np.asarray(neuron.synaptic_leak) > 0)
        )  # i to 24 bits
        self.v, self.i = np.zeros((2, *shape), dtype)

    def step(
        self, t: int, currents: Sequence[NDArray[Any]], before: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """v[t] (C, H, W) of a[t] of each input, at t ≥ 1, where `before` are s[t-1]."""
        neuron, of, exact = self.neuron, self.of, self.dtype is np.int64
        subtracts = neuron.reset == "subtract"
        with np.errstate(all="ignore"):
            first, *more = (
                self._weighed(each, a, t) for each, a in zip(self.inputs, currents, strict=True)
            )
            driven = sum(more, first) + of(neuron.bias[(t - 1) % len(neuron.bias)])
            v = self.v if subtracts else np.where(before, of(0), self.v)
            lost = of(neuron.subtracted if subtracts else 0) * before
            if exact:
                i = _toward_zero(self.i * of(THETA * neuron.synaptic_leak), 12) + driven
                self.i = _saturated(i) if self.limited else i
                v = _saturated(_toward_zero(v * of(THETA * neuron.leak), 12) + self.i - lost)
            else:
                self.i = self.i * of(neuron.synaptic_leak) + driven
                v = v * of(neuron.leak) + self.i - lost
        self.v = v if neuron.min_v_mem is None else np.maximum(v, of(neuron.min_v_mem))
        return self.v

    @property
    def fires(self) -> NDArray[np.bool_]:
        """s[t] of v[t]."""
        threshold = self.of(self.neuron.threshold)
        fired: NDArray[np.bool_] = (
            self.v >= threshold if self.neuron.fires_at_threshold else self.v > threshold
        )
        return fired

    @property
    def near(self) -> NDArray[np.bool_]:
        """Where v[t] lies so near the threshold, or at it, that the order of float32 additions may
        decide.
        """
        threshold = self.of(self.neuron.threshold)
        close: NDArray[np.bool_] = np.abs(self.v - threshold) <= ROUNDING * threshold
        return close & (self.dtype is not np.int64)

    def of(self, constant: Any) -> NDArray[Any]:
        """A constant of the neurons in their numbers: one, or (C, 1, 1)."""
        return on_maps(constant).astype(self.dtype)

    def _weighed(self, given: Input, current: NDArray[Any], t: int) -> NDArray[Any]:
        gain, current = given.gain[(t - 1) % len(given.gain)], current.astype(self.dtype)
        if self.dtype is np.int64:
            return _toward_zero(current * self.of(gain), given.shift)
        return current * self.of(gain / 2.0**given.shift)


def on_maps(constant: Any) -> NDArray[Any]:
    """A number, or (C,) as (C, 1, 1)."""
    found = np.asarray(constant)
    return found[:, None, None] if found.ndim else found


def _toward_zero(numbers: NDArray[Any], bits: int) -> NDArray[Any]:
    """rz(x, n): quotients by 2ⁿ, rounded toward zero."""
    return np.sign(numbers) * (np.abs(numbers) >> bits)


def _saturated(numbers: NDArray[Any]) -> NDArray[Any]:
    return np.clip(numbers, -MEMBRANE_LIMIT, MEMBRANE_LIMIT)
