"""Rows of maps, and likewise columns, as the numbers of those that they are made of;
-1 of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spikesam.pipeline.imports.road.operations import Pair


def border(side: int, padding: Pair, mode: str) -> list[int]:
    """The row of a map that each row of a padded one is."""
    if mode == "zeros":
        return np.pad(np.arange(side), padding, constant_values=-1).tolist()
    modes: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return np.pad(np.arange(side), padding, mode=modes[mode]).tolist()


def rows_of_windows(
    places: Sequence[int], side: int, size: int, stride: int, padding: int
) -> list[int]:
    """The rows of a map of so many that windows at some places see, one window behind the other."""
    numbers = np.array(places)[:, None]
    rows = numbers * stride - padding + np.arange(size)
    outside = (rows < 0) | (rows >= side) | (numbers < 0)
    return np.where(outside, -1, rows).ravel().tolist()


def rows_before_pooling(
    pooled_rows: Sequence[int], size: int, rows: tuple[int, ...]
) -> tuple[int, ...]:
    """Rows of a map pooled by windows of a size, as those of the map in front of the pooling.

    `rows` says which rows of a third map those of the map in front are, where they are not its own.
    """
    numbers = np.array(pooled_rows)[:, None]
    unpooled_rows = np.where(numbers < 0, -1, numbers * size + np.arange(size)).ravel()
    if rows:
        unpooled_rows = np.where(unpooled_rows < 0, -1, np.array(rows)[unpooled_rows])
    return tuple(unpooled_rows.tolist())
