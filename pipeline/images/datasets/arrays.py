"""Images or events in memory, as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.images.events.events import Events
from recordings.errors import InputError

from .base import Entry, Item, Items


class ImageArrays(Items):
    """Images (N, H, W, 3) or (N, H, W) uint8.

    Parameters
    ----------
    name : identity, for files
    images : the pixels
    labels : of every image, -1 where unknown
    classes : what the labels stand for

    Raises
    ------
    InputError : if there is no image, the last axis is not RGB, or a label is no class
    """

    def __init__(self, name: str, images: NDArray[Any], labels: Sequence[int], classes: Sequence[str]) -> None:
        if not images.size or (images.ndim == 4 and images.shape[3] != 3):
            raise InputError(f"data: got images of shape {images.shape}, expected (N, H, W, 3) or (N, H, W)")
        self.name = name
        self.classes = self.class_names = tuple(classes)
        self.labels = _known(labels, classes)
        self.skipped = 0
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, position: int) -> Item:
        image = Image.fromarray(self._images[position]).convert("RGB")
        entry = self.entry(position)
        return Item(image, entry.label, entry.index, entry.name)

    def entry(self, position: int) -> Entry:
        """See :class:`pipeline.images.datasets.base.Dataset`."""
        return Entry(position, self.labels[position], f"image {position}")


class EventRecordings(Items):
    """Recordings of events in memory.

    Parameters
    ----------
    recordings : at least one
    labels : of every recording, -1 where unknown
    classes : what the labels stand for

    Raises
    ------
    InputError : if a label is no class
    """

    def __init__(self, recordings: Sequence[Events], labels: Sequence[int], classes: Sequence[str]) -> None:
        digest = hashlib.sha256()
        for events in recordings:
            for array in (events.t, events.x, events.y, events.polarity):
                digest.update(np.ascontiguousarray(array).tobytes())
        self.name = f"events#{digest.hexdigest()[:8]}"
        self.classes = self.class_names = tuple(classes)
        self.labels = _known(labels, classes)
        self.skipped = 0
        self._recordings = recordings

    def __len__(self) -> int:
        return len(self._recordings)

    def __getitem__(self, position: int) -> Item:
        entry = self.entry(position)
        return Item(self._recordings[position], entry.label, entry.index, entry.name)

    def entry(self, position: int) -> Entry:
        """See :class:`pipeline.images.datasets.base.Dataset`."""
        return Entry(position, self.labels[position], f"recording {position}")


def _known(labels: Sequence[int], classes: Sequence[str]) -> tuple[int | None, ...]:
    if labels and not -1 <= min(labels) <= max(labels) < len(classes):
        raise InputError(f"labels: got {min(labels)} … {max(labels)}, expected -1 … {len(classes) - 1}")
    return tuple(None if label < 0 else int(label) for label in labels)
