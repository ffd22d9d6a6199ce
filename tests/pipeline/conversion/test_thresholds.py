"""Threshold rules on numbers small enough to be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikesam.pipeline.conversion.thresholds import balanced_thresholds, largest_current, percentile_current


def test_the_largest_current_of_all_steps():
    assert largest_current([np.float32([-3.0, 0.5]), np.float32([2.25, 1.0])]) == 2.25
    assert largest_current([np.float32([-3.0, -1.0])]) < 0
    assert largest_current([]) == 0


def test_a_percentile_counts_positive_currents_only():
    # Of 1 … 100, three quarters are at most 75, however many silent neurons there are beside them.
    currents = [np.arange(1.0, 101.0, dtype=np.float32), np.zeros(1000, np.float32), np.full(500, -7.0, np.float32)]
    assert percentile_current(currents, 75) == pytest.approx(75, rel=2e-3)
    assert percentile_current(currents, 100) == pytest.approx(100, rel=2e-3)
    assert percentile_current([np.float32([-1.0, 0.0])], 99.9) == 0


@given(st.lists(st.floats(2**-20, 2**20, width=32), min_size=1, max_size=60), st.floats(1, 99), st.integers(1, 5))
def test_a_percentile_separates_that_share_to_a_bin(values, percentile, parts):
    currents = np.array(values, np.float32)
    found = percentile_current(np.array_split(currents, parts), percentile)
    assert (currents <= found).mean() >= percentile / 100 - 1e-9
    assert (currents < found / 1.002).mean() < percentile / 100 + 1e-9


def test_balancing_by_hand():
    # One channel, z = (4, -1): θ ← θ + 2·(4 - θ)/2 = 4 at once, and stays.
    # Eight of which one is 4: θ ← θ + 2·(4 - θ)/8, so what is missing to 4 shrinks by 3/4 each of 1,000 steps.
    # No positive input: the layer's largest.
    rare = torch.tensor([4.0, *[-1.0] * 7])
    always = torch.tensor([4.0, -1.0] * 4)
    assert balanced_thresholds(torch.stack([always, rare, -rare.abs()])).tolist() == pytest.approx([4, 4, 4])
    assert balanced_thresholds(torch.tensor([[-1.0, -2.0]])).tolist() == [0]


def test_balancing_stays_below_an_outlier():
    # 99,999 activations up to 1 and one of 10, which in 1,000 steps can lift θ by 2·10/100,000·1,000 = 0.2 at most.
    z = torch.cat([torch.linspace(0, 1, 99_999), torch.tensor([10.0])])[None]
    assert 0.9 < float(balanced_thresholds(z)) < 1.2
