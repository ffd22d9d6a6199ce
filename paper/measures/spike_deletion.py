"""Does the answer rest on the spikes that a map marks? A deletion curve on the recorded spikes of a layer.

Places of the layer are taken in the order of the map, with all of their channels and steps; the spikes that are left
are passed on through the rest of the network. The probability of the answer should fall fast. No image has to stand
for "nothing": a spike that is deleted is none.

A map of where a layer is busy deletes the most spikes at the first places, so a fall by places can be of their number
alone. Hence a second axis, the share of the spikes deleted: there a map wins if its spikes matter, not their number.

References
----------
Deletion of pixels: Petsiuk, Das & Saenko 2018, arXiv:1806.07421.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from scipy.special import softmax

from pipeline.measures.maps import checked
from recordings.errors import InputError

from .faithfulness import STEPS, pixel_order
from .maps import average_map

Score = Callable[[NDArray[np.bool_]], NDArray[np.floating[Any]]]


@dataclass(frozen=True, eq=False)
class SpikeDeletion:
    """The curve of one map in one layer.

    Parameters
    ----------
    places, spikes : (K + 1,) from 0 to 1 — shares of the layer's places and of its spikes that are deleted
    probability : (K + 1,) — softmax probability of the class that all spikes make the answer
    """

    places: NDArray[np.float64]
    spikes: NDArray[np.float64]
    probability: NDArray[np.float64]

    @property
    def area_by_places(self) -> float:
        """Area under the curve over the share of places, in [0, 1]; lower is better."""
        return float(trapezoid(self.probability, self.places))

    @property
    def area_by_spikes(self) -> float:
        """Area under the curve over the share of spikes, in [0, 1]; lower is better."""
        return float(trapezoid(self.probability, self.spikes))


def spike_deletion(
    score: Score, spikes: NDArray[np.bool_], layer_map: ArrayLike, *, steps: int = STEPS, seed: int = 0
) -> SpikeDeletion:
    """Delete a layer's spikes in the order of a map, in one call of `score` with at most steps + 1 rasters.

    Parameters
    ----------
    score : (T, B, C, H, W) bool, spikes of the layer -> logits (B, classes)
    spikes : (T, C, H, W) bool, those of one sample
    layer_map : (h, w) of any size: a larger one is averaged over each place, a smaller one resized bilinearly
    steps : ≥ 1; equal parts of the places, as far as there are as many
    seed : of the order of ties

    Raises
    ------
    InputError : if map, spikes or logits are not finite or of another shape
    """
    if spikes.ndim != 4 or steps < 1:
        raise InputError(
            f"spike deletion: got spikes of {spikes.shape} and {steps} steps, expected (T, C, H, W) and at least 1"
        )
    size = spikes.shape[2:]
    places = size[0] * size[1]
    rank = np.empty(places, np.int64)
    of_places = average_map(checked("spike deletion", layer_map, "(h, w)"), size)
    rank[pixel_order(of_places, size, seed)] = np.arange(places)
    taken = np.unique(np.rint(np.linspace(0, places, steps + 1)).astype(np.int64))
    left = (rank >= taken[:, None]).reshape(-1, 1, *size)
    logits = np.asarray(score(spikes[:, None] & left), np.float64)
    if logits.ndim != 2 or len(logits) != len(taken) or not np.isfinite(logits).all():
        raise InputError(
            f"spike deletion: got logits of shape {logits.shape}, expected finite ones of ({len(taken)}, classes)"
        )
    counts = spikes.sum(axis=(0, 1))
    deleted = (counts * ~left[:, 0]).sum(axis=(1, 2)) / max(1, int(counts.sum()))
    deleted[-1] = 1  # of no spikes at all, too
    return SpikeDeletion(taken / places, deleted, softmax(logits, axis=1)[:, logits[0].argmax()])


def random_spike_deletion(
    score: Score, spikes: NDArray[np.bool_], *, repeats: int = 3, steps: int = STEPS, seed: int = 0
) -> SpikeDeletion:
    """The baseline: mean curve of `repeats` random orders of the places, seeded by seed, seed + 1, …"""
    if repeats < 1:
        raise InputError(f"random spike deletion: got {repeats} repeats, expected at least 1")
    flat = np.zeros(spikes.shape[2:])
    curves = [spike_deletion(score, spikes, flat, steps=steps, seed=seed + repeat) for repeat in range(repeats)]
    deleted, probability = (
        np.mean([getattr(curve, name) for curve in curves], axis=0) for name in ("spikes", "probability")
    )
    return SpikeDeletion(curves[0].places, deleted, probability)
