"""The paper's measures: numbers worked by hand, and what silence, ε and the unit of a map must not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.measures.attention import (
    AUTHORS_FLOOR,
    heatmap_shift,
    heatmap_variance,
    localisation_error,
    localisation_errors,
    lowest_errors,
    mass_shift,
    min_max,
    spike_rate,
)
from recordings.errors import InputError

Maps = NDArray[np.float64]

levels = st.integers(0, 6).map(float)  # as maps of spikes have: few values, many ties, often zero
maps = arrays(np.float64, (3, 2, 4), elements=levels)
references = arrays(np.float64, (2, 2), elements=levels)
factors = st.sampled_from([0.25, 2.0, 1e-6, 1e6])
MISS, HIT = -np.log(1e-3), -np.log(1 - 1e-3)


def test_min_max_by_hand() -> None:
    np.testing.assert_array_equal(
        min_max([[[1.0, 2], [3, 5]], [[7, 7], [7, 7]]]), [[[0, 0.25], [0.5, 1]], [[0, 0]] * 2]
    )
    np.testing.assert_allclose(min_max([[0.0, 1e-3]], floor=AUTHORS_FLOOR), [[0, 0.5]])
    assert min_max(np.ones((1, 1), np.float32)).dtype == np.float32


@pytest.mark.parametrize("gamma", [0.0, 0.2, 0.5, 1.0])
def test_min_max_as_the_authors_do(shared: Path, gamma: float) -> None:
    reference = np.load(shared / "reference" / "sam.npz")
    scaled = min_max(reference[f"authors_code_raw_gamma{gamma}"], floor=AUTHORS_FLOOR)
    np.testing.assert_allclose(scaled, reference[f"authors_code_display_gamma{gamma}"], rtol=1e-6)


def test_rounding_is_not_stretched_to_full_contrast() -> None:
    assert not min_max(np.float32([[0.3, np.nextafter(np.float32(0.3), np.float32(1))]])).any()
    np.testing.assert_allclose(min_max([[0, 1e-9]]), [[0, 1]])  # a small gradient is no rounding


@given(maps, factors, levels)
def test_min_max_knows_no_unit(maps: Maps, factor: float, offset: float) -> None:
    scaled = min_max(maps)
    assert scaled.min() >= 0 and scaled.max() <= 1
    np.testing.assert_allclose(min_max(factor * (maps + offset)), scaled, atol=1e-9)


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
        assert localisation_error(part, reference) == pytest.approx(low)


def test_silence_does_not_win_because_the_reference_is_sparse() -> None:
    reference, silent, spoken = np.zeros((3, 8, 8))
    reference[0, 0] = spoken[:4] = 1
    errors = localisation_errors([silent, spoken], reference)
    assert errors[0] < errors[1]
    for quiet in (silent, silent + 3):  # lit everywhere alike is as mute as dark
        assert localisation_error([quiet, spoken, quiet], reference) == pytest.approx(errors[1])
        assert localisation_error([quiet, quiet], reference) == pytest.approx((MISS + 63 * HIT) / 64)


def test_one_pixel_and_flat_references_are_defined() -> None:
    assert localisation_error([[[5.0]], [[0.0]]], [[1.0]]) == pytest.approx(HIT)
    assert localisation_error(np.zeros((2, 3, 3)), np.zeros((2, 2))) == pytest.approx(HIT)
    assert localisation_error([[[0.0, 1]]], [[7.0, 7]]) == pytest.approx((HIT + MISS) / 2)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, -1.0, float("nan")])
def test_epsilon_out_of_range(epsilon: float) -> None:
    with pytest.raises(InputError, match=r"^localisation error: got epsilon .*, expected a number between 0 and 0\.5$"):
        localisation_errors(np.ones((1, 2, 2)), np.ones((2, 2)), epsilon)


def test_variance_by_hand() -> None:
    assert heatmap_variance([[[0.0, 0, 3, 3]]]) == 0.25
    assert heatmap_variance([[[0.0, 0, 0, 0]], [[0.0, 3, 3, 3]], [[2.0, 2, 2, 2]]]) == 0.1875
    assert heatmap_variance(np.zeros((3, 2, 2))) == heatmap_variance(np.ones((3, 1, 1))) == 0


@given(maps, factors)
def test_variance_is_bounded_and_knows_no_unit(maps: Maps, factor: float) -> None:
    variance = heatmap_variance(maps)
    assert 0 <= variance <= 0.25
    assert heatmap_variance(factor * maps) == pytest.approx(variance)


def test_shift_by_hand() -> None:
    assert heatmap_shift([[0.0, 1]], [[9.0, 3]]) == 1
    assert heatmap_shift([[0.0, 1, 2]], [[0.0, 2, 2]]) == pytest.approx(0.5 / 3)
    assert mass_shift([[1.0, 1, 2]], [[4.0, 4, 0]]) == 0.5
    assert mass_shift([[1.0, 0, 0]], [[0, 2.0, 0]]) == 1


def test_silence_does_not_pass_for_robustness() -> None:
    silent, left, right = [[0.0, 0]], [[1.0, 0]], [[0.0, 1]]
    for shift in (heatmap_shift, mass_shift):
        assert shift([silent, left, silent], [silent, right, silent]) == 1
        assert shift([silent, silent], [silent, silent]) == 0
    assert heatmap_shift(silent, left) == 0.5
    assert mass_shift(silent, left) == 1


@given(maps, maps)
def test_shift_is_a_bounded_symmetric_distance(one: Maps, other: Maps) -> None:
    for shift in (heatmap_shift, mass_shift):
        assert shift(one, one) == 0  # exactly: an attack of strength 0 moves nothing
        assert 0 <= shift(one, other) <= 1 + 1e-12
        assert shift(one, other) == shift(other, one)


def test_spike_rate_by_hand() -> None:
    counts = np.array([[1, 2, 0], [3, 0, 4]], np.uint32)
    np.testing.assert_array_equal(spike_rate(counts, 4), [[0.25, 0.5, 0], [0.75, 0, 1]])
    with pytest.raises(InputError, match="^spike rate: got counts in 0 … 9, expected 0 … 4 neurons"):
        spike_rate(np.array([[0, 9]]), 4)
