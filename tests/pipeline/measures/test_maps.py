"""Every measure refuses what is no map, in one line that begins with its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.measures.agreement import pearson, temporal_centre_of_mass, top_overlap
from pipeline.measures.attention import (
    heatmap_shift,
    heatmap_variance,
    localisation_error,
    localisation_errors,
    lowest_errors,
    mass_shift,
    min_max,
)
from pipeline.measures.faithfulness import pixel_order
from pipeline.measures.localisation import energy_in_object, iou, pointing_game
from pipeline.measures.maps import resize_map
from recordings.errors import InputError

STEPS, MASK, REFERENCE = np.ones((3, 2, 2)), np.ones((2, 2), bool), np.arange(4.0).reshape(2, 2)
MEASURES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "min-max": (min_max, (2, 2)),
    "localisation error, every step": (lambda maps: localisation_errors(maps, REFERENCE), (3, 2, 2)),
    "localisation error, lowest": (lambda maps: lowest_errors(maps, REFERENCE), (3, 2, 2)),
    "localisation error": (lambda maps: localisation_error(maps, REFERENCE), (3, 2, 2)),
    "reference of the localisation error": (lambda maps: localisation_error(STEPS, maps), (2, 2)),
    "heatmap variance": (heatmap_variance, (3, 2, 2)),
    "heatmap shift": (lambda maps: heatmap_shift(maps, STEPS), (3, 2, 2)),
    "mass shift": (lambda maps: mass_shift(STEPS, maps), (3, 2, 2)),
    "pointing game": (lambda maps: pointing_game(maps, MASK), (2, 2)),
    "energy in object": (lambda maps: energy_in_object(maps, MASK), (2, 2)),
    "IoU": (lambda maps: iou(maps, MASK), (2, 2)),
    "Pearson correlation": (lambda maps: pearson(maps, STEPS), (3, 2, 2)),
    "top overlap": (lambda maps: top_overlap(STEPS, maps), (3, 2, 2)),
    "temporal centre of mass": (temporal_centre_of_mass, (3, 2, 2)),
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


@pytest.mark.parametrize("measure", [mass_shift, heatmap_shift, pearson, top_overlap])
def test_maps_of_different_size_are_not_compared(measure: Callable[[Any, Any], float]) -> None:
    with pytest.raises(InputError, match=r"got maps of \(2, 3\) and \(3, 2\), expected the same shape$"):
        measure(np.ones((2, 3)), np.ones((3, 2)))


@pytest.mark.parametrize("measure", [lambda maps: mass_shift(maps, maps), temporal_centre_of_mass])
def test_negative_mass(measure: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match=r"got a negative value \(-2\), expected maps ≥ 0$"):
        measure(np.full((3, 2, 2), -2.0))


def test_resizing_aligns_centres() -> None:
    np.testing.assert_allclose(resize_map(np.array([[0.0, 1]]), (1, 4)), [[0, 0.25, 0.75, 1]])
    np.testing.assert_allclose(resize_map(np.array([[0.0, 1, 4, 5]]), (2, 2)), [[0.5, 4.5]] * 2)
    np.testing.assert_allclose(resize_map(np.array([[7.0]]), (3, 2)), np.full((3, 2), 7.0))
