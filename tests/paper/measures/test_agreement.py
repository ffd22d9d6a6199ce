"""Agreement of two maps: numbers worked by hand, ties, silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paper.measures.agreement import pearson, temporal_centre_of_mass, top_overlap
from spikesam.recordings.errors import InputError

Maps = NDArray[np.float64]

maps = arrays(np.float64, (3, 2, 4), elements=st.integers(0, 6).map(float))
shares = st.sampled_from([0.01, 0.2, 0.5, 1.0])


def test_pearson_by_hand() -> None:
    assert pearson([[1.0, 2, 3]], [[1.0, 3, 2]]) == pytest.approx(0.5)
    assert pearson([[1.0, 2, 3]], [[7.0, 5, 3]]) == -1
    assert pearson([[1e-9, 2e-9, 3e-9]], [[3.0, 5, 7]]) == pytest.approx(1)


def test_flat_maps_agree_with_each_other_only() -> None:
    zero, flat, peak = np.zeros((2, 2)), np.full((2, 2), 0.3), np.eye(2)
    assert pearson(zero, flat) == pearson(zero, zero) == pearson([[5.0]], [[0.0]]) == 1
    assert pearson(zero, peak) == pearson(peak, flat) == 0


@given(maps, maps, st.sampled_from([0.5, 1e-6, 1e6]), st.integers(0, 3))
def test_pearson_laws(one: Maps, other: Maps, factor: float, offset: float) -> None:
    correlation = pearson(one, other)
    assert -1 <= correlation <= 1
    assert pearson(one, one) == pytest.approx(1)
    assert pearson(other, one) == pytest.approx(correlation)
    assert pearson(factor * (one + offset), other) == pytest.approx(correlation, abs=1e-9)


def test_top_overlap_by_hand() -> None:
    assert top_overlap([[5.0, 4, 3, 2, 1]], [[5.0, 1, 2, 3, 4]], fraction=0.4) == pytest.approx(1 / 3)
    assert top_overlap([[5.0, 4, 3, 2, 1]], [[1.0, 2, 3, 4, 5]]) == 0
    # a tie for the one place: each of the two belongs by half
    assert top_overlap([[1.0, 1, 0, 0, 0]], [[2.0, 1, 0, 0, 0]]) == pytest.approx(0.5 / 1.5)


def test_a_flat_map_overlaps_as_much_as_chance() -> None:
    peak = np.arange(25.0).reshape(5, 5)
    assert top_overlap(np.zeros((5, 5)), peak) == pytest.approx(0.2 / 1.8)
    assert top_overlap(np.zeros((5, 5)), np.ones((5, 5))) == 1
    assert top_overlap([[0.0]], [[3.0]]) == 1


@given(maps, maps, shares, st.randoms(use_true_random=False))
def test_top_overlap_laws(one: Maps, other: Maps, share: float, random: object) -> None:
    overlap = top_overlap(one, other, share)
    assert -1e-12 <= overlap <= 1 + 1e-12
    assert top_overlap(other, one, share) == pytest.approx(overlap)
    assert top_overlap(one, one**3 + 1, share) == pytest.approx(1)  # only the order counts
    turned = top_overlap(one[::-1, :, ::-1], other[::-1, :, ::-1], share)
    assert turned == pytest.approx(overlap)  # and not where the pixels are


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_share_out_of_range(share: float) -> None:
    with pytest.raises(InputError, match="^top overlap: got a share of .*, expected a part of the pixels"):
        top_overlap(np.ones((2, 2)), np.ones((2, 2)), share)


def test_centre_of_mass_by_hand() -> None:
    maps = np.zeros((3, 1, 2))
    maps[:, 0, 0], maps[:, 0, 1] = (0, 1, 1), (0, 0, 2)
    assert temporal_centre_of_mass(maps) == 7 / 4
    np.testing.assert_array_equal(temporal_centre_of_mass(np.zeros((2, 4, 1, 1))), [1.5, 1.5])


@given(maps)
def test_running_backwards_mirrors_the_centre(maps: Maps) -> None:
    assert temporal_centre_of_mass(maps[::-1]) == pytest.approx(2 - temporal_centre_of_mass(maps))
