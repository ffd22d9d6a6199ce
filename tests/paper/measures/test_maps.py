"""Every measure refuses what is no map, in one line that begins with its name."""

from __future__ import annotations

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

from paper.measures.agreement import pearson
from paper.measures.deletion import pixel_order
from paper.measures.localisation_error import localisation_errors, lowest_errors
from paper.measures.maps import AUTHORS_FLOOR, min_max
from paper.measures.shift import heatmap_shift, mass_shift
from paper.measures.spread import heatmap_variance, total_variation
from spikesam.pipeline.measures.localisation import energy_in_object, iou, pointing_game
from spikesam.pipeline.measures.maps import resize_map
from spikesam.recordings.errors import InputError

Maps = NDArray[np.float64]

levels = st.integers(0, 6).map(float)  # as maps of spikes have: few values, many ties, often zero
maps = arrays(np.float64, (3, 2, 4), elements=levels)
factors = st.sampled_from([0.25, 2.0, 1e-6, 1e6])
STEPS, MASK, REFERENCE = np.ones((3, 2, 2)), np.ones((2, 2), bool), np.arange(4.0).reshape(2, 2)
MEASURES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "min-max": (min_max, (2, 2)),
    "localisation error, every step": (lambda maps: localisation_errors(maps, REFERENCE), (3, 2, 2)),
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
    with pytest.raises(InputError, match=rf"^{name.split(',')[0]}: got maps of shape .*, expected \(.*\), not empty$"):
        MEASURES[name][0](np.ones(shape))


@pytest.mark.parametrize("name", MEASURES)
def test_maps_of_zeros_have_a_result(name: str) -> None:
    measure, shape = MEASURES[name]
    assert np.isfinite(measure(np.zeros(shape))).all()


@pytest.mark.parametrize("measure", [mass_shift, heatmap_shift, pearson])
def test_maps_of_different_size_are_not_compared(measure: Callable[[Any, Any], float]) -> None:
    with pytest.raises(InputError, match=r"got maps of \(2, 3\) and \(3, 2\), expected the same shape$"):
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
def test_resizing_is_that_of_skimage(height: int, width: int, new_height: int, new_width: int, seed: int) -> None:
    stack = np.random.default_rng(seed).normal(size=(2, height, width))
    expected = [
        resize(image_map, (new_height, new_width), order=1, mode="edge", anti_aliasing=False) for image_map in stack
    ]
    np.testing.assert_allclose(resize_map(stack, (new_height, new_width)), expected, rtol=0, atol=1e-12)
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
