"""A layer over time: how many neurons fire at which step, and how similar its maps are at different
steps.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Section 5. The paper gives no formulas; what it leaves open
is defined here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.measures.maps import is_flat
from spikesam import InputError

PARTS = ("early", "middle", "late")
CONSECUTIVE, ANY_TWO, EIGHTHS = "consecutive steps", "any two steps", "the first and last eighth"


def spike_rate(counts: NDArray[np.integer[Any]], neurons: int) -> NDArray[np.float64]:
    """Fraction of a layer's neurons (C·H·W) that fire, from counts (N, T); Fig. 6b shows the mean
    over samples.
    """
    if counts.ndim != 2 or not counts.size:
        raise InputError(
            f"spike rate: got counts of shape {counts.shape}, expected (N, T), not empty"
        )
    if counts.min() < 0 or counts.max() > neurons:
        raise InputError(
            f"spike rate: got counts in {counts.min()} … {counts.max()}, expected 0 … {neurons} "
            "neurons"
        )
    return counts / np.float64(neurons)


def variation(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over steps relative to the mean, 0 where there are no spikes: (N, T) ->
    (N,).
    """
    means = rates.mean(axis=1)
    return np.divide(rates.std(axis=1), means, out=np.zeros_like(means), where=means > 0)


def peak(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The step at which most neurons fire, 0 at the first step and 1 at the last: (N,
    T) -> (N,).
    """
    return rates.argmax(axis=1) / max(1, rates.shape[1] - 1)


def activity(counts: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.float64]]:
    """Activity of each third relative to the busiest step, and the share of silent steps: (N, T) ->
    (N,) in 0 … 1.
    """
    relative = counts / np.maximum(counts.max(axis=1, keepdims=True), 1)
    thirds = np.array_split(relative, len(PARTS), axis=1)
    found = {
        part: third.mean(axis=1) if third.size else relative.mean(axis=1)
        for part, third in zip(PARTS, thirds, strict=True)
    }
    return found | {"silent": (counts == 0).mean(axis=1)}


def likeness(maps: NDArray[np.float32]) -> dict[str, float]:
    """Mean of Pearson's correlation between maps (T, h, w) of one network and image at different
    steps.
    """
    eighths = np.stack([part.sum(axis=0) for part in np.array_split(maps, min(8, len(maps)))])
    steps, parts = _standardised(maps), _standardised(eighths)
    pairs = max(1, len(steps) * (len(steps) - 1))
    return {
        CONSECUTIVE: float((steps[:-1] * steps[1:]).sum() / max(1, len(steps) - 1)),
        ANY_TWO: float(
            (np.square(steps.sum(axis=0)).sum() - np.square(steps).sum()) / pairs
        ),  # |Σ z|² - Σ |z|²
        EIGHTHS: float(parts[0] @ parts[-1]),
    }


def _standardised(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pixels with mean 0 and length 1, so that products are correlations; 0 where flat: (T, h, w)
    -> (T, h·w).
    """
    pixels = maps.reshape(len(maps), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    lengths = np.where(is_flat(maps), np.inf, np.linalg.norm(pixels, axis=1))
    return pixels / lengths[:, None]
