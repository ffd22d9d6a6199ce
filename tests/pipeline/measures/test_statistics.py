"""Intervals: Wilson's for hits, the bootstrap's for anything else."""

from __future__ import annotations

import numpy as np
import pytest

from spikesam.pipeline.measures.statistics import (
    Estimate,
    bootstrap_means,
    mean_with_interval,
    means_with_intervals,
)
from spikesam.recordings.errors import InputError


def test_interval_of_hits_is_wilson_s() -> None:
    assert mean_with_interval([1.0] * 8) == pytest.approx((8, 1, 0.6756, 1), abs=1e-4)
    assert mean_with_interval([1.0, 0, 0, 0]) == pytest.approx((4, 0.25, 0.0456, 0.6994), abs=1e-4)
    assert mean_with_interval([0.0]) == pytest.approx((1, 0, 0, 0.7935), abs=1e-4)


def test_interval_of_shares_is_the_bootstrap_s() -> None:
    assert mean_with_interval([0.3]) == (1, 0.3, 0, 1)
    _, mean, low, high = mean_with_interval([0.2, 0.6] * 50)
    assert mean == pytest.approx(0.4)
    np.testing.assert_allclose([low, high], [0.4 - 1.96 * 0.02, 0.4 + 1.96 * 0.02], atol=0.01)


def test_bootstrap_of_anything() -> None:
    assert bootstrap_means([[2.5] * 4])[0] == Estimate(4, 2.5, 2.5, 2.5)
    assert bootstrap_means([[-7.0]])[0] == (1, -7, -np.inf, np.inf)  # one image says nothing of the next
    random = np.random.default_rng(0)
    n, mean, low, high = bootstrap_means([random.normal(3, 2, 400)])[0]
    assert n == 400 and mean == pytest.approx(3, abs=0.3)
    np.testing.assert_allclose([mean - low, high - mean], 1.96 * 2 / 20, rtol=0.15)
    assert bootstrap_means([[1.0, 2, 4]], seed=1) == bootstrap_means([[1.0, 2, 4]], seed=1)


def test_several_measures_get_what_each_gets_alone() -> None:
    measures = [*np.random.default_rng(0).random((3, 17)), np.arange(17) % 2, np.zeros(17)]
    assert means_with_intervals(measures) == [mean_with_interval(each) for each in measures]
    assert bootstrap_means(measures, 3) == [bootstrap_means([each], 3)[0] for each in measures]
    assert means_with_intervals([[0.5], [1.0]]) == [mean_with_interval([0.5]), mean_with_interval([1.0])]
    assert means_with_intervals([]) == []
    with pytest.raises(
        InputError, match=r"^bootstrap: got measures of \[2, 3\] images, expected the same images in all"
    ):
        bootstrap_means([[0.1, 0.2], [0.1, 0.2, 0.3]])


def test_bad_values() -> None:
    with pytest.raises(InputError, match=r"^bootstrap: got values of shape \(0,\), expected at least one in a row$"):
        bootstrap_means([[]])
    with pytest.raises(InputError, match="^mean: got NaN or infinite values, expected finite ones"):
        mean_with_interval([0.5, np.nan])
