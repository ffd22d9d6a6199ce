"""What a layer does over time: numbers worked by hand."""

import numpy as np
import pytest

from paper.measures.over_time import activity, likeness, peak, spike_rate, variation
from spikesam import InputError


def test_spike_rate_by_hand() -> None:
    counts = np.array([[1, 2, 0], [3, 0, 4]], np.uint32)
    np.testing.assert_array_equal(spike_rate(counts, 4), [[0.25, 0.5, 0], [0.75, 0, 1]])
    with pytest.raises(
        InputError, match="^spike rate: got counts in 0 … 9, expected 0 … 4 neurons"
    ):
        spike_rate(np.array([[0, 9]]), 4)


def test_variation_and_peak_of_a_rate() -> None:
    rates = np.array([[2.0, 4.0, 3.0], [0, 0, 0], [5, 5, 5]])
    np.testing.assert_allclose(variation(rates), [np.sqrt(2 / 3) / 3, 0, 0])
    np.testing.assert_allclose(peak(rates), [0.5, 0, 0])
    np.testing.assert_allclose(peak(rates[:, :1]), 0)


def test_activity_of_thirds_is_relative_to_the_busiest_step() -> None:
    found = activity(np.array([[0, 2, 4, 4, 1, 0], [0, 0, 0, 0, 0, 0]]))
    assert {part: list(values) for part, values in found.items()} == {
        "early": [0.25, 0],
        "middle": [1, 0],
        "late": [0.125, 0],
        "silent": [1 / 3, 1],
    }


def test_fewer_steps_than_thirds_leave_none_without_a_value() -> None:
    found = activity(np.array([[3]]))
    assert (found["early"], found["middle"], found["late"]) == (1, 1, 1)


def test_likeness_is_the_correlation_of_maps() -> None:
    first, other = [[0.0, 1], [2, 3]], [[3.0, 1], [2, 0]]
    r = np.corrcoef(np.ravel(first), np.ravel(other))[0, 1]
    found = likeness(np.array([first, first, other, np.ones((2, 2))], np.float32))
    assert found["consecutive steps"] == pytest.approx((1 + r + 0) / 3)
    assert found["any two steps"] == pytest.approx(
        (1 + r + r) / 6
    )  # of six pairs three hold the flat one
    assert found["the first and last eighth"] == 0
    assert likeness(np.array([first, other], np.float32))[
        "the first and last eighth"
    ] == pytest.approx(r)
    assert likeness(np.zeros((9, 2, 2), np.float32)) == dict.fromkeys(found, 0.0)
    assert likeness(np.array([first], np.float32))["consecutive steps"] == 0


def test_eighths_are_sums() -> None:
    blinking = np.zeros((16, 1, 2), np.float32)
    blinking[::2, 0, 0] = 1  # every other step is dark
    found = likeness(blinking)
    assert found["consecutive steps"] == 0
    assert found["the first and last eighth"] == pytest.approx(1)
