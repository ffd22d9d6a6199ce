"""Means over images, with the interval that their number allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.common.errors import InputError, at

RESAMPLES = 2000
BLOCK = 100  # resamples held at a time
Z = 1.959964  # the normal distribution's 97.5th percentile


class Estimate(NamedTuple):
    """A mean over `n` images and its 95 % interval; the interval of one image is everything."""

    n: int
    mean: float
    low: float
    high: float


def mean_with_interval(values: ArrayLike) -> Estimate:
    """Mean of n ≥ 1 measures in [0, 1], and its 95 % interval: Wilson's of hits and misses, else
    the bootstrap's.
    """
    return means_with_intervals([values])[0]


def means_with_intervals(measures: Sequence[ArrayLike]) -> list[Estimate]:
    """:func:`mean_with_interval` of several measures of the same images, which are resampled once
    for all.
    """
    with at("mean"):
        samples = [checked_values(values) for values in measures]
    estimates = {
        place: _wilson(sample) for place, sample in enumerate(samples) if set(sample) <= {0.0, 1.0}
    }
    unestimated = [place for place in range(len(samples)) if place not in estimates]
    resampled = zip(
        unestimated, bootstrap_means([samples[place] for place in unestimated]), strict=True
    )
    estimates |= {
        place: Estimate(1, estimate.mean, 0.0, 1.0) if estimate.n == 1 else estimate
        for place, estimate in resampled
    }
    return [estimates[place] for place in range(len(samples))]


def _wilson(sample: NDArray[np.float64]) -> Estimate:
    """The share of hits among hits and misses, with Wilson's score interval."""
    n, mean = len(sample), float(sample.mean())
    middle = (mean + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * np.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    return Estimate(n, mean, float(max(middle - reach, 0)), float(min(middle + reach, 1)))


def bootstrap_means(measures: Sequence[ArrayLike], seed: int = 0) -> list[Estimate]:
    """Means of any measures of the same n images, and the 2.5th and 97.5th percentile of the means
    of seeded resamples.

    The percentile bootstrap (Efron 1979, Ann. Statist. 7) is a little too narrow for fewer than
    about 20 values.
    """
    with at("bootstrap"):
        samples = [checked_values(values) for values in measures]
    if len(lengths := {len(sample) for sample in samples}) > 1:
        raise InputError(
            f"bootstrap: got measures of {sorted(lengths)} images, expected the same images in all"
        )
    if not samples or len(samples[0]) == 1:
        return [Estimate(1, float(sample[0]), -np.inf, np.inf) for sample in samples]
    random, n = np.random.default_rng(seed), len(samples[0])
    means = np.empty((len(samples), RESAMPLES))
    for first in range(0, RESAMPLES, BLOCK):
        rows = random.integers(n, size=(BLOCK, n))
        for sample, of_sample in zip(samples, means, strict=True):
            of_sample[first : first + BLOCK] = sample.take(rows).mean(axis=1)
    ends = [np.percentile(of_sample, [2.5, 97.5]).tolist() for of_sample in means]
    return [
        Estimate(n, float(sample.mean()), *interval)
        for sample, interval in zip(samples, ends, strict=True)
    ]


def checked_values(values: ArrayLike) -> NDArray[np.float64]:
    """The values in a row, at least one and all finite; otherwise an InputError."""
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not len(sample):
        raise InputError(f"got values of shape {sample.shape}, expected at least one in a row")
    if not np.isfinite(sample).all():
        raise InputError(
            "got NaN or infinite values, expected finite ones; leave out what has no value"
        )
    return sample


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Shares of the classes, (N, K) float64, of logits (N, K)."""
    shares: NDArray[np.float64] = np.exp(
        logits - logits.max(axis=1, keepdims=True), dtype=np.float64
    )
    return shares / shares.sum(axis=1, keepdims=True)


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


def paired_accuracy(
    float32: NDArray[np.int64], fixed: NDArray[np.int64], labels: NDArray[np.int32]
) -> PairedAccuracy:
    """Both precisions compared seed by seed: (seeds, N) predicted classes of each, and (N,)
    labels.
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
