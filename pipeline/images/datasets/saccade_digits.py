"""Saccade digits: handwriting before a simulated event camera that makes three saccades (Orchard et
al. 2015).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.datasets.base import GeneratedSet, Item, NamedSet
from spikesam.pipeline.images.datasets.handwriting import (
    CLASSES,
    NAMES,
    Floats,
    handwriting,
    render,
    turn,
)
from spikesam.pipeline.images.events.camera import EventCamera

NAME = "saccade-digits"
SIDE = 32  # pixels of the sensor
DURATION_US = 300_000  # of the three saccades, 100 ms each
CORNERS = np.array(
    [(-5.0, -4.5), (0.0, 5.5), (5.0, -4.5), (-5.0, -4.5)]
)  # (x, y) of the way, pixels from the middle
FRAMES_PER_SACCADE = 30
DIGIT_SIDES = (13.0, 17.0)  # pixels that the 8 source pixels become
LARGEST_TURN = 0.1  # tan(angle/2), so ±11°
WANDER = 1.0  # pixels that the way may lie off the middle, in x and in y
DARK, BRIGHT = 0.2, (0.6, 1.0)  # intensity around the digit, and its own
CAMERA = EventCamera(threshold=0.3, noise=0.5)

_KEY = 0x73616363 << 32  # keeps a recording's random numbers apart from others of the seed


class SaccadeDigits(GeneratedSet):
    """Recordings of one split; an item's mask is every pixel that the digit ever covered, its box
    is around them.
    """

    def __init__(self, split: str, size: int | None = None) -> None:
        super().__init__(f"{NAME}/{split}", _KEY, split, size, CLASSES, NAMES)

    def __getitem__(self, position: int) -> Item:
        ink, times, bright, random = self.seen(position)
        events = CAMERA.record(DARK + (bright - DARK) * ink, times, random)
        mask = (ink >= 0.5).any(axis=0)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        return self._item(position, events, box, mask)

    def seen(self, index: int) -> tuple[Floats, NDArray[np.int64], float, np.random.Generator]:
        """Ink (F, 32, 32) and times of the frames, the digit's intensity, and random numbers left
        for the camera.
        """
        random = self._random(index, stream=0)
        glyphs, labels = handwriting(self._split)
        candidates = np.flatnonzero(labels == self.labels[index])
        glyph = glyphs[candidates[int(random.random() * len(candidates))]]
        side = DIGIT_SIDES[0] + (DIGIT_SIDES[1] - DIGIT_SIDES[0]) * random.random()
        tangent = LARGEST_TURN * (2 * random.random() - 1)
        bright = BRIGHT[0] + (BRIGHT[1] - BRIGHT[0]) * random.random()
        way, times = saccades()
        return (
            film(glyph, way + WANDER * (2 * random.random(2) - 1), side, tangent),
            times,
            bright,
            random,
        )


def saccades() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Three straight lines: the digit's middle, (F, 2) x and y in pixels from the sensor's, and the
    time, (F,) µs.
    """
    frames = 3 * FRAMES_PER_SACCADE
    fraction = np.arange(FRAMES_PER_SACCADE)[:, None] / FRAMES_PER_SACCADE
    lines = [start + fraction * (end - start) for start, end in pairwise(CORNERS)]
    return np.concatenate([*lines, CORNERS[-1:]]), np.arange(frames + 1) * DURATION_US // frames


def film(glyph: Floats, way: NDArray[np.float64], side: float, tangent: float) -> Floats:
    """A digit (14, 14) on its way (F, 2), its middle in pixels from the sensor's: (F, 32, 32) ink
    in 0 … 1.
    """
    turns = np.full(len(way), tangent)
    cosine, sine = turn(tangent)
    x, y = way.T * (8 / side)
    centres = 6.5 - np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=1)
    return render(np.repeat(glyph[None], len(way), axis=0), side, turns, SIDE, centres)


NAMED = {NAME: NamedSet(SaccadeDigits, generated=True)}
