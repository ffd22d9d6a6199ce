"""Numbers of a map's channels, and of each step: () for one, (C,), (T, C), or (T, 1)."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError, Shape


def plus(first: Any, second: Any) -> NDArray[np.float64]:
    """Sums of numbers that are (), (C,), or of each step (S, C), of which the last ones go on."""
    first, second = _of_equal_steps(first, second)
    return np.asarray(first + second)


def times(first: Any, second: Any) -> NDArray[np.float64]:
    """Products of numbers that are (), (C,), or of each step (S, C), of which the last go on."""
    first, second = _of_equal_steps(first, second)
    return np.asarray(first * second)


def _of_equal_steps(*arrays: Any) -> list[NDArray[np.float64]]:
    """Numbers, of which those of each step have as many steps as the longest."""
    numbers = [np.asarray(array) for array in arrays]
    steps = max((len(rows) for rows in numbers if rows.ndim == 2), default=0)
    return [
        rows[np.minimum(np.arange(steps), len(rows) - 1)] if rows.ndim == 2 else rows
        for rows in numbers
    ]


def per_channel(value: Any, shape: Shape, quantity: str) -> Any:
    """A constant of neurons, or one that they share: one number, or (C,), of any array that
    broadcasts with a map, or with rows (C, L).
    """
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return array.item()
    rows = (shape[0], *shape[2:]) if shape[1:2] == (1,) else shape  # (C, L), as Conv1d has them
    for numbers_shape in (shape, rows, (prod(shape),)):
        try:
            broadcast = np.broadcast_to(array, (1, *numbers_shape)).reshape(shape[0], -1)
        except ValueError:
            continue
        if (broadcast == broadcast[:, :1]).all():
            same = (broadcast == broadcast[0, 0]).all()
            return broadcast[0, 0].item() if same else broadcast[:, 0].copy()
    expected = "one number, or one for each channel"
    raise NetworkError(f"its {quantity} has shape {array.shape}, expected {expected}")


def lag_of(steps: NDArray[np.int64], shape: Shape) -> int | tuple[int, ...]:
    """Steps by which the spikes of a map are late: one number, or that of each channel."""
    lags = np.asarray(per_channel(steps, shape, "delay")).astype(np.int64).tolist()
    return tuple(lags) if isinstance(lags, list) else lags
