"""Conditions under which a map has to find the object; in most of them a guess at the centre finds nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.common.images import ImageSet
from paper.common.pasting import paste, with_decoys
from paper.common.scenes import Scenes, mosaics
from paper.common.setup import Setup

AS_IS, TEXTURE = "as is", "pasted on texture"
PREDICTED, ALL_OBJECTS = "four images: predicted", "four images: any"
DECOYS, DECOY_SIDE = 4, 0.15  # how many, share of the image's side


@dataclass(frozen=True, eq=False)
class Condition:
    """Images, and which object in them is asked for.

    Parameters
    ----------
    name : for tables
    images : to record
    parts : of images side by side
    predicted : whether the object asked for is that of the predicted class among the parts; otherwise `images`' own
    """

    name: str
    images: ImageSet
    parts: Scenes | None = None
    predicted: bool = False

    def asked(self, predictions: NDArray[np.integer[Any]]) -> ImageSet:
        """The images with the label and object that are asked for; no mask where the question makes no sense."""
        return self.parts.about(predictions) if self.parts is not None and self.predicted else self.images


def conditions(setup: Setup, images: ImageSet) -> list[Condition]:
    """All conditions that these images allow. Canvases are twice as high and wide as the images.

    * as is
    * pasted on mean: the whole image on a canvas of the mean colour, at a random place, its object off the centre
    * pasted on texture: likewise, on a canvas with the spectrum of another image but without its shapes
    * four images side by side, all of different classes: the object is that of the predicted class, or any of the four
    * among decoys: pieces of other objects, as bright, beside the object (where objects have shapes, not boxes)
    """
    height, width = (2 * side for side in images.size)
    seed = setup.settings.seed
    found = [
        Condition(AS_IS, images),
        Condition("pasted on mean", paste(images, height, width, seed)),
        Condition(TEXTURE, paste(images, height, width, seed, "texture")),
    ]
    if len(set(images.labels.tolist()) - {-1}) >= 4:
        mosaic = mosaics(images, 2, 2, seed)
        found += [
            Condition(PREDICTED, mosaic.images, mosaic, predicted=True),
            Condition(ALL_OBJECTS, mosaic.images, mosaic),
        ]
    if has_shapes(images):
        decoys = with_decoys(images, DECOYS, max(1, round(DECOY_SIDE * min(images.size))), seed)
        found.append(Condition("among decoys", decoys))
    return found


def has_shapes(images: ImageSet) -> bool:
    """Whether the masks are the objects' own shapes, at least two of them, and not boxes."""
    known = [mask for mask in images.masks if mask is not None]
    return len(known) > 1 and not any(_is_box(mask) for mask in known)


def _is_box(mask: NDArray[np.bool_]) -> bool:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(mask.sum()) == len(rows) * len(columns)
