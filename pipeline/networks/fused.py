"""BNTT, leaky integration, threshold and surrogate gradient of one layer over all steps, as one CPU operation.

The snnTorch modules do the same one step and one elementwise operation at a time, and on a CPU spend most of a training
step moving memory. Here each element is read twice forward (batch statistics, then dynamics) and twice backward; the
membrane is not stored but recomputed. The result is the plain loop's (`tests/pipeline/networks/test_fused.py`).

Currents are float32, or bfloat16 as a convolution under autocast leaves them; arithmetic is float32 either way. Numba
knows no bfloat16, so it travels as uint16: the upper half of a float32's bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

ROWS = 256  # rows (samples × pixels) per task: a block of all steps stays in cache, and both cores get work


def bntt_lif(current: Tensor, scale: Tensor, epsilon: float, leak: float, threshold: float, slope: float) -> Any:
    """Normalise over the batch at each step, integrate, fire; differentiable.

        i[t] = scale[t]·(a[t] - μ[t]) / √(σ²[t] + ε)
        v[t] = leak·v[t-1] + i[t] - threshold·s[t-1]        s[t] = v[t] > threshold
        ∂s/∂v = slope·max(0, 1 - |v/threshold - 1|) / threshold, no gradient through the reset

    Parameters
    ----------
    current : (T, rows, C) float32 or bfloat16, contiguous — a, with samples and pixels as rows
    scale : (T, C) float32 — γ of BNTT
    epsilon, leak, threshold, slope : floats

    Returns
    -------
    spikes : (T, rows, C), dtype of `current`, 0 or 1
    mean, variance : (T, C) float32 — biased batch statistics, for the running ones; not differentiable

    References
    ----------
    Kim & Panda 2021, Eq. 2-4 and 8
    """
    return _BnttLif.apply(current, scale, epsilon, leak, threshold, slope)


class _BnttLif(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, scale: Tensor, epsilon: float, leak: float, threshold: float, slope: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        a = _as_numpy(current)
        rows = a.shape[1]
        sums, squares = _moments(a)
        mean = sums.sum(axis=0) / rows
        variance = np.maximum(squares.sum(axis=0) / rows - mean**2, 0)
        inverse = 1 / np.sqrt(variance + epsilon)
        gain = (scale.detach().numpy() * inverse).astype(np.float32)
        bias = (-gain * mean).astype(np.float32)
        spikes = torch.empty_like(current)
        _fire(a, gain, bias, np.float32(leak), np.float32(threshold), _as_numpy(spikes))
        batch_mean, batch_variance = (torch.from_numpy(array.astype(np.float32)) for array in (mean, variance))
        ctx.save_for_backward(current)
        ctx.constants = (mean.astype(np.float32), inverse.astype(np.float32), gain, bias, leak, threshold, slope)
        ctx.mark_non_differentiable(batch_mean, batch_variance)
        return spikes, batch_mean, batch_variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (current,) = ctx.saved_tensors
        mean, inverse, gain, bias, leak, threshold, slope = ctx.constants
        a = _as_numpy(current)
        through_spikes = _as_numpy(gradients[0].to(current.dtype).contiguous())
        membrane = np.empty(a.shape, np.float32)
        sums, products = _backward_through_time(
            a,
            through_spikes,
            gain,
            bias,
            mean,
            inverse,
            np.float32(leak),
            np.float32(threshold),
            np.float32(slope),
            membrane,
        )
        total, scale_gradient = (part.sum(axis=0).astype(np.float32) for part in (sums, products))
        result = torch.empty_like(current)
        rows = np.float32(a.shape[1])
        _backward_through_normalisation(
            a, membrane, gain, mean, inverse, total / rows, scale_gradient / rows, _as_numpy(result)
        )
        return result, torch.from_numpy(scale_gradient), None, None, None, None


def _as_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


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
                (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            )

        return store_bfloat16

    def store_float32(array: Any, t: int, row: int, channel: int, value: Any) -> None:
        array[t, row, channel] = value

    return store_float32


@numba.njit(parallel=True, cache=True)
def _moments(a: Any) -> Any:
    """Σa and Σa² of each step and channel, one row of partial sums per block: 2 × (blocks, T, C) float64."""
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


@numba.njit(parallel=True, cache=True)
def _fire(a: Any, gain: Any, bias: Any, leak: Any, threshold: Any, spikes: Any) -> None:
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    for block in numba.prange(blocks):
        first, last = block * ROWS, min(rows, (block + 1) * ROWS)
        v = np.zeros((last - first, channels), np.float32)
        for t in range(steps):
            for row in range(first, last):
                for c in range(channels):
                    previous = v[row - first, c]
                    reset = threshold if previous > threshold else np.float32(0)
                    now = leak * previous + gain[t, c] * _load(a[t, row, c]) + bias[t, c] - reset
                    v[row - first, c] = now
                    _store(spikes, t, row, c, np.float32(1) if now > threshold else np.float32(0))


@numba.njit(parallel=True, cache=True)
def _backward_through_time(
    a: Any,
    through_spikes: Any,
    gain: Any,
    bias: Any,
    mean: Any,
    inverse: Any,
    leak: Any,
    threshold: Any,
    slope: Any,
    membrane: Any,
) -> Any:
    """∂L/∂v into `membrane`, and its sums that the normalisation needs: Σ∂L/∂v and Σ∂L/∂v·â per block."""
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    sums = np.zeros((blocks, steps, channels))
    products = np.zeros((blocks, steps, channels))
    for block in numba.prange(blocks):
        first, last = block * ROWS, min(rows, (block + 1) * ROWS)
        v = np.zeros((steps, last - first, channels), np.float32)
        for t in range(steps):
            for row in range(last - first):
                for c in range(channels):
                    previous = v[t - 1, row, c] if t > 0 else np.float32(0)
                    reset = threshold if previous > threshold else np.float32(0)
                    v[t, row, c] = leak * previous + gain[t, c] * _load(a[t, first + row, c]) + bias[t, c] - reset
        later = np.zeros((last - first, channels), np.float32)
        for t in range(steps - 1, -1, -1):
            total = np.zeros(channels, np.float32)
            product = np.zeros(channels, np.float32)
            for row in range(last - first):
                for c in range(channels):
                    surrogate = slope * max(
                        np.float32(0), np.float32(1) - abs(v[t, row, c] / threshold - np.float32(1))
                    )
                    now = leak * later[row, c] + _load(through_spikes[t, first + row, c]) * surrogate / threshold
                    later[row, c] = now
                    membrane[t, first + row, c] = now
                    total[c] += now
                    product[c] += now * (_load(a[t, first + row, c]) - mean[t, c]) * inverse[t, c]
            sums[block, t] = total
            products[block, t] = product
    return sums, products


@numba.njit(parallel=True, cache=True)
def _backward_through_normalisation(
    a: Any, membrane: Any, gain: Any, mean: Any, inverse: Any, mean_gradient: Any, mean_product: Any, result: Any
) -> None:
    """∂L/∂a = gain·(∂L/∂v - mean(∂L/∂v) - â·mean(∂L/∂v·â))."""
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    for block in numba.prange(blocks):
        for t in range(steps):
            for row in range(block * ROWS, min(rows, (block + 1) * ROWS)):
                for c in range(channels):
                    normalised = (_load(a[t, row, c]) - mean[t, c]) * inverse[t, c]
                    value = membrane[t, row, c] - mean_gradient[t, c] - normalised * mean_product[t, c]
                    _store(result, t, row, c, gain[t, c] * value)
