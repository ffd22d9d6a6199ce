"""A map over its image."""

from __future__ import annotations

import numpy as np

from pipeline.drawing.overlay import HEAT, overlay


def test_a_map_covers_the_image_with_its_value() -> None:
    image = np.random.default_rng(0).random((8, 12, 3))
    shown = [overlay(image, np.full((2, 3), value, np.float32), (8, 12)) for value in (0, 1)]
    grey = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(np.corrcoef(shown[0].mean(axis=2).ravel(), grey.ravel())[0, 1], 1, atol=0.1)
    np.testing.assert_allclose(shown[1], np.broadcast_to(HEAT(1.0)[:3], shown[1].shape), atol=0.05)


def test_a_map_alone_goes_from_the_first_colour_to_the_last() -> None:
    alone = overlay(None, np.array([[0, 1]], np.float32), (4, 8))
    np.testing.assert_allclose(alone[:, 0], np.broadcast_to(HEAT(0.0)[:3], (4, 3)))
    np.testing.assert_allclose(alone[:, -1], np.broadcast_to(HEAT(1.0)[:3], (4, 3)))
