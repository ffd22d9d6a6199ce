"""Means over images with their 95 % intervals, as the tables of :func:`spikesam.measure` have them.

:class:`Estimate` is a mean, its interval and the number of images. :func:`mean_with_interval` is
for measures in 0 … 1, :func:`means_with_intervals` for several of the same images, and
:func:`bootstrap_means` for any measures. :data:`RESAMPLES` is how many resamples the bootstrap
takes, :data:`Z` the normal distribution's 97.5th percentile. :func:`checked_values` refuses what
has no mean.

Examples
--------
>>> from spikesam.statistics import mean_with_interval
>>> mean_with_interval([1, 1, 0, 1])
Estimate(n=4, mean=0.75, low=0.300..., high=0.954...)
"""

from __future__ import annotations

from spikesam.pipeline.measures.statistics import (
    RESAMPLES,
    Estimate,
    Z,
    bootstrap_means,
    checked_values,
    mean_with_interval,
    means_with_intervals,
)

__all__ = [
    "RESAMPLES",
    "Estimate",
    "Z",
    "bootstrap_means",
    "checked_values",
    "mean_with_interval",
    "means_with_intervals",
]
