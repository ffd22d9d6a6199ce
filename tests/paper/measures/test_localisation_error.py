"""The localisation error: numbers worked by hand, and what silence, ε and the unit of a map must not do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paper.measures.maps import localisation_errors, lowest_errors
from spikesam.recordings.errors import InputError

Maps = NDArray[np.float64]

levels = st.integers(0, 6).map(float)  # as maps of spikes have: few values, many ties, often zero
maps = arrays(np.float64, (3, 2, 4), elements=levels)
references = arrays(np.float64, (2, 2), elements=levels)
factors = st.sampled_from([0.25, 2.0, 1e-6, 1e6])
MISS, HIT = -np.log(1e-3), -np.log(1 - 1e-3)


def test_localisation_error_by_hand() -> None:
    reference = [[0.0, 2], [2, 4]]  # R = 0, ½, ½, 1
    prediction = [[[1.0, 2], [3, 5]]]  # P = 0, ¼, ½, 1
    expected = (HIT + (np.log(4) + np.log(4 / 3)) / 2 + np.log(2) + HIT) / 4
    np.testing.assert_allclose(localisation_errors(prediction, reference), [expected])
    np.testing.assert_allclose(localisation_errors([[[0.0, 1]], [[1, 0]]], [[0.0, 1]]), [HIT, MISS])
    np.testing.assert_allclose(localisation_errors([[[1.0, 0]]], [[0.0, 1]], epsilon=0.25), [np.log(4)])


def test_the_reference_is_resized_with_centres_aligned() -> None:
    stretched = np.array([[0, 0.25, 0.75, 1]])
    expected = localisation_errors([[[3.0, 1, 4, 1]]], stretched)
    np.testing.assert_allclose(localisation_errors([[[3.0, 1, 4, 1]]], [[5.0, 9]]), expected)


@given(maps, references, st.sampled_from([1e-6, 1e-3, 0.1]))
def test_error_is_bounded_and_lowest_for_the_reference_itself(maps: Maps, reference: Maps, epsilon: float) -> None:
    errors = localisation_errors(maps, reference, epsilon)
    assert errors.shape == (3,) and (errors >= 0).all() and (errors <= -np.log(epsilon) + 1e-9).all()
    same = localisation_errors(np.repeat(reference, 2, axis=1), np.repeat(reference, 2, axis=1), epsilon)
    assert (localisation_errors(maps, np.repeat(reference, 2, axis=1), epsilon) >= same - 1e-9).all()


@given(maps, references, factors, factors)
def test_error_knows_no_unit(maps: Maps, reference: Maps, one: float, other: float) -> None:
    expected = localisation_errors(maps, reference)
    np.testing.assert_allclose(localisation_errors(one * maps, other * reference), expected, atol=1e-9)


@given(arrays(np.float32, (2, 3, 2, 4), elements=st.integers(0, 6).map(float)), references)
def test_a_sweep_gives_what_its_parts_give(sweep: NDArray[np.float32], reference: Maps) -> None:
    errors, lowest = localisation_errors(sweep, reference), lowest_errors(sweep, reference)
    assert errors.shape == (2, 3) and lowest.shape == (2,)
    for part, row, low in zip(sweep, errors, lowest, strict=True):
        np.testing.assert_allclose(row, localisation_errors(part.astype(np.float64), reference), atol=1e-5)
        assert lowest_errors(part, reference) == pytest.approx(low)


def test_silence_does_not_win_because_the_reference_is_sparse() -> None:
    reference, silent, spoken = np.zeros((3, 8, 8))
    reference[0, 0] = spoken[:4] = 1
    errors = localisation_errors([silent, spoken], reference)
    assert errors[0] < errors[1]
    for quiet in (silent, silent + 3):  # lit everywhere alike is as mute as dark
        assert lowest_errors([quiet, spoken, quiet], reference) == pytest.approx(errors[1])
        assert lowest_errors([quiet, quiet], reference) == pytest.approx((MISS + 63 * HIT) / 64)


def test_one_pixel_and_flat_references_are_defined() -> None:
    assert lowest_errors([[[5.0]], [[0.0]]], [[1.0]]) == pytest.approx(HIT)
    assert lowest_errors(np.zeros((2, 3, 3)), np.zeros((2, 2))) == pytest.approx(HIT)
    assert lowest_errors([[[0.0, 1]]], [[7.0, 7]]) == pytest.approx((HIT + MISS) / 2)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, -1.0, float("nan")])
def test_epsilon_out_of_range(epsilon: float) -> None:
    with pytest.raises(InputError, match=r"^localisation error: got epsilon .*, expected a number between 0 and 0\.5$"):
        localisation_errors(np.ones((1, 2, 2)), np.ones((2, 2)), epsilon)
