"""Deletion of spikes: curves worked by hand on a network of one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.measures.deletion import random_orders, spike_deletion
from paper.measures.maps import average_map
from spikesam.recordings.errors import InputError


def count(spikes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Two classes: each spike of the upper row makes class 0 three times as likely; the lower row says nothing."""
    upper = spikes[:, :, :, 0].sum(axis=(0, 2, 3))
    return np.stack([upper * np.log(3), np.zeros(len(upper))], axis=1)


def two_rows() -> NDArray[np.bool_]:
    """(2, 1, 2, 2): a spike at each upper place, p = 9/10; two at each lower one."""
    spikes = np.zeros((2, 1, 2, 2), bool)
    spikes[0, 0, 0] = spikes[:, 0, 1] = True
    return spikes


def test_the_spikes_that_matter_first_by_hand() -> None:
    curve = spike_deletion(count, two_rows(), [[4.0, 3], [2, 1]], steps=4)
    np.testing.assert_allclose(curve.places, [0, 1 / 4, 1 / 2, 3 / 4, 1])
    np.testing.assert_allclose(curve.spikes, [0, 1 / 6, 2 / 6, 4 / 6, 1])
    np.testing.assert_allclose(curve.probability, [0.9, 0.75, 0.5, 0.5, 0.5])
    assert trapezoid(curve.probability, curve.places) == pytest.approx((0.825 + 0.625 + 0.5 + 0.5) / 4)
    assert trapezoid(curve.probability, curve.spikes) == pytest.approx((0.825 + 0.625 + 2 * 0.5 + 2 * 0.5) / 6)


def test_the_busy_places_first_by_hand() -> None:
    curve = spike_deletion(count, two_rows(), [[1.0, 1], [2, 2]], steps=2)
    np.testing.assert_allclose(curve.spikes, [0, 4 / 6, 1])
    np.testing.assert_allclose(curve.probability, [0.9, 0.9, 0.5])
    assert trapezoid(curve.probability, curve.places) == pytest.approx((0.9 + 0.7) / 2)
    assert trapezoid(curve.probability, curve.spikes) == pytest.approx((0.9 * 4 + 0.7 * 2) / 6)


def test_a_finer_map_counts_by_its_mean_over_a_place() -> None:
    fine = np.zeros((4, 4))
    fine[2:, 2:] = 1  # mean 1 at the lower right, 0.75 of a single 3 at the upper left
    fine[0, 0] = 3
    order = spike_deletion(count, two_rows(), fine, steps=4)
    np.testing.assert_allclose(order.spikes[:3], [0, 2 / 6, 3 / 6])
    np.testing.assert_allclose(average_map(fine, (2, 2)), [[0.75, 0], [0, 1]])


@pytest.mark.parametrize("size", [(2, 3), (5, 4), (3, 7)])
def test_averaging_keeps_the_mean_and_constants(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0).random((3, 5, 7))
    if size[0] <= 5 and size[1] <= 7:
        np.testing.assert_allclose(average_map(random, size).mean(axis=(1, 2)), random.mean(axis=(1, 2)))
    np.testing.assert_allclose(average_map(np.full((5, 7), 2.5), size), 2.5)


def test_a_map_of_fewer_places_than_steps_and_a_silent_layer() -> None:
    curve = spike_deletion(count, two_rows()[:, :, :, :1], [[1.0], [0.0]], steps=16)
    np.testing.assert_allclose(curve.places, [0, 0.5, 1])
    silent = spike_deletion(count, np.zeros((2, 1, 2, 2), bool), [[1.0]], steps=2)
    for share in (silent.spikes, silent.places):
        assert trapezoid(silent.probability, share) == pytest.approx(0.5)


def test_random_baseline_is_the_mean_over_orders() -> None:
    found = [spike_deletion(count, two_rows(), [[0.0]], steps=4, seed=seed) for seed in (7, 8)]
    baseline = random_orders(spike_deletion, count, two_rows(), repeats=2, steps=4, seed=7)
    np.testing.assert_allclose(baseline.probability, (found[0].probability + found[1].probability) / 2)
    np.testing.assert_allclose(baseline.spikes, (found[0].spikes + found[1].spikes) / 2)


def test_bad_input() -> None:
    def broken(spikes: NDArray[np.bool_]) -> Any:
        return np.full((spikes.shape[1], 2), np.nan)

    with pytest.raises(InputError, match=r"got logits of shape \(5, 2\), expected finite ones of \(5, classes\)$"):
        spike_deletion(broken, two_rows(), [[1.0]])
    with pytest.raises(
        InputError, match=r"got spikes of \(2, 2\) and 16 steps, expected \(T, C, H, W\) and at least 1$"
    ):
        spike_deletion(count, two_rows()[0, 0], [[1.0]])
    with pytest.raises(InputError, match="got 0 repeats, expected at least 1$"):
        random_orders(spike_deletion, count, two_rows(), repeats=0)
