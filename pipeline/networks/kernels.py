"""Weights that say the same with fewer settings: exact, by zeros or repeated, or a mean of shifted kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.network import Shape

Kernels = NDArray[Any]  # in single or double precision


def ungrouped(kernels: Kernels, groups: int) -> Kernels:
    """(out, in/groups, y, x) -> (out, in, y, x): zeros where a group sees nothing."""
    if groups == 1:
        return kernels
    outputs, inputs = len(kernels) // groups, kernels.shape[1]
    whole = np.zeros((len(kernels), inputs * groups, *kernels.shape[2:]), kernels.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        whole[rows, group * inputs : (group + 1) * inputs] = kernels[rows]
    return whole


def undilated(kernels: Kernels, dilation: tuple[int, int]) -> Kernels:
    """Zeros between the taps of a dilated kernel."""
    rows, columns = ((side - 1) * spacing + 1 for side, spacing in zip(kernels.shape[2:], dilation, strict=True))
    whole = np.zeros((*kernels.shape[:2], rows, columns), kernels.dtype)
    whole[:, :, :: dilation[0], :: dilation[1]] = kernels
    return whole


def evenly_padded(kernels: Kernels, padding: tuple[tuple[int, int], tuple[int, int]]) -> tuple[Kernels, int]:
    """Kernels that need one padding on all sides, larger by zeros, instead of ((top, bottom), (left, right)).

    Returns
    -------
    the kernels, and the padding
    """
    largest = max(max(sides) for sides in padding)
    widen = [(largest - before, largest - after) for before, after in padding]
    return np.pad(kernels, ((0, 0), (0, 0), *widen)), largest


def cropped(kernels: Kernels, rows: int, columns: int) -> Kernels:
    """Kernels that do not reach the last rows and columns of a map, larger by as many zeros."""
    return np.pad(kernels, ((0, 0), (0, 0), (0, rows), (0, columns)))


def same_padding(kernel: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """What torch pads for padding="same", given the sides of an undilated kernel: less in front where it is uneven."""
    rows, columns = (((side - 1) // 2, side - 1 - (side - 1) // 2) for side in kernel)
    return rows, columns


def averaged(kernels: Kernels, stride: int, window: tuple[int, int]) -> Kernels:
    """The mean of what a convolution gives in a window of neighbouring places, as a convolution."""
    rows, columns = window
    taller, wider = (rows - 1) * stride, (columns - 1) * stride
    shifted = [
        np.pad(kernels, ((0, 0), (0, 0), (y, taller - y), (x, wider - x)))
        for y in range(0, taller + 1, stride)
        for x in range(0, wider + 1, stride)
    ]
    mean: Any = np.mean(shifted, axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def unpooled(weight: NDArray[Any], shape: Shape, side: int) -> NDArray[np.float64]:
    """(K, N) weights that sum over windows of a side, of (K, C·H·W) weights of a dense layer behind them."""
    maps = weight.reshape(len(weight), *shape).astype(np.float64)
    return maps.repeat(side, axis=2).repeat(side, axis=3).reshape(len(weight), -1)
