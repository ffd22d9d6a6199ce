"""BNTT, leaky integration, threshold, surrogate gradient and pooling of one layer, of many steps in
one operation.

Its loops go over rows of channels in blocks that stay in cache. Numba knows no bfloat16, so it
travels as uint16: the upper half of a float32's bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

from spikesam.backends.event.kernels.cache import cached
from spikesam.pipeline.networks.firing import SURROGATE_SLOPE

# rows (samples × pixels) per task: a block of all steps stays in cache, and all cores get work
ROWS = 256


def _load(value: Any) -> Any:
    """The float32 that an element of `current` stands for."""


@overload(_load)
def _load_overload(value: Any) -> Any:
    if value == numba.uint16:

        def load_bfloat16(value: Any) -> Any:
            return np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)

        return load_bfloat16

    def load_float32(value: Any) -> Any:
        return value

    return load_float32


def _store(array: Any, t: int, row: int, channel: int, value: Any) -> None:
    """Write a float32 to an element, rounding half to even where that is bfloat16."""


@overload(_store)
def _store_overload(array: Any, t: int, row: int, channel: int, value: Any) -> Any:
    if array.dtype == numba.uint16:

        def store_bfloat16(array: Any, t: int, row: int, channel: int, value: Any) -> None:
            bits = np.float32(value).view(np.uint32)
            array[t, row, channel] = np.uint16(
                (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
                >> np.uint32(16)
            )

        return store_bfloat16

    def store_float32(array: Any, t: int, row: int, channel: int, value: Any) -> None:
        array[t, row, channel] = value

    return store_float32


@cached(parallel=True)
def moments(a: Any) -> Any:
    """Σa and Σa² of each step and channel, one row of partial sums per block: 2 × (blocks, T, C)
    float64.
    """
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    sums = np.zeros((blocks, steps, channels))
    squares = np.zeros((blocks, steps, channels))
    for block in numba.prange(blocks):
        for t in range(steps):
            total = np.zeros(channels, np.float32)
            square = np.zeros(channels, np.float32)
            for row in range(block * ROWS, min(rows, (block + 1) * ROWS)):
                for c in range(channels):
                    value = _load(a[t, row, c])
                    total[c] += value
                    square[c] += value * value
            sums[block, t] = total
            squares[block, t] = square
    return sums, squares


@cached(parallel=True)
def fire_all_steps(
    a: Any,
    gain: Any,
    bias: Any,
    leak: Any,
    threshold: Any,
    windows: Any,
    membrane: Any,
    spikes: Any,
) -> None:
    """Spikes of all steps, averaged over windows; `membrane` is advanced from before the first to
    after the last.
    """
    steps, channels = len(a), a.shape[2]
    count, rows = windows.shape
    size = max(1, ROWS // rows)
    for block in numba.prange((count + size - 1) // size):
        fired = np.empty(channels, np.float32)
        for t in range(steps):
            for window in range(block * size, min(count, (block + 1) * size)):
                fired[:] = 0
                for row in windows[window]:
                    for c in range(channels):
                        previous = membrane[row, c]
                        reset = threshold if previous > threshold else np.float32(0)
                        now = (
                            leak * previous + gain[t, c] * _load(a[t, row, c]) + bias[t, c] - reset
                        )
                        membrane[row, c] = now
                        fired[c] += np.float32(1) if now > threshold else np.float32(0)
                for c in range(channels):
                    _store(spikes, t, window, c, fired[c] / np.float32(rows))


@cached(parallel=True)
def backward_through_time(
    a: Any,
    through_spikes: Any,
    gain: Any,
    bias: Any,
    mean: Any,
    inverse: Any,
    leak: Any,
    threshold: Any,
    slope: Any,
    window_of: Any,
    start: Any,
    through_membrane: Any,
) -> Any:
    """∂L/∂v into `through_membrane`, and Σ∂L/∂v and Σ∂L/∂v·â per block; membranes are worked out
    again.

    Rows are places of samples, T steps, C channels; all float32, but `a` and `through_spikes`,
    which may be bfloat16 as uint16.

    Parameters
    ----------
    a : (T, rows, C), currents before normalisation
    through_spikes : (T, windows, C), ∂L/∂s of the means of spikes over windows of pooling
    gain, bias, mean, inverse : (T, C), of normalisation; `inverse` is 1 / standard deviation
    leak, threshold, slope : numbers; `slope` is that of the surrogate
    window_of : (rows,) int, the window that holds each row
    start : (rows, C), membranes before the first step; None at rest
    through_membrane : (T, rows, C), filled

    Returns
    -------
    (blocks, T, C) twice, the sums by block of rows
    """
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    sums = np.zeros((blocks, steps, channels))
    products = np.zeros((blocks, steps, channels))
    inverse_threshold = np.float32(1) / threshold
    steepness = slope * inverse_threshold * np.float32(through_spikes.shape[1]) / np.float32(rows)
    for block in numba.prange(blocks):
        first, last = block * ROWS, min(rows, (block + 1) * ROWS)
        start_membrane = np.zeros((last - first, channels), np.float32)
        if start is not None:
            start_membrane[:] = start[first:last]
        v = np.empty((steps, last - first, channels), np.float32)
        for t in range(steps):
            for row in range(last - first):
                for c in range(channels):
                    previous = v[t - 1, row, c] if t > 0 else start_membrane[row, c]
                    reset = threshold if previous > threshold else np.float32(0)
                    v[t, row, c] = (
                        leak * previous
                        + gain[t, c] * _load(a[t, first + row, c])
                        + bias[t, c]
                        - reset
                    )
        through_next_membrane = np.zeros((last - first, channels), np.float32)
        for t in range(steps - 1, -1, -1):
            total = np.zeros(channels, np.float32)
            product = np.zeros(channels, np.float32)
            for row in range(last - first):
                window = window_of[first + row]
                for c in range(channels):
                    distance = abs(v[t, row, c] * inverse_threshold - np.float32(1))
                    surrogate = steepness * max(np.float32(0), np.float32(1) - distance)
                    gradient = (
                        leak * through_next_membrane[row, c]
                        + _load(through_spikes[t, window, c]) * surrogate
                    )
                    through_next_membrane[row, c] = gradient
                    through_membrane[t, first + row, c] = gradient
                    total[c] += gradient
                    product[c] += (
                        gradient * (_load(a[t, first + row, c]) - mean[t, c]) * inverse[t, c]
                    )
            sums[block, t] = total
            products[block, t] = product
    return sums, products


@cached(parallel=True)
def backward_through_normalisation(
    a: Any,
    through_membrane: Any,
    gain: Any,
    mean: Any,
    inverse: Any,
    mean_gradient: Any,
    mean_product: Any,
    result: Any,
) -> None:
    """∂L/∂a = gain·(∂L/∂v - mean(∂L/∂v) - â·mean(∂L/∂v·â))."""
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    for block in numba.prange(blocks):
        for t in range(steps):
            for row in range(block * ROWS, min(rows, (block + 1) * ROWS)):
                for c in range(channels):
                    normalised = (_load(a[t, row, c]) - mean[t, c]) * inverse[t, c]
                    value = (
                        through_membrane[t, row, c]
                        - mean_gradient[t, c]
                        - normalised * mean_product[t, c]
                    )
                    _store(result, t, row, c, gain[t, c] * value)


def bntt_lif(
    current: Tensor,
    scale: Tensor,
    epsilon: float,
    leak: float,
    threshold: float,
    membrane: Tensor | None = None,
    windows: AveragedRows | None = None,
) -> Any:
    """Normalise over the batch at each step, integrate, fire, pool; differentiable.

        i[t] = scale[t]·(a[t] - μ[t]) / √(σ²[t] + ε)
        v[t] = leak·v[t-1] + i[t] - threshold·s[t-1]        s[t] = v[t] > threshold
        ∂s/∂v = 0.3·max(0, 1 - |v/threshold - 1|) / threshold, no gradient through the reset

    of a `current` a (T, rows, C), float32 or bfloat16, contiguous, with samples and pixels as rows,
    `scale` (T, C), and v before the first step, (rows, C) or zero (Kim & Panda 2021, Eq. 2-4 and
    8). Returns spikes of the dtype of a, or their means over `windows`; and, not differentiable, v
    after the last step, and μ and biased σ², (T, C).
    """
    windows = windows or pooling(1, current.shape[1], 1, 1)
    return _BnttLif.apply(current, scale, epsilon, leak, threshold, membrane, windows)


class AveragedRows(NamedTuple):
    """Rows that are averaged."""

    rows: NDArray[np.int32]  # (P, rows of each window)
    window_of: NDArray[np.int32]  # (rows,), the inverse


@lru_cache(maxsize=32)
def pooling(samples: int, height: int, width: int, side: int) -> AveragedRows:
    """Windows of `side`² pixels, which tile the maps; rows are samples and pixels."""
    pixels = np.arange(samples * height * width, dtype=np.int32)
    tiled = pixels.reshape(samples, height // side, side, width // side, side).swapaxes(2, 3)
    tiles = tiled.reshape(-1, side**2)
    window_of = np.empty(tiles.size, np.int32)
    window_of[tiles] = np.arange(len(tiles), dtype=np.int32)[:, None]
    return AveragedRows(tiles, window_of)


def compile_bntt_lif(dtype: torch.dtype) -> None:
    """Compile the operation for currents of one dtype, or load it from numba's cache: ten seconds
    the first time.
    """
    current = torch.ones(1, 2, 1, dtype=dtype, requires_grad=True)
    for membrane in (None, torch.zeros(2, 1)):
        spikes, *_ = bntt_lif(current, torch.ones(1, 1), 1e-4, 0.9, 1.0, membrane)
        spikes.sum().backward()


class _BnttLif(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        scale: Tensor,
        epsilon: float,
        leak: float,
        threshold: float,
        membrane: Tensor | None,
        windows: AveragedRows,
    ) -> tuple[Tensor, ...]:
        a = _as_numpy(current)
        rows = a.shape[1]
        sums, squares = moments(a)
        mean = sums.sum(axis=0) / rows
        variance = np.maximum(squares.sum(axis=0) / rows - mean**2, 0)
        inverse = 1 / np.sqrt(variance + epsilon)
        gain = (scale.detach().numpy() * inverse).astype(np.float32)
        bias = (-gain * mean).astype(np.float32)
        spikes = current.new_empty(len(current), len(windows.rows), current.shape[2])
        end = torch.zeros(current.shape[1:]) if membrane is None else membrane.clone()
        constants = np.float32(leak), np.float32(threshold), windows.rows
        fire_all_steps(a, gain, bias, *constants, end.numpy(), _as_numpy(spikes))
        batch_mean, batch_variance = (
            torch.from_numpy(array.astype(np.float32)) for array in (mean, variance)
        )
        ctx.save_for_backward(current, membrane)
        ctx.constants = (
            mean.astype(np.float32),
            inverse.astype(np.float32),
            gain,
            bias,
            leak,
            threshold,
            windows,
        )
        ctx.mark_non_differentiable(end, batch_mean, batch_variance)
        ctx.set_materialize_grads(False)  # no zeros in the place of their gradients
        return spikes, end, batch_mean, batch_variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        current, membrane = ctx.saved_tensors
        mean, inverse, gain, bias, leak, threshold, windows = ctx.constants
        a = _as_numpy(current)
        through_spikes = _as_numpy(gradients[0].to(current.dtype).contiguous())
        through_membrane = np.empty(a.shape, np.float32)
        sums, products = backward_through_time(
            a,
            through_spikes,
            gain,
            bias,
            mean,
            inverse,
            np.float32(leak),
            np.float32(threshold),
            np.float32(SURROGATE_SLOPE),
            windows.window_of,
            None if membrane is None else _as_numpy(membrane),
            through_membrane,
        )
        total, scale_gradient = (part.sum(axis=0).astype(np.float32) for part in (sums, products))
        result = torch.empty_like(current)
        rows = np.float32(a.shape[1])
        backward_through_normalisation(
            a,
            through_membrane,
            gain,
            mean,
            inverse,
            total / rows,
            scale_gradient / rows,
            _as_numpy(result),
        )
        return result, torch.from_numpy(scale_gradient), None, None, None, None, None


def _as_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
