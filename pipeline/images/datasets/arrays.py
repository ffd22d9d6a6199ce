"""Images or events in memory, as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikesam.pipeline.images.datasets.base import Dataset, Item
from spikesam.pipeline.images.events.events import Events
from spikesam.recordings.errors import InputError


class InMemory(Dataset):
    """Images (N, H, W, 3) or (N, H, W) uint8, or recordings of events, labelled by `classes`; -1 is unknown."""

    def __init__(self, samples: NDArray[Any] | Sequence[Events], labels: Sequence[int], classes: Sequence[str]) -> None:
        if isinstance(samples, np.ndarray) and (not samples.size or (samples.ndim == 4 and samples.shape[3] != 3)):
            raise InputError(f"data: got images of shape {samples.shape}, expected (N, H, W, 3) or (N, H, W)")
        if labels and not -1 <= min(labels) <= max(labels) < len(classes):
            raise InputError(f"labels: got {min(labels)} … {max(labels)}, expected -1 … {len(classes) - 1}")
        if isinstance(samples, np.ndarray):
            name = identity("array", samples)
        else:
            name = identity("events", *(array for each in samples for array in (each.t, each.x, each.y, each.polarity)))
        super().__init__(name, classes, [None if label < 0 else int(label) for label in labels])
        self._samples = samples

    def __getitem__(self, position: int) -> Item:
        sample = self._samples[position]
        return self._item(position, sample if isinstance(sample, Events) else Image.fromarray(sample).convert("RGB"))

    def name_of(self, position: int) -> str:
        """See :class:`.base.Dataset`."""
        return f"{'image' if isinstance(self._samples, np.ndarray) else 'recording'} {position}"


def identity(kind: str, *arrays: NDArray[Any]) -> str:
    """A name that differs for other pixels, spikes or events, so that a run is not resumed with them."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return f"{kind}#{digest.hexdigest()[:8]}"
