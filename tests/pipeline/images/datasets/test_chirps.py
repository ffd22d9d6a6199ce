"""Chirps: the same to the bit everywhere, and what decides their class is where it says."""

import hashlib

import numpy as np
import pytest

from spikesam.pipeline.images.datasets.base import Item
from spikesam.pipeline.images.datasets.chirps import CHANNELS, DURATION_US, FRAME_US, WIDE, Chirps
from spikesam.pipeline.images.events.events import Events


@pytest.fixture(scope="module")
def unseen() -> list[Item]:
    return list(Chirps("val", size=16))


def test_recordings_are_the_same_to_the_bit(unseen: list[Item]) -> None:
    # The bundled checkpoint was trained and measured on exactly these events.
    arrays = [getattr(item.image, name) for item in unseen for name in ("t", "y", "polarity")]
    found = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()
    assert found.startswith("aaa85d0b38049704")


def test_the_chirp_lies_in_its_band_and_moves_its_way(unseen: list[Item]) -> None:
    chirps = Chirps("val", size=16)
    for item in unseen:
        where = chirps.deciding(item.index)
        assert where.shape == (1 + DURATION_US // FRAME_US, CHANNELS)
        heard = np.flatnonzero(where.any(axis=1))
        middles = CHANNELS - 1 - np.array([np.flatnonzero(where[frame]).mean() for frame in heard])
        band, falls = divmod(item.label or 0, 2)
        assert WIDE * band - 4 <= middles.min() <= middles.max() < WIDE * (band + 1) + 4
        assert (middles[-1] < middles[0]) == bool(falls)


def test_much_of_what_is_heard_decides_nothing(unseen: list[Item]) -> None:
    chirps, shares, areas = Chirps("val", size=16), [], []
    for item in unseen:
        assert isinstance(item.image, Events)
        where = chirps.deciding(item.index)
        shares.append(where[item.image.t // FRAME_US, item.image.y].mean())
        areas.append(where.mean())
    assert max(areas) < 0.1
    assert 0.2 < np.mean(shares) < 0.6


def test_the_decisive_events_are_the_chirps(unseen: list[Item]) -> None:
    """Where a chirp is loud, most events near its pitch come with it: ON before, OFF behind."""
    chirps = Chirps("val", size=16)
    for item in unseen:
        assert isinstance(item.image, Events)
        inside = chirps.deciding(item.index)[item.image.t // FRAME_US, item.image.y]
        assert inside.sum() > 40
        assert 0.2 < item.image.polarity[inside].mean() < 0.8
