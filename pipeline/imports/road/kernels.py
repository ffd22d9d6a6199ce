"""Weights that say the same with fewer settings: exact, by zeros or repeated, or a mean of shifted
kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Shape
from spikesam.pipeline.imports.road.operations import Pair

Kernels = NDArray[Any]  # in single or double precision

MOST_WEIGHTS = 1 << 28  # of one input, once groups and dilation are filled with zeros


def ungrouped(kernels: Kernels, groups: int) -> Kernels:
    """(out, in/groups, y, x) -> (out, in, y, x): zeros where a group sees nothing."""
    if groups == 1:
        return kernels
    outputs, inputs = len(kernels) // groups, kernels.shape[1]
    ungrouped_kernels = np.zeros((len(kernels), inputs * groups, *kernels.shape[2:]), kernels.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        ungrouped_kernels[rows, group * inputs : (group + 1) * inputs] = kernels[rows]
    return ungrouped_kernels


def extent(sides: tuple[int, ...], dilation: Pair) -> Pair:
    """The sides of a kernel once zeros stand between its taps."""
    rows, columns = (
        (side - 1) * spacing + 1 for side, spacing in zip(sides, dilation, strict=True)
    )
    return rows, columns


def undilated(kernels: Kernels, dilation: Pair) -> Kernels:
    """Zeros between the taps of a dilated kernel."""
    rows, columns = extent(kernels.shape[2:], dilation)
    undilated_kernels = np.zeros((*kernels.shape[:2], rows, columns), kernels.dtype)
    undilated_kernels[:, :, :: dilation[0], :: dilation[1]] = kernels
    return undilated_kernels


def evenly_padded(kernels: Kernels, padding: tuple[Pair, Pair]) -> tuple[Kernels, Pair]:
    """Kernels, larger by zeros, that need one padding (y, x), instead of ((top, bottom), (left,
    right)).
    """
    rows, columns = map(max, padding)
    widen = [
        (largest - leading, largest - trailing)
        for largest, (leading, trailing) in zip((rows, columns), padding, strict=True)
    ]
    return np.pad(kernels, ((0, 0), (0, 0), *widen)), (rows, columns)


def around(
    padding: Pair | str, kernel: tuple[int, ...], dilation: Pair = (1, 1)
) -> tuple[Pair, Pair]:
    """Padding (y, x), "valid", or torch's "same", less in front where it is uneven, as that of each
    side.
    """
    if not isinstance(padding, str):
        return (padding[0], padding[0]), (padding[1], padding[1])
    rows, columns = ((side - 1) * (padding == "same") for side in extent(kernel, dilation))
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def composed(
    kernels_behind: Kernels, kernels_in_front: Kernels, stride: Pair
) -> NDArray[np.float64]:
    """One convolution that does what two do; `stride` is that of the first, `kernels_in_front`."""
    rows, columns = (
        size + (places - 1) * step
        for size, places, step in zip(
            kernels_in_front.shape[2:], kernels_behind.shape[2:], stride, strict=True
        )
    )
    composed_kernels = np.zeros((len(kernels_behind), kernels_in_front.shape[1], rows, columns))
    for y, x in np.ndindex(kernels_behind.shape[2:]):
        top, left = y * stride[0], x * stride[1]
        places_reached = composed_kernels[
            :, :, top : top + kernels_in_front.shape[2], left : left + kernels_in_front.shape[3]
        ]
        places_reached += np.tensordot(
            kernels_behind[:, :, y, x].astype(np.float64), kernels_in_front.astype(np.float64), 1
        )
    return composed_kernels


def averaged(kernels: Kernels, stride: Pair, window: Pair) -> Kernels:
    """The mean of what a convolution gives in a window of neighbouring places, as a convolution."""
    taller, wider = ((size - 1) * step for size, step in zip(window, stride, strict=True))
    shifted = [
        np.pad(kernels, ((0, 0), (0, 0), (y, taller - y), (x, wider - x)))
        for y in range(0, taller + 1, stride[0])
        for x in range(0, wider + 1, stride[1])
    ]
    mean: Any = np.mean(shifted, axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def unrolled(kernels: Kernels, shape: Shape, stride: Pair, padding: Pair) -> Kernels:
    """(out·H'·W', C·H·W) weights of a dense layer that does what a convolution does on a map of
    that shape.
    """
    (channels, height, width), (down, right), (top, left), (kernel_rows, kernel_columns) = (
        shape,
        stride,
        padding,
        kernels.shape[2:],
    )
    rows, columns = (
        (height + 2 * top - kernel_rows) // down + 1,
        (width + 2 * left - kernel_columns) // right + 1,
    )
    matrix = np.zeros(
        (len(kernels), rows, columns, channels, height + 2 * top, width + 2 * left), kernels.dtype
    )
    for y, x in np.ndindex(rows, columns):
        matrix[
            :, y, x, :, y * down : y * down + kernel_rows, x * right : x * right + kernel_columns
        ] = kernels
    inside = matrix[..., top : top + height, left : left + width]
    return inside.reshape(len(kernels) * rows * columns, -1)


def weights_of_windows(weight: NDArray[Any], shape: Shape, window: Pair) -> NDArray[np.float64]:
    """(K, N) weights that sum over windows (y, x), of (K, C·H·W) weights of a dense layer behind
    them.
    """
    maps = weight.reshape(len(weight), *shape).astype(np.float64)
    return maps.repeat(window[0], axis=2).repeat(window[1], axis=3).reshape(len(weight), -1)
