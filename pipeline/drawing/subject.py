"""A sample as pictures show it: its image, names and captions. Needs no plotting library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.text import LONGEST_NAME, printable, told_apart
from spikesam.pipeline.images.events.binning import picture_of
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.schema import SampleTable

if TYPE_CHECKING:
    from spikesam.pipeline.images.pictures import Pictures
    from spikesam.pipeline.images.preprocessing import Box
    from spikesam.pipeline.images.samples import Samples

Classes = Sequence[int] | NDArray[np.integer[Any]]  # of each sample; -1 where unknown

RIGHT, WRONG = "#1b7f4b", "#b3261e"


@dataclass(frozen=True, eq=False)
class Subject:
    """One sample; what is unknown is None. Its names are shortened, and lose what cannot be
    drawn.
    """

    name: str  # of the image, or the sample's number
    predicted: str | None = None  # name of the class that the network chose
    true: str | None = None  # name of its class
    image: NDArray[np.floating[Any]] | None = None  # (H, W, 3) in 0 … 1, as the network saw it
    box: Box | None = None  # around the object in `image`
    frames: NDArray[np.floating[Any]] | None = (
        None  # (T, H, W, 3) in 0 … 1, of each step, where images move
    )
    right: bool | None = None  # the network chose the sample's class

    def __post_init__(self) -> None:
        for field in ("name", "predicted", "true"):
            if (text := getattr(self, field)) is not None:
                object.__setattr__(self, field, printable(text, LONGEST_NAME))

    def seen(self, step: int) -> NDArray[np.floating[Any]] | None:
        """(H, W, 3): the frame of a step, the first or last one where there is none; or the image,
        if there is one.
        """
        return (
            self.image
            if self.frames is None
            else self.frames[min(max(step, 0), len(self.frames) - 1)]
        )

    @property
    def caption(self) -> str:
        """Up to two lines to stand at the image: the prediction, and the true class if it is
        another.
        """
        if self.predicted is None:
            return self.name if self.true is None else f"is {self.true}"
        if self.true is None:
            return f"predicted\n{self.predicted}"
        return f"{self.predicted} ✓" if self.right else f"{self.predicted} ✗\nis {self.true}"

    @property
    def facts(self) -> list[str]:
        """The names, for use without the image: "sample 3", "predicted lion", "is cat"."""
        classes = (("predicted", self.predicted), ("is", self.true))
        return [self.name, *(f"{word} {name}" for word, name in classes if name is not None)]

    @property
    def colour(self) -> str:
        """The caption's, which says whether the prediction is right."""
        return "black" if self.right is None else RIGHT if self.right else WRONG


def subjects_of(
    samples: Samples, predictions: Classes, class_names: Sequence[str], *, answers: bool
) -> list[Subject]:
    """The first samples, with the classes that the network chose for them, and the names of all
    classes; `answers`: it chooses classes, -1 being none.
    """
    from spikesam.pipeline.images.pictures import (
        Pictures,
        seen_of,
    )  # here, because pydantic takes a while
    from spikesam.pipeline.images.samples import DatasetSamples

    names = tuple(told_apart(class_names))
    if not isinstance(samples, DatasetSamples):  # arrays, which nobody has as pictures
        shown = Pictures((), names)
        return _subjects(shown, predictions, samples.table, lambda sample: None, answers)
    shown = Pictures(tuple(seen_of(samples, len(predictions))), names)
    return _subjects(shown, predictions, samples.table, samples.frames, answers)


def recorded_subjects(
    source: RasterReader | MapReader, predictions: NDArray[np.integer[Any]]
) -> list[Subject]:
    """The first samples of a raster or of maps, with what lies beside it of pictures and names."""
    from spikesam.pipeline.images.pictures import Pictures, pictures_beside

    pictures = pictures_beside(source, len(predictions)) or Pictures()

    def frames(sample: int) -> NDArray[np.uint8] | None:
        return (
            _event_frames(source, sample)
            if pictures.events and isinstance(source, RasterReader)
            else None
        )

    answers = isinstance(source, RasterReader) and source.header.has_classes
    return _subjects(pictures, predictions, source.samples, frames, answers)


def _subjects(
    shown: Pictures,
    predictions: Classes,
    table: SampleTable,
    frames: Callable[[int], NDArray[np.uint8] | None],
    answers: bool,
) -> list[Subject]:
    """Samples; `answers`: the class that the network chose is known of each, -1 being none."""
    subjects = []
    for sample, (predicted, label) in enumerate(zip(predictions, table.label, strict=False)):
        picture = shown[sample] if sample < len(shown) else None
        moving = frames(sample)
        subjects.append(
            Subject(
                name=f"sample {table.index[sample]}" if picture is None else picture.name,
                predicted="no answer" if predicted < 0 and answers else shown.class_name(predicted),
                true=shown.class_name(label),
                image=None if picture is None else picture.image,
                box=None if picture is None else picture.box,
                frames=None if moving is None else moving / np.float32(255),
                right=is_right(predicted, label, answers=answers),
            )
        )
    return subjects


def _event_frames(raster: RasterReader, sample: int) -> NDArray[np.uint8] | None:
    """The input at each step; None if it was not recorded, or is a single column, whose picture has
    all steps.
    """
    first = raster.layers[0]
    if first.kind != "input" or first.shape[0] != len(("OFF", "ON")) or first.shape[2] == 1:
        return None
    return np.stack([picture_of(step[None]) for step in raster[first][sample]])


def is_right(prediction: int, label: int, *, answers: bool = False) -> bool | None:
    """True if the predicted class is the sample's own; None if either is unknown, -1, which of
    `answers` is none.
    """
    return None if label < 0 or (prediction < 0 and not answers) else bool(prediction == label)
