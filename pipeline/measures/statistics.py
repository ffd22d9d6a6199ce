"""Means over images, and over networks, with the interval that their number allows; p-values of many claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recordings.errors import InputError

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
    """Mean of measures in [0, 1], and its 95 % interval.

    Hits and misses: Wilson's score interval, which knows that 8 hits of 8 may be luck. Anything else: the bootstrap's,
    or all of [0, 1] for a single value.

    Parameters
    ----------
    values : (n,) in [0, 1], n ≥ 1

    Raises
    ------
    InputError : if there is no value, or one is NaN or infinite
    """
    return means_with_intervals([values])[0]


def means_with_intervals(measures: Sequence[ArrayLike]) -> list[Estimate]:
    """:func:`mean_with_interval` of several measures of the same images, which are resampled once for all."""
    samples = [_checked("mean", values) for values in measures]
    found = {place: _wilson(sample) for place, sample in enumerate(samples) if set(sample) <= {0.0, 1.0}}
    others = [place for place in range(len(samples)) if place not in found]
    resampled = zip(others, bootstrap_means([samples[place] for place in others]), strict=True)
    found |= {place: Estimate(1, each.mean, 0.0, 1.0) if each.n == 1 else each for place, each in resampled}
    return [found[place] for place in range(len(samples))]


def _wilson(sample: NDArray[np.float64]) -> Estimate:
    """The share of hits among hits and misses, with Wilson's score interval."""
    n, mean = len(sample), float(sample.mean())
    middle = (mean + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * np.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    return Estimate(n, mean, float(max(middle - reach, 0)), float(min(middle + reach, 1)))


def bootstrap_mean(values: ArrayLike, seed: int = 0) -> Estimate:
    """Mean of any measure, and the 2.5th and 97.5th percentile of the means of seeded resamples.

    The percentile bootstrap is a little too narrow for fewer than about 20 values; -∞ … ∞ for a single one.

    Parameters
    ----------
    values : (n,), n ≥ 1 — one per image, or whatever is independent of the others
    seed : ≥ 0

    Raises
    ------
    InputError : if there is no value, or one is NaN or infinite

    References
    ----------
    Efron 1979, Bootstrap methods: another look at the jackknife, Ann. Statist. 7.
    """
    return bootstrap_means([values], seed)[0]


def bootstrap_means(measures: Sequence[ArrayLike], seed: int = 0) -> list[Estimate]:
    """:func:`bootstrap_mean` of several measures of the same images, which are resampled once for all."""
    samples = [_checked("bootstrap", values) for values in measures]
    if len(lengths := {len(sample) for sample in samples}) > 1:
        raise InputError(f"bootstrap: got measures of {sorted(lengths)} images, expected the same images in all")
    if not samples or len(samples[0]) == 1:
        return [Estimate(1, float(sample[0]), -np.inf, np.inf) for sample in samples]
    random, n = np.random.default_rng(seed), len(samples[0])
    means = np.empty((len(samples), RESAMPLES))
    for first in range(0, RESAMPLES, BLOCK):
        rows = random.integers(n, size=(BLOCK, n))
        for sample, of_sample in zip(samples, means, strict=True):
            of_sample[first : first + BLOCK] = sample.take(rows).mean(axis=1)
    ends = [np.percentile(of_sample, [2.5, 97.5]).tolist() for of_sample in means]
    return [Estimate(n, float(sample.mean()), *each) for sample, each in zip(samples, ends, strict=True)]


def paired_difference(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Estimate:
    """Mean of first - second over the same images, with the bootstrap's interval: a difference if 0 lies outside.

    Parameters
    ----------
    first, second : (n,), value i of both from image i
    seed : ≥ 0

    Raises
    ------
    InputError : if they are not equally many, none, or one is NaN or infinite
    """
    one, other = _checked("paired difference", first), _checked("paired difference", second)
    if len(one) != len(other):
        raise InputError(f"paired difference: got {len(one)} and {len(other)} values, expected the same images in both")
    return bootstrap_mean(one - other, seed)


def bootstrap_over_networks(values: ArrayLike, seed: int = 0) -> Estimate:
    """Mean over networks and images, and its 95 % interval: both are resampled, since both could have been others.

    Networks and images are drawn independently of each other (Owen 2007), as each network sees every image. Of K
    networks, resamples differ too little, by √((K - 1)/K), and their percentiles are a normal distribution's. So the
    networks' means are first moved away from the mean of all, by what a t-interval of K values would have more
    (Hesterberg 2015). With one network the interval is over images alone, and says nothing of other networks.

    Parameters
    ----------
    values : (K, N) — value [k, i] of network k on image i
    seed : ≥ 0

    Returns
    -------
    n is the number of images

    Raises
    ------
    InputError : if there is no value, or one is NaN or infinite

    References
    ----------
    Owen 2007, The pigeonhole bootstrap, Ann. Appl. Stat. 1. Hesterberg 2015, What teachers should know about the
    bootstrap, Am. Stat. 69.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 2 or not sample.size:
        raise InputError(f"bootstrap: got values of shape {sample.shape}, expected (networks, images), one at least")
    _checked("bootstrap", sample.ravel())
    networks, images = sample.shape
    if networks == 1:
        return bootstrap_mean(sample[0], seed)
    from scipy.special import stdtrit  # here, because importing it takes a quarter of a second

    mean = float(sample.mean())
    wider = stdtrit(networks - 1, 0.975) / Z * np.sqrt(networks / (networks - 1))
    spread = sample + (wider - 1) * (sample.mean(axis=1, keepdims=True) - mean)
    random = np.random.default_rng(seed)
    drawn, seen = (random.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in (networks, images))
    means = ((drawn @ spread) * seen).sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(images, mean, float(low), float(high))


def p_value(estimate: Estimate, networks: int | None = None) -> float:
    """Two-sided p-value of a mean of 0, from the 95 % interval (Altman & Bland 2011): below 0.05 if 0 lies outside.

    The interval's reach towards 0 is taken to be 1.96 standard errors.

    Parameters
    ----------
    networks : ≥ 2, where the interval is over networks, too: it then reaches as far as a t-interval of that many values

    References
    ----------
    Altman & Bland 2011, How to obtain the P value from a confidence interval, BMJ 343:d2304.
    """
    n, mean, low, high = estimate
    reach = mean - low if mean > 0 else high - mean
    if n < 2 or mean == 0:
        return 1.0
    from scipy.special import stdtr, stdtrit

    degrees = np.inf if networks is None else networks - 1
    return float(2 * stdtr(degrees, -stdtrit(degrees, 0.975) * abs(mean) / reach)) if reach > 0 else 0.0


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted for their number: reject those below 0.05, and one true hypothesis in 20 families is rejected.

        p'(k) = max_{j ≤ k} min(1, (m - j + 1) p(j)),   p(1) ≤ … ≤ p(m)

    Parameters
    ----------
    p_values : (m,) in 0 … 1, of one family; may be none

    Returns
    -------
    (m,) in the order given

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6.
    """
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given)
    adjusted = np.empty(len(given))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, given[order] * np.arange(len(given), 0, -1)))
    return adjusted


def _checked(where: str, values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not len(sample):
        raise InputError(f"{where}: got values of shape {sample.shape}, expected at least one in a row")
    if not np.isfinite(sample).all():
        raise InputError(f"{where}: got NaN or infinite values, expected finite ones; leave out what has no value")
    return sample
