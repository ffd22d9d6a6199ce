"""Saccade digits: what every recording keeps."""

import numpy as np
import pytest

from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.datasets.base import Item
from spikesam.pipeline.images.datasets.handwriting import handwriting
from spikesam.pipeline.images.datasets.saccade_digits import (
    CORNERS,
    DURATION_US,
    SIDE,
    SaccadeDigits,
    film,
    saccades,
)
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.events import Events

BINNING = EventBinning(SIDE, SIDE, bins=30, window_us=10_000)


@pytest.fixture(scope="module")
def unseen() -> list[Item]:
    return list(SaccadeDigits("val", size=20))


def test_every_bin_sees_the_digit_and_both_polarities(unseen: list[Item]) -> None:
    for item in unseen:
        assert isinstance(item.image, Events)
        assert item.image.sensor == (SIDE, SIDE)
        assert item.image.t[-1] <= DURATION_US
        bits = BINNING.binned(item.image).bits
        assert (bits.sum(axis=(2, 3)) > 5).all()


def test_the_mask_is_where_events_come_from(unseen: list[Item]) -> None:
    for item in unseen:
        events = item.image
        assert item.mask.mean() < 0.5
        assert item.mask[events.y, events.x].mean() > 0.8


def test_events_follow_the_digit() -> None:
    """The middle of the events of a bin moves along the triangle, as the digit's does."""
    item = SaccadeDigits("train", size=1)[0]
    bits = BINNING.binned(item.image).bits & item.mask
    way, times = saccades()
    middles = np.array([np.argwhere(planes)[:, 1:].mean(axis=0)[::-1] for planes in bits])
    wanted = np.array(
        [way[(times >= 10_000 * k) & (times < 10_000 * (k + 1))].mean(axis=0) for k in range(30)]
    )
    found = middles - middles.mean(axis=0)
    assert np.abs(found - (wanted - wanted.mean(axis=0))).max() < 2
    assert np.ptp(found[:, 0]) > 7
    assert np.ptp(found[:, 1]) > 7


def test_the_digit_goes_where_its_way_says() -> None:
    glyph = handwriting("train")[0][0]
    first, second = film(glyph, np.array([(0.0, 0.0), (3.0, -2.0)]), 15.0, 0.1)
    assert np.allclose(first[4:, :-4][:-2], second[2:-4, 3:-1], atol=1e-3)
    assert (CORNERS[0] == CORNERS[-1]).all()


def test_splits_and_sizes() -> None:
    assert len(SaccadeDigits("train")) == 8000
    assert len(open_dataset("saccade-digits", "selection")) == 1000
    assert open_dataset("saccade-digits", "val", size=30).labels[:10] != tuple(range(10))
