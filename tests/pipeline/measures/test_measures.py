"""Localisation and statistics: numbers worked by hand, and baselines that cannot win by
accident.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.pipeline.images.preprocessing import box_mask
from spikesam.pipeline.measures.localisation import (
    MEASURES,
    centred_box,
    centred_gaussian,
    energy_in_object,
    iou,
    pointing_game,
)
from spikesam.pipeline.measures.maps import resize_map
from spikesam.pipeline.measures.statistics import (
    Estimate,
    bootstrap_means,
    mean_with_interval,
    means_with_intervals,
    paired_accuracy,
)

LEFT = np.array([[True, False, False], [True, False, False]])
positive_maps = arrays(np.float64, (5, 7), elements=st.floats(0, 100, allow_subnormal=False))
masks = arrays(np.bool_, (5, 7))


def test_pointing_game_by_hand() -> None:
    assert pointing_game(np.array([[0.0, 1, 2], [3, 1, 2]]), LEFT) == 1
    assert pointing_game(np.array([[2.0, 1, 2], [1, 3, 2]]), LEFT) == 0
    assert pointing_game(np.array([[3.0, 1, 3], [3, 1, 3]]), LEFT) == 0.5
    assert pointing_game(np.ones((2, 3)), LEFT) == pytest.approx(1 / 3)


def test_energy_by_hand() -> None:
    assert energy_in_object(np.array([[1.0, 1, 2], [2, 4, 2]]), LEFT) == 0.25
    assert energy_in_object(np.array([[1.0, -5, 1], [0, -5, 2]]), LEFT) == 0.25
    assert energy_in_object(np.ones((2, 3)), LEFT) == pytest.approx(1 / 3)


def test_iou_by_hand() -> None:
    image_map = np.array([[0.0, 1, 2], [3, 1, 2]])
    assert (
        iou(image_map, LEFT) == 1 / 4
    )  # 2, 3, 2 reach 1.5: one of them on the object, four pixels in all
    assert iou(np.ones((2, 3)), LEFT) == pytest.approx(1 / 3)
    assert iou(np.array([[3.0]]), np.array([[True]])) == 1


@given(positive_maps, masks, st.sampled_from([0.25, 2.0, 1024.0]))
def test_laws_of_measures(
    image_map: NDArray[np.float64], mask: NDArray[np.bool_], factor: float
) -> None:
    """The object itself scores 1, a map of zeros 0; an object and the rest add up; scale does not
    matter.
    """
    assert 0 <= iou(image_map, mask) <= 1
    assert iou(mask.astype(float), mask) == (1 if mask.any() else 0)
    for measure in (pointing_game, energy_in_object):
        total = measure(image_map, mask) + measure(image_map, ~mask)
        assert total == pytest.approx(1 if image_map.any() else 0)
    for measure in MEASURES.values():
        assert measure(0 * image_map, mask) == 0
        assert measure(factor * image_map, mask) == pytest.approx(measure(image_map, mask))


@given(
    arrays(np.float64, (2, 3, 4, 5), elements=st.integers(-2, 4).map(float)),
    arrays(np.bool_, (4, 5)),
)
def test_a_stack_is_measured_map_by_map(
    stack: NDArray[np.float64], mask: NDArray[np.bool_]
) -> None:
    for measure in MEASURES.values():
        expected = [[measure(image_map, mask) for image_map in row] for row in stack]
        np.testing.assert_allclose(measure(stack, mask), expected, rtol=1e-12)


def test_maps_lie_over_the_blocks_they_stand_for() -> None:
    image_map = np.zeros((2, 4), np.float32)
    image_map[1, 2] = 6
    image_map = resize_map(image_map, (16, 32))
    assert image_map.shape == (16, 32)
    rows, columns = np.indices(image_map.shape)
    centre = [np.average(axis + 0.5, weights=image_map) for axis in (rows, columns)]
    np.testing.assert_allclose(
        centre, [12 - 0.5, 20], atol=0.6
    )  # the middle of rows 8-16, of columns 16-24
    assert image_map.max() == pytest.approx(6, rel=0.1)


def test_box_mask() -> None:
    np.testing.assert_array_equal(
        box_mask((1, 0, 3, 2), (3, 4)).astype(int), [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    )
    assert box_mask((0.4, 0, 1.6, 1), (1, 3)).tolist() == [
        [True, True, False]
    ]  # pixels whose centre is inside
    assert box_mask((1.6, 0.6, 1.9, 0.9), (2, 3)).tolist() == [[False, True, False], [False] * 3]
    assert box_mask((2.9, 1.9, 3, 2), (2, 3)).tolist() == [[False] * 3, [False, False, True]]


@given(st.integers(4, 40), st.integers(4, 40), st.floats(0.25, 1))
def test_centred_box_has_the_object_s_area_and_the_image_s_shape(
    height: int, width: int, share: float
) -> None:
    inside = centred_box((height, width), share * height * width) > 0
    np.testing.assert_allclose(
        np.argwhere(inside).mean(axis=0), [(height - 1) / 2, (width - 1) / 2], atol=0.51
    )
    sides = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    np.testing.assert_allclose(sides, np.sqrt(share) * np.array([height, width]), atol=1.01)


def test_centred_guess_points_at_the_centre() -> None:
    corner = box_mask((0, 0, 30, 30), (80, 80))
    guess = centred_box((80, 80), 900)
    assert pointing_game(guess, corner) == 0
    assert pointing_game(guess, box_mask((0, 0, 40, 80), (80, 80))) == 0.5
    assert energy_in_object(guess, corner) == pytest.approx(5 * 5 / 900, rel=1e-3)
    assert energy_in_object(guess, box_mask((25, 25, 55, 55), (80, 80))) == 1


def test_centred_gaussian_knows_neither_object_nor_image() -> None:
    guess = centred_gaussian((40, 60))
    np.testing.assert_allclose(guess, guess[::-1, ::-1])
    assert pointing_game(guess, box_mask((29, 19, 31, 21), (40, 60))) == 1
    expected = np.exp(-(15.5**2 - 0.5**2) / (2 * 15**2))  # 15 pixels: a quarter of the width
    assert guess[20, 45] / guess[20, 30] == pytest.approx(expected)
    assert (guess >= guess.max() / 2).mean() == pytest.approx(np.pi * np.log(4) / 16, rel=0.03)
    assert centred_gaussian((1, 1)).tolist() == [[1]]


LABELS = np.array([0, 1], np.int32)


def test_two_seeds_of_two_images_and_one_seed_which_allows_no_interval():
    # float32: 2 of 2 right, then 1 of 2; fixed: 1 of 2, then 1 of 2. Differences -0.5 and 0,
    # deviation 0.5 / √2.
    found = paired_accuracy(np.array([[0, 1], [0, 0]]), np.array([[0, 0], [1, 1]]), LABELS)
    assert (found.float32, found.fixed, found.difference, found.seeds) == (0.75, 0.5, -0.25, 2)
    assert found.low == pytest.approx(-0.25 - 1.96 * 0.25)
    assert found.high == pytest.approx(-0.25 + 1.96 * 0.25)
    assert found.accuracy_by_seed == {"float32": [1.0, 0.5], "fixed": [0.5, 0.5]}
    found = paired_accuracy(np.array([[0, 1]]), np.array([[0, 0]]), LABELS)
    assert (found.difference, found.low, found.high) == (-0.5, None, None)


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
    assert bootstrap_means([[-7.0]])[0] == (
        1,
        -7,
        -np.inf,
        np.inf,
    )  # one image says nothing of the next
    random = np.random.default_rng(0)
    n, mean, low, high = bootstrap_means([random.normal(3, 2, 400)])[0]
    assert n == 400 and mean == pytest.approx(3, abs=0.3)
    np.testing.assert_allclose([mean - low, high - mean], 1.96 * 2 / 20, rtol=0.15)
    assert bootstrap_means([[1.0, 2, 4]], seed=1) == bootstrap_means([[1.0, 2, 4]], seed=1)


def test_several_measures_get_what_each_gets_alone() -> None:
    measures = [*np.random.default_rng(0).random((3, 17)), np.arange(17) % 2, np.zeros(17)]
    assert means_with_intervals(measures) == [mean_with_interval(each) for each in measures]
    assert bootstrap_means(measures, 3) == [bootstrap_means([each], 3)[0] for each in measures]
    assert means_with_intervals([[0.5], [1.0]]) == [
        mean_with_interval([0.5]),
        mean_with_interval([1.0]),
    ]
    assert means_with_intervals([]) == []
    with pytest.raises(
        InputError,
        match=r"^bootstrap: got measures of \[2, 3\] images, expected the same images in a",
    ):
        bootstrap_means([[0.1, 0.2], [0.1, 0.2, 0.3]])


def test_bad_values() -> None:
    with pytest.raises(
        InputError, match=r"^bootstrap: got values of shape \(0,\), expected at least one in a row$"
    ):
        bootstrap_means([[]])
    with pytest.raises(InputError, match="^mean: got NaN or infinite values, expected finite ones"):
        mean_with_interval([0.5, np.nan])
