"""Accuracy of two networks that saw equal spikes, and their difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PairedAccuracy:
    """Accuracy in [0, 1] over Poisson seeds."""

    float32: float
    fixed: float
    difference: float  # mean of fixed - float32
    low: float | None  # of its 95 % interval (normal); None for a single seed
    high: float | None
    seeds: int
    accuracy_by_seed: dict[str, list[float]]


def paired_accuracy(float32: NDArray[np.int64], fixed: NDArray[np.int64], labels: NDArray[np.int32]) -> PairedAccuracy:
    """Both precisions compared seed by seed: (seeds, N) predicted classes of each, and (N,) labels."""
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
