"""Accuracy of two networks that saw equal spikes, and their difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PairedAccuracy:
    """Accuracy over `seeds` Poisson seeds, in [0, 1].

    Parameters
    ----------
    float32, fixed : mean over seeds
    difference : fixed - float32, mean over seeds
    low, high : 95 % interval of the difference (normal, over seeds); None for a single seed, which allows none
    accuracy_by_seed : "float32" and "fixed" -> one accuracy per seed
    """

    float32: float
    fixed: float
    difference: float
    low: float | None
    high: float | None
    seeds: int
    accuracy_by_seed: dict[str, list[float]]


def paired_accuracy(float32: NDArray[np.int64], fixed: NDArray[np.int64], labels: NDArray[np.int32]) -> PairedAccuracy:
    """Compare both precisions seed by seed.

    Parameters
    ----------
    float32, fixed : (seeds, N) — predicted classes
    labels : (N,)
    """
    by_seed = {"float32": (float32 == labels).mean(axis=1), "fixed": (fixed == labels).mean(axis=1)}
    differences = by_seed["fixed"] - by_seed["float32"]
    seeds, mean = len(differences), float(differences.mean())
    half = 1.96 * float(differences.std(ddof=1)) / seeds**0.5 if seeds > 1 else None
    return PairedAccuracy(
        float(by_seed["float32"].mean()),
        float(by_seed["fixed"].mean()),
        mean,
        None if half is None else mean - half,
        None if half is None else mean + half,
        seeds,
        {name: accuracies.tolist() for name, accuracies in by_seed.items()},
    )
