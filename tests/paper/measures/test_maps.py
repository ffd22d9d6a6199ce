"""Measures of maps: numbers by hand, laws, and that each refuses what is no map in one line that
names it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.transform import resize

from paper.measures.deletion import pixel_order
from paper.measures.maps import (
    AUTHORS_FLOOR,
    heatmap_shift,
    heatmap_variance,
    iou_at_area,
    localisation_errors,
    lowest_errors,
    mass_shift,
    min_max,
    pearson,
    total_variation,
)
from spikesam import InputError
from spikesam.measures import energy_in_object, iou, pointing_game, resize_map

Maps = NDArray[np.float64]

levels = st.integers(0, 6).map(float)  # as maps of spikes have: few values, many ties, often zero
maps = arrays(np.float64, (3, 2, 4), elements=levels)
factors = st.sampled_from([0.25, 2.0, 1e-6, 1e6])
STEPS, MASK, REFERENCE = np.ones((3, 2, 2)), np.ones((2, 2), bool), np.arange(4.0).reshape(2, 2)
MEASURES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "min-max": (min_max, (2, 2)),
    "localisation error, every step": (
        lambda maps: localisation_errors(maps, REFERENCE),
        (3, 2, 2),
    ),
    "localisation error, lowest": (lambda maps: lowest_errors(maps, REFERENCE), (3, 2, 2)),
    "reference of the localisation error": (lambda maps: lowest_errors(STEPS, maps), (2, 2)),
    "heatmap variance": (heatmap_variance, (3, 2, 2)),
    "total variation": (total_variation, (3, 2, 2)),
    "heatmap shift": (lambda maps: heatmap_shift(maps, STEPS), (3, 2, 2)),
    "mass shift": (lambda maps: mass_shift(STEPS, maps), (3, 2, 2)),
    "pointing game": (lambda maps: pointing_game(maps, MASK), (2, 2)),
    "energy in object": (lambda maps: energy_in_object(maps, MASK), (2, 2)),
    "IoU": (lambda maps: iou(maps, MASK), (2, 2)),
    "Pearson correlation": (lambda maps: pearson(maps, STEPS), (3, 2, 2)),
    "faithfulness": (lambda maps: pixel_order(maps, (4, 4)), (2, 2)),
}


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(name: str, value: float) -> None:
    measure, shape = MEASURES[name]
    maps = np.ones(shape)
    maps.flat[-1] = value
    with pytest.raises(
        InputError, match=f"^{name.split(',')[0]}: got NaN or infinite values, expected finite"
    ) as error:
        measure(maps)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("shape", [(2,), (0, 2, 2)])
def test_shapes_that_are_no_map(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        InputError,
        match=rf"^{name.split(',')[0]}: got maps of shape .*, expected \(.*\), not empty$",
    ):
        MEASURES[name][0](np.ones(shape))


@pytest.mark.parametrize("name", MEASURES)
def test_maps_of_zeros_have_a_result(name: str) -> None:
    measure, shape = MEASURES[name]
    assert np.isfinite(measure(np.zeros(shape))).all()


@pytest.mark.parametrize("measure", [mass_shift, heatmap_shift, pearson])
def test_maps_of_different_size_are_not_compared(measure: Callable[[Any, Any], float]) -> None:
    with pytest.raises(
        InputError, match=r"got maps of \(2, 3\) and \(3, 2\), expected the same shape$"
    ):
        measure(np.ones((2, 3)), np.ones((3, 2)))


def test_negative_mass() -> None:
    maps = np.full((3, 2, 2), -2.0)
    with pytest.raises(InputError, match=r"got a negative value \(-2\), expected maps ≥ 0$"):
        mass_shift(maps, maps)


def test_resizing_aligns_centres() -> None:
    np.testing.assert_allclose(resize_map(np.array([[0.0, 1]]), (1, 4)), [[0, 0.25, 0.75, 1]])
    np.testing.assert_allclose(resize_map(np.array([[0.0, 1, 4, 5]]), (2, 2)), [[0.5, 4.5]] * 2)
    np.testing.assert_allclose(resize_map(np.array([[7.0]]), (3, 2)), np.full((3, 2), 7.0))


sides = st.integers(1, 30)


@given(sides, sides, sides, sides, st.integers(0, 1 << 30))
def test_resizing_is_that_of_skimage(
    height: int, width: int, new_height: int, new_width: int, seed: int
) -> None:
    stack = np.random.default_rng(seed).normal(size=(2, height, width))
    expected = [
        resize(image_map, (new_height, new_width), order=1, mode="edge", anti_aliasing=False)
        for image_map in stack
    ]
    np.testing.assert_allclose(
        resize_map(stack, (new_height, new_width)), expected, rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(
        resize_map(stack[1], (new_height, new_width)), resize_map(stack, (new_height, new_width))[1]
    )


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


@given(
    arrays(np.float64, (2, 3, 4, 5), elements=st.integers(-2, 4).map(float)),
    arrays(np.bool_, (4, 5)),
)
def test_a_stack_is_measured_map_by_map(
    stack: NDArray[np.float64], mask: NDArray[np.bool_]
) -> None:
    expected = [[iou_at_area(image_map, mask) for image_map in row] for row in stack]
    np.testing.assert_allclose(iou_at_area(stack, mask), expected, rtol=1e-12)


def test_iou_at_the_objects_area_by_hand():
    mask = np.array([[True, True, False, False]])
    assert iou_at_area(np.array([[3.0, 1, 2, 0]]), mask) == pytest.approx(
        1 / 3
    )  # picks 1 of 2: 1 / (2·2 - 1)
    assert iou_at_area(np.array([[3.0, 2, 1, 0]]), mask) == 1
    assert iou_at_area(np.array([[3.0, 1, 1, 1]]), mask) == pytest.approx(
        (4 / 3) / (4 - 4 / 3)
    )  # a third of one more
    assert iou_at_area(np.zeros((1, 4)), mask) == 0


def test_iou_at_the_objects_area_asks_for_an_order_alone():
    random = np.random.default_rng(0)
    mask, image_map = random.random((6, 7)) < 0.3, random.random((6, 7))
    assert iou_at_area(image_map**3 + 5, mask) == iou_at_area(image_map, mask)
    assert iou_at_area(np.maximum(image_map - 0.3, 0), mask) == iou_at_area(image_map, mask)


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


def test_variance_by_hand() -> None:
    assert heatmap_variance([[[0.0, 0, 3, 3]]]) == 0.25
    assert heatmap_variance([[[0.0, 0, 0, 0]], [[0.0, 3, 3, 3]], [[2.0, 2, 2, 2]]]) == 0.1875
    assert heatmap_variance(np.zeros((3, 2, 2))) == heatmap_variance(np.ones((3, 1, 1))) == 0


def test_total_variation_by_hand() -> None:
    # Normalised [[0, 1/4], [1/2, 1]]: neighbours differ by 1/4 and 1/2 along rows, 1/2 and 3/4
    # along columns.
    assert total_variation(np.array([[[2.0, 3.0], [4.0, 6.0]]])) == pytest.approx(2 / 4)
    assert total_variation(np.full((1, 2, 2), 7.0)) == total_variation(np.ones((2, 1, 1))) == 0.0


def test_the_roughest_step_counts() -> None:
    ramp, spike = np.tile(np.arange(5.0), (5, 1)), np.eye(5)
    alone = [total_variation(each[None]) for each in (ramp, spike)]
    assert total_variation(np.stack([np.zeros((5, 5)), ramp, spike])) == max(alone)


references = arrays(np.float64, (2, 2), elements=levels)
MISS, HIT = -np.log(1e-3), -np.log(1 - 1e-3)


def test_localisation_error_by_hand() -> None:
    reference = [[0.0, 2], [2, 4]]  # R = 0, ½, ½, 1
    prediction = [[[1.0, 2], [3, 5]]]  # P = 0, ¼, ½, 1
    expected = (HIT + (np.log(4) + np.log(4 / 3)) / 2 + np.log(2) + HIT) / 4
    np.testing.assert_allclose(localisation_errors(prediction, reference), [expected])
    np.testing.assert_allclose(localisation_errors([[[0.0, 1]], [[1, 0]]], [[0.0, 1]]), [HIT, MISS])
    np.testing.assert_allclose(
        localisation_errors([[[1.0, 0]]], [[0.0, 1]], epsilon=0.25), [np.log(4)]
    )


def test_the_reference_is_resized_with_centres_aligned() -> None:
    stretched = np.array([[0, 0.25, 0.75, 1]])
    expected = localisation_errors([[[3.0, 1, 4, 1]]], stretched)
    np.testing.assert_allclose(localisation_errors([[[3.0, 1, 4, 1]]], [[5.0, 9]]), expected)


@given(maps, references, st.sampled_from([1e-6, 1e-3, 0.1]))
def test_error_is_bounded_and_lowest_for_the_reference_itself(
    maps: Maps, reference: Maps, epsilon: float
) -> None:
    errors = localisation_errors(maps, reference, epsilon)
    assert (
        errors.shape == (3,) and (errors >= 0).all() and (errors <= -np.log(epsilon) + 1e-9).all()
    )
    same = localisation_errors(
        np.repeat(reference, 2, axis=1), np.repeat(reference, 2, axis=1), epsilon
    )
    assert (
        localisation_errors(maps, np.repeat(reference, 2, axis=1), epsilon) >= same - 1e-9
    ).all()


@given(arrays(np.float32, (2, 3, 2, 4), elements=st.integers(0, 6).map(float)), references)
def test_a_sweep_gives_what_its_parts_give(sweep: NDArray[np.float32], reference: Maps) -> None:
    errors, lowest = localisation_errors(sweep, reference), lowest_errors(sweep, reference)
    assert errors.shape == (2, 3) and lowest.shape == (2,)
    for part, row, low in zip(sweep, errors, lowest, strict=True):
        np.testing.assert_allclose(
            row, localisation_errors(part.astype(np.float64), reference), atol=1e-5
        )
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
    with pytest.raises(
        InputError,
        match=r"^localisation error: got epsilon .*, expected a number between 0 and 0\.5$",
    ):
        localisation_errors(np.ones((1, 2, 2)), np.ones((2, 2)), epsilon)
