"""A simulated event camera: each pixel reports when its log intensity has changed by a threshold
since its last event.

Log intensities are rounded to 2⁻²⁰ once, and all that follows is whole numbers: the same events on
every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.events.events import Events

UNIT = 1 << 20  # of log intensity
Part = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]  # times, pixels, polarities


@dataclass(frozen=True)
class EventCamera:
    """An ideal dynamic vision sensor, as of Lichtsteiner, Posch & Delbruck 2008.

    A pixel keeps a level, at first its log intensity. Whenever its log intensity is a threshold
    above the level, it sends an ON event, and the level rises by the threshold; a threshold below,
    an OFF event, and the level falls. Between two frames the log intensity changes linearly, so
    that every event has a time of its own.
    """

    threshold: float = 0.3  # of the change in natural log intensity, > 0
    noise: float = (
        0.0  # events per pixel and second without a change, of random place, time and polarity
    )

    def record(
        self,
        frames: NDArray[np.floating[Any]],
        times: NDArray[np.int64],
        random: np.random.Generator,
    ) -> Events:
        """The events of a film: intensity > 0, (F, H, W), at rising times (F,) in µs; refuses a
        film without any.
        """
        logs = (
            np.rint(np.log(frames.astype(np.float64)) * UNIT)
            .astype(np.int64)
            .reshape(len(frames), -1)
        )
        parts = self._changes(logs, times)
        if self.noise:
            parts.append(self._noise(times, logs.shape[1], random))
        t, pixel, polarity = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((pixel, t))
        y, x = np.divmod(pixel[order], frames.shape[2])
        return Events(t[order], x, y, polarity[order], (frames.shape[1], frames.shape[2]))

    def _changes(self, logs: NDArray[np.int64], times: NDArray[np.int64]) -> list[Part]:
        """(times, pixels, polarities) between each frame and the next."""
        threshold = round(self.threshold * UNIT)
        level = logs[0].copy()
        parts: list[Part] = []
        for number in range(len(logs) - 1):
            previous, following = logs[number], logs[number + 1]
            distance = following - level
            crossings = np.abs(distance) // threshold
            fires = np.flatnonzero(crossings)
            pixel = np.repeat(fires, crossings[fires])
            sign = np.sign(distance[pixel])
            nth = (
                1
                + np.arange(len(pixel))
                - np.repeat(np.cumsum(crossings[fires]) - crossings[fires], crossings[fires])
            )
            crossed = level[pixel] + sign * nth * threshold
            span = times[number + 1] - times[number]
            t = times[number] + span * (crossed - previous[pixel]) // (following - previous)[pixel]
            parts.append((t, pixel, sign > 0))
            level += np.sign(distance) * crossings * threshold
        return parts

    def _noise(self, times: NDArray[np.int64], pixels: int, random: np.random.Generator) -> Part:
        span = int(times[-1] - times[0])
        count = int(self.noise * pixels * span / 1e6 + random.random())
        draws = random.random((3, count))
        t, pixel = (
            times[0] + (draws[0] * span).astype(np.int64),
            (draws[1] * pixels).astype(np.int64),
        )
        return t, pixel, draws[2] < 0.5
