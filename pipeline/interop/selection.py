"""The samples and layers of a recording that are exported."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader


@dataclass(frozen=True)
class Selection:
    """Some samples of an open recording, by position, and some layers, by name in order of depth."""

    recording: Any  # a raster or a file of maps
    samples: range
    names: tuple[str, ...]

    @property
    def layers(self) -> list[Any]:
        """The layers, in order of depth."""
        return [layer for layer in self.recording.layers if layer.name in self.names]

    @property
    def values(self) -> int:
        """Number of values selected: neurons × steps × samples, or pixels of maps, of sums and step by step."""
        return self._values(self.layers, self.samples)

    @property
    def fraction(self) -> float:
        """The fraction of the recording's values that are selected, 0 … 1."""
        return self.values / self._values(self.recording.layers, range(self.recording.n_samples))

    def _values(self, layers: Iterable[Any], samples: range) -> int:
        pixels = sum(math.prod(layer.shape) for layer in layers)
        if not isinstance(self.recording, MapReader):
            return pixels * self.recording.timesteps * len(samples)
        header = self.recording.header
        stepped = range(samples.start, min(samples.stop, header.stepped))
        return pixels * (len(samples) + len(stepped) * len(header.steps))


def select(recording: RasterReader | MapReader, samples: str | None, layers: Iterable[str]) -> Selection:
    """Choose samples and layers.

    Parameters
    ----------
    samples : "8" for the first 8, "8:16" for those from position 8 to 15, "8:" and ":16"; all if not given
    layers : by name or number; all if there are none
    """
    names = {recording.layer(layer).name for layer in layers} or set(recording)
    return Selection(recording, _positions(samples, recording), tuple(name for name in recording if name in names))


def _positions(text: str | None, recording: RasterReader | MapReader) -> range:
    count = recording.n_samples
    if text is None:
        return range(count)
    found = re.fullmatch(r"(?:(\d*):)?(\d*)", text.strip(), re.ASCII)
    expected = "how many, such as 8, or positions from : to, such as 8:16"
    if found and text.strip():
        first, last = int(found[1] or 0), int(found[2] or count)
        if first < last <= count:
            return range(first, last)
        expected = f"at least one of the {count} samples of {recording.where}"
    raise InputError(f"got {text!r}, expected {expected}", argument="samples")
