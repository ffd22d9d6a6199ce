"""Which steps a picture shows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Maps = Mapping[str, NDArray[np.float32]]  # layer -> (T, H, W) ≥ 0, in order of depth; T may differ

MOST_STEPS = 8
LONG = 8 * MOST_STEPS  # steps: from here on, one in eight or fewer would be shown


def thinned(steps: int, most: int = MOST_STEPS, first: int = 0) -> list[int]:
    """At most `most` steps, evenly spaced from `first` to the last of `steps`."""
    return sorted({int(step) for step in np.linspace(min(first, steps - 1), steps - 1, most).round()})


def active_steps(maps: Maps) -> list[int]:
    """At most eight steps, from the first to the last at which a map shows something; the last step if none does."""
    active = [step for layer in maps.values() for step in np.flatnonzero(layer.any(axis=(1, 2))).tolist()]
    last = max(len(layer) for layer in maps.values()) - 1
    return thinned(max(active, default=last) + 1, first=min(active, default=last))


def common_steps(maps: Maps) -> list[int]:
    """At most eight steps at which every layer has a map, from the first at which each of them has shown something."""
    steps = min(len(layer) for layer in maps.values())
    begun = [int(layer.any(axis=(1, 2)).argmax()) for layer in maps.values()]
    return thinned(steps, first=max(begun))


def stretches(maps: Maps) -> list[range]:
    """At most eight steps as :func:`active_steps` chooses them; or of a long time eight stretches that fill it."""
    chosen = active_steps(maps)
    first, end = chosen[0], chosen[-1] + 1
    if end - first < LONG:
        return [range(step, step + 1) for step in chosen]
    edges = np.linspace(first, end, MOST_STEPS + 1).round().astype(int).tolist()
    return [range(start, stop) for start, stop in pairwise(edges)]


def best_step(maps: NDArray[np.float32]) -> int:
    """The step, of (T, H, W), whose map has the largest variance over pixels, or the largest value if it has one."""
    contrast = [step.var() if step.size > 1 else step.sum() for step in maps]  # one by one: var makes copies
    return int(np.argmax(contrast))
