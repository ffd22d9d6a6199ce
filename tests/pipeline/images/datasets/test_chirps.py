"""Chirps: the same to the bit everywhere, and what decides their class is where it says."""

from dataclasses import replace

import numpy as np
import pytest

from spikesam.pipeline.images.datasets import chirps
from spikesam.pipeline.images.datasets.base import Item
from spikesam.pipeline.images.datasets.chirps import CHANNELS, DURATION_US, FRAME_US, WIDE, Chirps
from spikesam.pipeline.images.events.events import Events


@pytest.fixture(scope="module")
def unseen() -> list[Item]:
    return list(Chirps("val", size=16))


def test_the_chirp_lies_in_its_band_and_moves_its_way(unseen: list[Item]) -> None:
    recordings = Chirps("val", size=16)
    for item in unseen:
        where = recordings.deciding(item.index)
        assert where.shape == (1 + DURATION_US // FRAME_US, CHANNELS)
        heard = np.flatnonzero(where.any(axis=1))
        middles = CHANNELS - 1 - np.array([np.flatnonzero(where[frame]).mean() for frame in heard])
        band, falls = divmod(item.label or 0, 2)
        assert WIDE * band - 4 <= middles.min() <= middles.max() < WIDE * (band + 1) + 4
        assert (middles[-1] < middles[0]) == bool(falls)


def test_much_of_what_is_heard_decides_nothing(unseen: list[Item]) -> None:
    recordings, shares, areas = Chirps("val", size=16), [], []
    for item in unseen:
        assert isinstance(item.image, Events)
        where = recordings.deciding(item.index)
        shares.append(where[item.image.t // FRAME_US, item.image.y].mean())
        areas.append(where.mean())
    assert max(areas) < 0.12
    assert 0.4 < np.mean(shares) < 0.7


def test_all_events_of_a_chirp_alone_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """ON before, OFF behind; and each channel decides from its first event to its last."""
    monkeypatch.setattr(chirps, "TONES", 0)
    monkeypatch.setattr(chirps, "COCHLEA", replace(chirps.COCHLEA, noise=0.0))
    alone = Chirps("val", size=16)
    for item in alone:
        assert isinstance(item.image, Events)
        frames, rows, where = item.image.t // FRAME_US, item.image.y, alone.deciding(item.index)
        assert where[frames, rows].all() and len(rows) > 80
        assert 0.4 < item.image.polarity.mean() < 0.6
        for row in np.flatnonzero(where.any(axis=0)):
            lies = np.flatnonzero(where[:, row])
            assert [lies[0], lies[-1]] == [frames[rows == row].min(), frames[rows == row].max()]
            assert len(lies) == 1 + lies[-1] - lies[0]
