from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paper.common.attacked import ABOUT, attacked, strengths
from spikesam.recordings.errors import InputError
from tests.paper.setups import small_setup


@pytest.mark.parametrize("through", list(ABOUT))
def test_pixels_change_by_the_strength_and_nothing_else_does(tmp_path: Path, through: str) -> None:
    setup = small_setup(tmp_path)
    clean, changed = setup.images, attacked(setup, through, 0.01)  # type: ignore[arg-type]
    distance = np.abs(changed.pixels - clean.pixels) * 0.25  # in the 0 … 1 range; the standard deviation is 0.25
    assert distance.max() == pytest.approx(0.01, rel=1e-4)
    assert (distance > 0).mean() > 0.5
    np.testing.assert_array_equal(changed.indices, clean.indices)
    np.testing.assert_array_equal(changed.labels, clean.labels)
    assert changed.sha256 != clean.sha256
    assert "ε = 0.01" in changed.name


def test_strength_zero_is_the_images_themselves(tmp_path: Path) -> None:
    setup = small_setup(tmp_path)
    assert all(attacked(setup, through, 0.0).sha256 == setup.images.sha256 for through in ABOUT)


def test_an_attack_is_computed_once(tmp_path: Path) -> None:
    first = attacked(small_setup(tmp_path), "snn", 0.01)
    cache = sorted((tmp_path / "out" / "stages").iterdir())
    again = attacked(small_setup(tmp_path), "snn", 0.01)
    assert sorted((tmp_path / "out" / "stages").iterdir()) == cache
    np.testing.assert_array_equal(first.pixels, again.pixels)


def test_attacks_on_two_networks_differ(tmp_path: Path) -> None:
    setup = small_setup(tmp_path)
    pixels = [attacked(setup, through, 0.01).pixels for through in ABOUT]
    assert not np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[1], pixels[2])


def test_strengths_are_sorted_and_begin_with_the_clean_images(tmp_path: Path) -> None:
    assert strengths(small_setup(tmp_path, epsilons=(0.02, 0.01))) == (0.0, 0.01, 0.02)


@pytest.mark.parametrize("epsilons", [(), (0.0,), (-0.1, 0.1)])
def test_strengths_that_mean_nothing_are_refused(tmp_path: Path, epsilons: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="paper.epsilons: got .*, expected numbers ≥ 0 with at least one above 0"):
        strengths(small_setup(tmp_path, epsilons=epsilons))
