"""Differences over the same images, intervals over networks and images, and p-values of many
claims.
"""

import random as random_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper.measures.inference import (
    bootstrap_differences,
    bootstrap_mean,
    bootstrap_over_networks,
    holm,
    p_value,
    paired_p_value,
    shares_over_networks,
)
from paper.measures.tables import difference, measured
from spikesam import InputError
from spikesam.statistics import Estimate


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6))
def test_interval_holds_the_mean_and_exchanging_mirrors_it(values: list[float]) -> None:
    n, mean, low, high = difference(measured(values), zeros := measured(np.zeros(len(values))))
    assert n == len(values) and low - 1e-9 <= mean <= high + 1e-9
    assert difference(zeros, measured(values)) == pytest.approx((n, -mean, -high, -low), abs=1e-9)


def test_holm_by_hand() -> None:
    # Sorted: 0.01 × 4 = 0.04, 0.02 × 3 = 0.06, 0.02 × 2 = 0.04 but not below the one before, 0.5 ×
    # 1.
    np.testing.assert_allclose(holm([0.02, 0.5, 0.01, 0.02]), [0.06, 0.5, 0.04, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])
    assert holm([]).shape == (0,)
    assert holm([0.03]).tolist() == [0.03]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.randoms())
def test_laws_of_holm(p_values: list[float], random: random_module.Random) -> None:
    adjusted = holm(p_values)
    given = np.array(p_values)
    assert (given <= adjusted).all() and (
        adjusted <= np.minimum(1, given * len(given)) + 1e-12
    ).all()
    assert (np.diff(adjusted[np.argsort(given)]) >= 0).all()
    shuffled = random.sample(range(len(given)), len(given))
    np.testing.assert_array_equal(holm(given[shuffled]), adjusted[shuffled])


def test_paired_p_value_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, standard error 1/√3, t = 3.4641 with two degrees of freedom.

    Of five hits and misses that changed all went one way: 2 / 2⁵; four of five, 2 · 6 / 2⁵.
    """
    assert paired_p_value([1.0, 2.0, 3.0]) == pytest.approx(0.07418, abs=1e-5)
    assert paired_p_value([0, 1, 1, 1, 1, 1, 0]) == pytest.approx(2 / 32)
    assert paired_p_value([-1, 1, 1, 1, 1, 0]) == pytest.approx(12 / 32)
    assert paired_p_value([0.0, 0.0]) == paired_p_value([0.7]) == 1


def test_shares_that_are_all_alike_have_no_empty_interval() -> None:
    """Wilson's upper end for 0 of n is z² / (n + z²): 0.4345 for 5 networks,
    0.0370 for 100 images.
    """
    assert shares_over_networks(np.zeros((5, 100))) == pytest.approx((100, 0, 0, 0.4345), abs=1e-4)
    assert shares_over_networks(np.ones((5, 100))) == pytest.approx((100, 1, 0.5655, 1), abs=1e-4)
    mixed = np.eye(4)
    assert shares_over_networks(mixed) == bootstrap_over_networks(mixed)
    none = bootstrap_differences(np.zeros(100))
    assert none == pytest.approx((100, 0, -0.0370, 0.0370), abs=1e-4)
    assert bootstrap_differences([1.0, 0.0]) == bootstrap_mean([1.0, 0.0])


def test_p_value_of_an_interval_by_hand() -> None:
    # A reach of 1.96 standard errors: 2 of them are p = 0.0455, 3.92 of them 8.9e-5.
    assert p_value(Estimate(50, 2.0, 2 - 1.96, 2 + 1.96)) == pytest.approx(0.0455, abs=1e-4)
    assert p_value(Estimate(50, -2.0, -4.0, -1.0)) == pytest.approx(8.9e-5, rel=0.01)
    # Of 5 networks: t(4) = 2.776 at the interval's end, so 2 × 2.776 = 5.552 is p = 0.0052.
    assert p_value(Estimate(50, 2.0, 1.0, 3.0), networks=5) == pytest.approx(0.0052, abs=1e-4)
    assert p_value(Estimate(1, 2.0, -np.inf, np.inf)) == p_value(Estimate(9, 0.0, -1, 1)) == 1
    assert p_value(Estimate(9, 2.0, 2.0, 2.0)) == 0


@given(st.floats(-3, 3), st.floats(0.01, 3), st.floats(0.01, 3), st.sampled_from([None, 2, 5]))
def test_p_is_below_5_percent_where_0_lies_outside(
    mean: float, down: float, up: float, networks: int | None
) -> None:
    estimate = Estimate(20, mean, mean - down, mean + up)
    p = p_value(estimate, networks)
    assert 0 <= p <= 1
    if min(abs(estimate.low), abs(estimate.high)) > 1e-6:
        assert (p < 0.05) == (estimate.low > 0 or estimate.high < 0)


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=1, max_size=4))
def test_laws_of_the_bootstrap_over_networks(values: list[list[float]]) -> None:
    sample = np.array(values)
    n, mean, low, high = bootstrap_over_networks(sample)
    assert n == 3 and mean == pytest.approx(sample.mean()) and low - 1e-9 <= mean <= high + 1e-9
    assert bootstrap_over_networks(sample + 1) == pytest.approx(
        (n, mean + 1, low + 1, high + 1), abs=1e-9
    )
    alike = bootstrap_over_networks(np.full((4, 5), 2.5))
    assert alike == (5, pytest.approx(2.5), pytest.approx(2.5), pytest.approx(2.5))


@pytest.mark.parametrize(
    ("networks", "of_networks", "of_images"), [(5, 1.0, 1.0), (5, 0.3, 2.0), (2, 1.0, 0.5)]
)
def test_interval_over_networks_holds_the_truth_19_times_in_20(
    networks: int, of_networks: float, of_images: float
) -> None:
    random, held = np.random.default_rng(0), 0
    for trial in range(150):
        effects = random.normal(0, of_networks, (networks, 1)) + random.normal(0, of_images, 40)
        found = bootstrap_over_networks(effects + random.normal(0, 1, (networks, 40)), trial)
        held += found.low <= 0 <= found.high
    assert 0.89 <= held / 150 < 1


def test_of_one_network_the_interval_is_over_images() -> None:
    values = np.random.default_rng(1).normal(0, 1, 30)
    assert bootstrap_over_networks(values[None], 3) == bootstrap_mean(values, 3)


def test_bad_values() -> None:
    with pytest.raises(
        InputError, match=r"^bootstrap: got values of shape \(3,\), expected \(networks, images\)"
    ):
        bootstrap_over_networks([1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="^bootstrap: got NaN or infinite values"):
        bootstrap_over_networks([[1.0, np.nan]])
