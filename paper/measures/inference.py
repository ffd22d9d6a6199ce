"""Means over networks and images, and p-values of many claims.

References
----------
Altman & Bland 2011, How to obtain the P value from a confidence interval, BMJ 343:d2304. Hesterberg
2015, What teachers should know about the bootstrap, Am. Stat. 69. Holm 1979, A simple sequentially
rejective multiple test procedure, Scand. J. Statist. 6. Owen 2007, The pigeonhole bootstrap, Ann.
Appl. Stat. 1. McNemar 1947, Note on the sampling error of the difference between correlated
proportions or percentages, Psychometrika 12. Schuirmann 1987, A comparison of the two one-sided
tests procedure and the power approach for assessing the equivalence of average bioavailability, J.
Pharmacokinet. Biopharm. 15.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam import InputError
from spikesam.errors import at
from spikesam.statistics import (
    RESAMPLES,
    Estimate,
    Z,
    bootstrap_means,
    checked_values,
    mean_with_interval,
)


def bootstrap_mean(values: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of (n,) values, see
    :func:`spikesam.pipeline.measures.statistics.bootstrap_means`.
    """
    return bootstrap_means([values], seed)[0]


def bootstrap_over_networks(values: ArrayLike, seed: int = 0) -> Estimate:
    """Mean of (K, N) over networks and images, and its 95 % interval: both are resampled, for both
    could be others.

    Networks and images are drawn independently of each other (Owen 2007), as each network sees
    every image. Of K networks, resamples differ too little, by √((K - 1)/K), and their percentiles
    are a normal distribution's. So the networks' means are first moved away from the mean of all,
    by what a t-interval of K values would have more (Hesterberg 2015). With one network the
    interval is over images alone, and says nothing of other networks.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 2 or not sample.size:
        raise InputError(
            f"bootstrap: got values of shape {sample.shape}, expected (networks, images), one at "
            "least"
        )
    with at("bootstrap"):
        checked_values(sample.ravel())
    networks, images = sample.shape
    if networks == 1:
        return bootstrap_mean(sample[0], seed)
    from scipy.special import stdtrit  # here, because importing it takes a quarter of a second

    mean = float(sample.mean())
    wider = stdtrit(networks - 1, 0.975) / Z * np.sqrt(networks / (networks - 1))
    spread = sample + (wider - 1) * (sample.mean(axis=1, keepdims=True) - mean)
    random = np.random.default_rng(seed)
    drawn, seen = (
        random.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in (networks, images)
    )
    means = ((drawn @ spread) * seen).sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(images, mean, float(low), float(high))


def shares_over_networks(values: ArrayLike) -> Estimate:
    """:func:`bootstrap_over_networks` of shares in [0, 1]; Wilson's interval of K networks where
    all are 0, or all 1.

    There no resample differs, and the interval would be empty. What K networks all do says little
    of another one.
    """
    sample = np.asarray(values, np.float64)
    estimate = bootstrap_over_networks(sample)
    if np.ptp(sample) == 0 and sample.flat[0] in (0.0, 1.0):
        of_networks = mean_with_interval(np.full(len(sample), sample.flat[0]))
        return of_networks._replace(n=estimate.n)
    return estimate


def bootstrap_differences(values: ArrayLike, seed: int = 0) -> Estimate:
    """:func:`bootstrap_mean` of differences (n,) of shares in [0, 1].

    Where all are 0, the interval is that of the share of n that could differ in either direction:
    ±Wilson's upper end for 0 of n.
    """
    estimate = bootstrap_mean(values, seed)
    if not np.any(values):
        reach = mean_with_interval(np.zeros(estimate.n)).high
        return estimate._replace(low=-reach, high=reach)
    return estimate


def p_value(estimate: Estimate, networks: int | None = None) -> float:
    """Two-sided p-value of a mean of 0, from the 95 % interval (Altman & Bland 2011): below 0.05 if
    0 lies outside.

    The interval's reach towards 0 is taken to be 1.96 standard errors, or what a t-interval of so
    many networks has.
    """
    n, mean, low, high = estimate
    reach = mean - low if mean > 0 else high - mean
    return 1.0 if n < 2 or mean == 0 else 2 * _tail(abs(mean), reach, networks)


def paired_p_value(differences: ArrayLike) -> float:
    """Two-sided p-value of differences (n,) with a mean of 0: that of a paired t-test.

    Differences of hits and misses, all of one size, get the exact sign test of those that are not
    0, which is McNemar's. Of one difference, or where all are 0, it is 1.
    """
    from scipy.stats import binomtest, ttest_1samp

    with at("paired test"):
        sample = checked_values(differences)
    changed = sample[sample != 0]
    if len(sample) < 2 or not len(changed):
        return 1.0
    if np.ptp(np.abs(changed)) == 0:
        return float(binomtest(int((changed > 0).sum()), len(changed)).pvalue)
    return float(ttest_1samp(sample, 0).pvalue)


def equivalence_p_value(estimate: Estimate, margin: float, networks: int | None = None) -> float:
    """p-value of a mean as far from 0 as `margin` or farther: below 0.05, it lies within ±margin.

    Two one-sided tests, of -margin and of +margin; the larger p-value counts (Schuirmann 1987).
    Standard errors are taken from the 95 % interval, as by :func:`p_value`.
    """
    n, mean, low, high = estimate
    sides = (
        (margin + mean, mean - low),
        (margin - mean, high - mean),
    )  # distance to the bound, reach towards it
    return 1.0 if n < 2 else max(_tail(*side, networks) for side in sides)


def _tail(distance: float, reach: float, networks: int | None) -> float:
    """One-sided p-value of a distance, whose 95 % interval has this reach."""
    from scipy.special import stdtr, stdtrit

    degrees = np.inf if networks is None else networks - 1
    return (
        float(stdtr(degrees, -stdtrit(degrees, 0.975) * distance / reach))
        if reach > 0
        else float(distance <= 0)
    )


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values (m,) adjusted for their number: one true hypothesis in 20 families is rejected below
    0.05 (Holm 1979).

    p'(k) = max_{j ≤ k} min(1, (m - j + 1) p(j)),   p(1) ≤ … ≤ p(m)
    """
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given)
    adjusted = np.empty(len(given))
    adjusted[order] = np.maximum.accumulate(
        np.minimum(1, given[order] * np.arange(len(given), 0, -1))
    )
    return adjusted
