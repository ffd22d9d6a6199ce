"""The images and names of classes that a recording was given, for page and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.pictures import MOST, NAME, Normalisation, Pictures, Seen, as_pictures, write_pictures
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.text import told_apart


class SeenImages:
    """The first samples of a recording, as many as are kept; `normalisation` as of :func:`as_pictures`."""

    def __init__(self, class_names: Sequence[str], normalisation: Normalisation | None) -> None:
        self._class_names, self._normalisation = tuple(told_apart(map(str, class_names))), normalisation
        self._shown = Pictures(class_names=self._class_names)

    def add(self, table: SampleTable, images: Any, classes: int) -> None:
        """Take a batch, with or without images; refuses images that do not fit, and `classes` without names."""
        if self._class_names and len(self._class_names) < classes:
            raise InputError(
                f"class_names: got {len(self._class_names)} names, expected one for each of {classes} classes"
            )
        pictures: Sequence[NDArray[np.uint8] | None] = [None] * len(table)
        if images is not None:
            pictures = list(as_pictures(images, self._normalisation, "finish: images"))
            if len(pictures) != len(table):
                raise InputError(f"finish: images: got {len(pictures)}, expected {len(table)}, as many as fired")
        seen = [Seen(f"sample {index}", picture) for index, picture in zip(table.index, pictures, strict=True)]
        if len(self._shown) < MOST:
            self._shown = Pictures.first([*self._shown.seen, *seen], self._class_names)

    def write(self, raster: Path) -> None:
        """Put them beside a finished raster, in place of those of an earlier one."""
        (raster.parent / NAME).unlink(missing_ok=True)
        if self._class_names or any(each.picture is not None for each in self._shown.seen):
            with RasterReader(raster, trusted=True) as reader:
                write_pictures(raster.parent, reader.raster_digest, self._shown)
