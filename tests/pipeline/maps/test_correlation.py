"""Synapses forward against the equations as written, and back as their transpose."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesam.backends.network import Input, pair
from spikesam.pipeline.maps.correlation import correlate, pooled, spread, to_winners, unpooled, winners, won
from tests.reference import layer_current


@st.composite
def layers(draw: Any) -> tuple[Input, np.random.Generator]:
    """An input of any kind, for maps of 2×4×8."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    pool, pooling = draw(st.sampled_from([1, 2, (2, 4)])), draw(st.sampled_from(["average", "max"]))
    if draw(st.booleans()):
        weight = random.normal(size=(3, 64 // prod(pair(pool))))
        return Input(weight, pool=pool, pooling=pooling), random
    shape = (3, 2, draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    stride, padding = (draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) for _ in range(2))
    return Input(random.normal(size=shape), pool=pool, stride=stride, padding=padding, pooling=pooling), random


@settings(max_examples=40)
@given(layers())
def test_forward_is_the_current_of_the_equations(case: tuple[Input, np.random.Generator]) -> None:
    layer, random = case
    spikes = random.random((2, 4, 8)) < 0.4
    found = correlate(layer, layer.averaged_weight.astype(float), pooled(layer, spikes))
    np.testing.assert_allclose(found, layer_current(layer, spikes), rtol=1e-5, atol=1e-6)


@given(layers())
def test_back_is_the_transpose(case: tuple[Input, np.random.Generator]) -> None:
    layer, random = case
    maps, weight = pooled(layer, random.random((2, 4, 8)) < 0.4), layer.weight.astype(float)
    values = random.normal(size=layer.output_shape((2, 4, 8)))
    forward = (correlate(layer, weight, maps) * values).sum()
    assert (maps * spread(layer, weight, values, maps.shape)).sum() == pytest.approx(forward, abs=1e-9)


def test_the_winner_of_a_window_by_hand() -> None:
    """Windows 1 3 / 3 2 and -1 -2 / -3 -1: the first 3, and the first -1."""
    layer = Input(np.ones((1, 1, 1, 1)), current_pool=2)
    currents = np.array([[[1.0, 3, -1, -2], [3, 2, -3, -1]]])
    found = winners(layer, currents)
    np.testing.assert_array_equal(found, [[[1, 0]]])
    np.testing.assert_array_equal(won(layer, currents, found), [[[3, -1]]])
    back = to_winners(layer, np.array([[[5.0, 7]]]), found, (2, 4))
    np.testing.assert_array_equal(back, [[[0, 5, 7, 0], [0, 0, 0, 0]]])
    rows = Input(np.ones((1, 1, 1, 1)), current_pool=(2, 1))
    np.testing.assert_array_equal(winners(rows, currents), [[[1, 0, 0, 1]]])
    np.testing.assert_array_equal(won(rows, currents, winners(rows, currents)), [[[3, 3, -1, -1]]])


def test_the_winner_of_windows_that_overlap_by_hand() -> None:
    """Windows of 3, 2 apart, around 1: -1 -2 behind the border, -2 -3 0, and 0 -4 before the border."""
    about: dict[str, Any] = {"current_pool": (1, 3), "current_stride": (1, 2), "current_padding": (0, 1)}
    layer, currents = Input(np.ones((1, 1, 1, 1)), **about), np.array([[[-1.0, -2, -3, 0, -4]]])
    found = winners(layer, currents)
    np.testing.assert_array_equal(found, [[[1, 2, 0]]])
    np.testing.assert_array_equal(won(layer, currents, found), [[[-1, 0, 0]]])
    np.testing.assert_array_equal(to_winners(layer, np.array([[[5.0, 7, 2]]]), found, (1, 5)), [[[5, 0, 0, 9, 0]]])


def test_pooling_by_hand() -> None:
    spikes = np.array([[[1, 1, 0, 0], [0, 1, 0, 0]]])
    average, largest = (Input(np.ones((1, 1, 1, 1)), pool=2, pooling=each) for each in ("average", "max"))
    np.testing.assert_array_equal(pooled(average, spikes), [[[3, 0]]])
    np.testing.assert_array_equal(pooled(largest, spikes), [[[1, 0]]])
    values = np.array([[[6.0, 5.0]]])
    np.testing.assert_array_equal(unpooled(average, spikes, values), [[[6, 6, 0, 0], [0, 6, 0, 0]]])
    np.testing.assert_array_equal(unpooled(largest, spikes, values), [[[2, 2, 0, 0], [0, 2, 0, 0]]])
