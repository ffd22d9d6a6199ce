"""A sample as pictures show it: its image, names and captions. Needs no plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.events.binning import picture_of
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.text import LONGEST_NAME, printable, told_apart

if TYPE_CHECKING:
    from spikesam.pipeline.images.pictures import Pictures
    from spikesam.pipeline.images.preprocessing import Box
    from spikesam.pipeline.images.samples import DatasetSamples

RIGHT, WRONG = "#1b7f4b", "#b3261e"


@dataclass(frozen=True, eq=False)
class Subject:
    """One sample. Its names are shortened, and lose what cannot be drawn.

    Parameters
    ----------
    name : of the image, or the sample's number
    predicted : name of the class that the network chose, None if unknown
    true : name of its class, None if unknown
    image : (H, W, 3) float in 0 … 1 as the network saw it, None if not at hand
    box : around the object in `image`, None if unknown
    frames : (T, H, W, 3) float in 0 … 1, what the network saw at each step, where that is not one image at all of them
    right : whether the network chose the sample's class; None if either is unknown
    """

    name: str
    predicted: str | None = None
    true: str | None = None
    image: NDArray[np.floating[Any]] | None = None
    box: Box | None = None
    frames: NDArray[np.floating[Any]] | None = None
    right: bool | None = None

    def __post_init__(self) -> None:
        for field in ("name", "predicted", "true"):
            if (text := getattr(self, field)) is not None:
                object.__setattr__(self, field, printable(text, LONGEST_NAME))

    def seen(self, step: int) -> NDArray[np.floating[Any]] | None:
        """(H, W, 3): the frame of a step, the first or last one where there is none; or the image, if there is one."""
        return self.image if self.frames is None else self.frames[min(max(step, 0), len(self.frames) - 1)]

    @property
    def caption(self) -> str:
        """Up to two lines to stand at the image: the prediction, and the true class if it is another."""
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
    samples: DatasetSamples, predictions: Sequence[int] | NDArray[np.integer[Any]], class_names: Sequence[str]
) -> list[Subject]:
    """The first samples, with their names for people and their boxes where they are known.

    Parameters
    ----------
    predictions : class that the network chose for each of them, -1 where unknown
    class_names : of all classes
    """
    names = told_apart(class_names)
    return [
        Subject(
            name=samples.names[sample],
            predicted=names[prediction] if prediction >= 0 else None,
            true=names[label] if label >= 0 else None,
            right=is_right(prediction, label),
            image=samples.pictures[sample] / np.float32(255),
            box=samples.boxes[sample],
            frames=None if (frames := samples.frames(sample)) is None else frames / np.float32(255),
        )
        for sample, (prediction, label) in enumerate(zip(predictions, samples.table.label, strict=False))
    ]


def recorded_subjects(
    source: RasterReader | MapReader, predictions: NDArray[np.integer[Any]], shown: Pictures | None
) -> list[Subject]:
    """The first samples of a raster or of maps, with what lies beside it of pictures and names.

    Parameters
    ----------
    predictions : class that the network chose for each of them, -1 where unknown
    """
    from spikesam.pipeline.images.pictures import Pictures, Seen  # here, because pydantic takes a while

    known = shown or Pictures()
    found = []
    for sample, (predicted, label) in enumerate(zip(predictions, source.labels, strict=False)):
        seen = known[sample] if sample < len(known) else Seen(f"sample {source.samples.index[sample]}")
        found.append(
            Subject(
                name=seen.name,
                predicted=known.class_name(predicted),
                true=known.class_name(label),
                right=is_right(predicted, label),
                image=seen.image,
                box=seen.box,
                frames=_event_frames(source, sample) if known.events and isinstance(source, RasterReader) else None,
            )
        )
    return found


def _event_frames(raster: RasterReader, sample: int) -> NDArray[np.floating[Any]] | None:
    """What came in at each step; None if the input was not recorded."""
    first = raster.layers[0]
    if first.kind != "input" or first.shape[0] != len(("OFF", "ON")):
        return None
    return np.stack([picture_of(step[None]) for step in raster[first][sample]]) / np.float32(255)


def is_right(prediction: int, label: int) -> bool | None:
    """Whether a class was predicted that is the sample's own; None if either is unknown, -1."""
    return None if min(prediction, label) < 0 else bool(prediction == label)
