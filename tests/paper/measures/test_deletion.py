"""Insertion and deletion: curves worked by hand on networks of one line."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.measures.deletion import faithfulness, pixel_order, random_orders, spike_deletion
from paper.measures.maps import average_map
from spikesam import InputError

Images = NDArray[np.float32]


def brightness(images: Images) -> NDArray[np.float64]:
    """Two classes: p(0) = 1 / (1 + exp(-sum of the pixels))."""
    total = images.sum(axis=(1, 2, 3), dtype=np.float64)
    return np.stack([total, np.zeros_like(total)], axis=1)


IMAGE = np.log(
    np.float32([[[3, 3, 1, 1]]])
)  # two pixels of ln 3: p = 9/10, 3/4 without one, 1/2 without both


def test_deletion_by_hand() -> None:
    good = faithfulness(brightness, IMAGE, [[4.0, 3, 2, 1]], steps=4)
    np.testing.assert_allclose(good.fractions, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(good.deletion, [0.9, 0.75, 0.5, 0.5, 0.5], rtol=1e-6)
    assert trapezoid(good.deletion, good.fractions) == pytest.approx(
        (0.825 + 0.625 + 0.5 + 0.5) / 4
    )
    bad = faithfulness(brightness, IMAGE, [[1.0, 2, 3, 4]], steps=4)
    np.testing.assert_allclose(bad.deletion, [0.9, 0.9, 0.9, 0.75, 0.5], rtol=1e-6)
    assert trapezoid(bad.deletion, bad.fractions) == pytest.approx((0.9 + 0.9 + 0.825 + 0.625) / 4)


def test_insertion_goes_from_a_blurred_image_to_the_image_in_the_map_s_order() -> None:
    seen: list[Images] = []

    def score(images: Images) -> NDArray[np.float64]:
        seen.append(images)
        return images[:, :, 0, 0].astype(np.float64)  # one class per channel: its top left pixel

    image = np.zeros((2, 64, 64), np.float32)
    image[0, 0, 0], image[1, 40:] = 2, 1
    curves = faithfulness(score, image, np.pad([[1.0]], ((0, 63), (0, 63))), steps=64 * 64 // 8)
    (images,) = seen
    insertion = images[len(images) // 2 :]
    np.testing.assert_array_equal(insertion[-1], image)
    assert insertion.dtype == np.float32 and insertion[0].max() < 1
    np.testing.assert_allclose(
        insertion[0].sum(axis=(1, 2)), image.sum(axis=(1, 2)), rtol=1e-3
    )  # spread, not removed
    assert insertion[1, 0, 0, 0] == 2 and (insertion[1] == image).all(axis=0).sum() >= 8
    assert curves.insertion[0] == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(curves.insertion[1:], 1 / (1 + np.exp(-2)), rtol=1e-6)


def test_the_class_is_the_one_predicted_on_the_whole_image() -> None:
    curves = faithfulness(brightness, -IMAGE, [[4.0, 3, 2, 1]], steps=2)
    np.testing.assert_allclose(curves.deletion, [0.9, 0.5, 0.5], rtol=1e-6)


@given(arrays(np.float64, (3, 4), elements=st.integers(0, 3).map(float)), st.integers(0, 5))
def test_order_is_a_permutation_from_high_to_low(image_map: NDArray[np.float64], seed: int) -> None:
    order = pixel_order(image_map, (3, 4), seed)
    assert sorted(order) == list(range(12))
    assert (np.diff(image_map.ravel()[order]) <= 0).all()


@given(st.floats(0, 10, allow_subnormal=False), st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_a_flat_map_is_a_random_order(value: float, size: tuple[int, int]) -> None:
    order = pixel_order(np.full(size, value), (6, 7), 3)
    np.testing.assert_array_equal(order, pixel_order(np.zeros((6, 7)), (6, 7), 3))
    assert (order != pixel_order(np.zeros((6, 7)), (6, 7), 4)).any()


def test_one_pixel() -> None:
    curves = faithfulness(brightness, np.log(np.float32([[[3]]])), [[1.0]])
    areas = [trapezoid(each, curves.fractions) for each in (curves.deletion, curves.insertion)]
    assert areas == pytest.approx([0.625, 0.75])


def count(spikes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Two classes: each spike of the upper row makes class 0 three times as likely; the lower row
    says nothing.
    """
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
    assert trapezoid(curve.probability, curve.places) == pytest.approx(
        (0.825 + 0.625 + 0.5 + 0.5) / 4
    )
    assert trapezoid(curve.probability, curve.spikes) == pytest.approx(
        (0.825 + 0.625 + 2 * 0.5 + 2 * 0.5) / 6
    )


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
        np.testing.assert_allclose(
            average_map(random, size).mean(axis=(1, 2)), random.mean(axis=(1, 2))
        )
    np.testing.assert_allclose(average_map(np.full((5, 7), 2.5), size), 2.5)


def test_a_map_of_fewer_places_than_steps_and_a_silent_layer() -> None:
    curve = spike_deletion(count, two_rows()[:, :, :, :1], [[1.0], [0.0]], steps=16)
    np.testing.assert_allclose(curve.places, [0, 0.5, 1])
    silent = spike_deletion(count, np.zeros((2, 1, 2, 2), bool), [[1.0]], steps=2)
    for share in (silent.spikes, silent.places):
        assert trapezoid(silent.probability, share) == pytest.approx(0.5)


CURVES = [(faithfulness, brightness, IMAGE), (spike_deletion, count, two_rows())]


@pytest.mark.parametrize(("curves", "score", "seen"), CURVES)
def test_the_random_baseline_is_the_mean_over_flat_maps(curves: Any, score: Any, seen: Any) -> None:
    found = [curves(score, seen, [[5.0]], steps=4, seed=seed) for seed in (7, 8)]
    baseline = random_orders(curves, score, seen, repeats=2, steps=4, seed=7)
    for mean, first, second in zip(baseline, *found, strict=True):
        np.testing.assert_allclose(mean, (first + second) / 2)


@pytest.mark.parametrize(("curves", "score", "seen"), CURVES)
def test_bad_input(curves: Any, score: Any, seen: Any) -> None:
    images = curves is faithfulness
    logits, shape = (
        (34, r"an image of shape \(1, 4\)") if images else (5, r"spikes of \(2, 2\) and 16 steps")
    )
    with pytest.raises(
        InputError,
        match=rf"got logits of shape \({logits}, 2\), expected finite ones of \({logits}, cl",
    ):
        curves(lambda given: np.full((logits, 2), np.nan), seen, [[1.0]])
    with pytest.raises(InputError, match=f"got {shape}, expected "):
        curves(score, seen[0] if images else seen[0, 0], [[1.0]])
    with pytest.raises(InputError, match="0 steps, expected .*at least 1$"):
        curves(score, seen, [[1.0]], steps=0)
    with pytest.raises(InputError, match="got 0 repeats, expected at least 1$"):
        random_orders(curves, score, seen, repeats=0)
