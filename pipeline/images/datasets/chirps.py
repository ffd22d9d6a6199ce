"""Chirps: tones that rise or fall in one of four bands, among steady ones and noise, heard by 64
filters.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.datasets.base import GeneratedSet, Item, NamedSet
from spikesam.pipeline.images.events.camera import EventCamera
from spikesam.pipeline.images.events.events import Events

NAME = "chirps"
CHANNELS, BANDS = 64, ("lowest", "low", "high", "highest")
WIDE = CHANNELS // len(BANDS)  # channels of a band
WAYS = ("rises", "falls")
CLASSES = tuple(f"{band}-{way}" for band in BANDS for way in WAYS)
DURATION_US, FRAME_US = 400_000, 2_000
GLIDE, LASTS = 10.0, (100, 180)  # channels and milliseconds of a chirp
TONES, TONE_LASTS = 2, (80, 220)  # steady tones, milliseconds
LOUD = (0.5, 1.0)
QUIET = 0.05  # intensity of silence
WIDTH = 0.8  # channels, of a filter
RAMP = 10.0  # milliseconds in which a tone begins and ends
COCHLEA = EventCamera(threshold=0.3, noise=1.0)

_KEY = 0x63686972 << 32  # keeps a recording's random numbers apart from others of the seed

Floats = NDArray[np.float64]


class Chirps(GeneratedSet):
    """Recordings of one split; an item's mask is every channel that the chirp crosses."""

    def __init__(self, split: str, size: int | None = None) -> None:
        names = [f"{band} {way}" for band in BANDS for way in WAYS]
        super().__init__(f"{NAME}/{split}", _KEY, split, size, CLASSES, names)

    def __getitem__(self, position: int) -> Item:
        random = self._random(position, stream=0)
        pitch, loudness = self._chirp(position, random)
        heard = QUIET + loudness[:, None] * _response(pitch)
        for _ in range(TONES):
            start, stop = _span(random, *TONE_LASTS)
            heard += _envelope(start, stop, _between(random, *LOUD))[:, None] * _response(
                CHANNELS * random.random()
            )
        events = _sent(COCHLEA, heard, random)
        crossed = self.deciding(position).any(axis=0)[:, None]
        first, *_, last = np.flatnonzero(crossed).tolist()
        return self._item(position, events, (0.0, float(first), 1.0, float(last + 1)), crossed)

    def deciding(self, position: int) -> NDArray[np.bool_]:
        """(F, 64) frames of 2 ms and rows: a channel from the first to the last event of the chirp,
        were it alone.
        """
        pitch, loudness = self._chirp(position, random := self._random(position, stream=0))
        noiseless = _sent(
            replace(COCHLEA, noise=0.0), QUIET + loudness[:, None] * _response(pitch), random
        )
        heard = np.zeros((len(TIMES), CHANNELS), np.bool_)
        heard[noiseless.t // FRAME_US, noiseless.y] = True
        between_events: NDArray[np.bool_] = (
            np.maximum.accumulate(heard) & np.maximum.accumulate(heard[::-1])[::-1]
        )
        return between_events

    def _chirp(self, position: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Pitch, in channels, and loudness of the chirp in every frame."""
        band, way = divmod(self.labels[position] or 0, len(WAYS))
        start, stop = _span(random, *LASTS)
        lowest = WIDE * band + (WIDE - GLIDE) * random.random()
        risen = GLIDE * np.clip((TIMES - start) / (stop - start), 0, 1)
        pitch = lowest + (risen if way == 0 else GLIDE - risen)
        return pitch, _envelope(start, stop, _between(random, *LOUD))


NAMED = {NAME: NamedSet(Chirps, generated=True)}
TIMES = np.arange(0, DURATION_US + 1, FRAME_US) / 1000  # of the frames, milliseconds


def _between(random: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(random.random())


def _span(random: np.random.Generator, shortest: float, longest: float) -> tuple[float, float]:
    """Start and end of a sound, milliseconds, away from both ends of the recording."""
    lasts = _between(random, shortest, longest)
    start = _between(random, 2 * RAMP, TIMES[-1] - 3 * RAMP - lasts)
    return start, start + lasts


def _envelope(start: float, stop: float, loud: float) -> Floats:
    """Loudness in every frame of a sound that begins and ends in ramps."""
    envelope: Floats = loud * np.clip(np.minimum(TIMES - start, stop - TIMES) / RAMP, 0, 1)
    return envelope


def _sent(cochlea: EventCamera, heard: Floats, random: np.random.Generator) -> Events:
    """The events of what the filters hear, (F, 64), the highest pitch in row 0."""
    return cochlea.record(heard[:, ::-1, None], 1000 * TIMES.astype(np.int64), random)


def _response(pitch: Floats | float) -> Floats:
    """The response of each filter to a tone of a pitch, (1 or F, 64)."""
    distance = (np.arange(CHANNELS) - np.reshape(pitch, (-1, 1))) / WIDTH
    return 1 / (1 + distance * distance)
