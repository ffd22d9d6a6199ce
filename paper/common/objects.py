"""How well maps find the objects of images: every measure, of maps, of blind guesses and of images side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.images import ImageSet
from paper.common.scenes import Scenes
from paper.measures.overlap import iou_at_area
from paper.measures.tables import mean_of, measured
from spikesam.pipeline.measures.localisation import MEASURES, centred_box, centred_gaussian
from spikesam.pipeline.measures.maps import Map, resize_map

SCORED = MEASURES | {"IoU at the object's area": iou_at_area}
DRAWS = 5  # random maps of each image


def score_maps(maps: Iterable[Map], images: ImageSet, known: list[int]) -> pd.DataFrame:
    """Every measure of one map per image, of the images whose object is known: image, measure, value."""
    stack = list(maps)
    resized = [resize_map(stack[image], images.size) for image in known]
    masks = [mask for image in known if (mask := images.masks[image]) is not None]
    parts = [
        measured([score(each, mask) for each, mask in zip(resized, masks, strict=True)], known, measure=measure)
        for measure, score in SCORED.items()
    ]
    return pd.concat(parts)


def mean_of_parts(maps: Iterable[Map], scenes: Scenes, known: list[int]) -> pd.DataFrame:
    """Every measure averaged over the objects of a scene: what a map scores that favours none of them."""
    stack = list(maps)
    return mean_of([score_maps(stack, scenes.about(labels), known) for labels in scenes.labels.T])


def blind(method: str, images: ImageSet, known: list[int], seed: int) -> pd.DataFrame:
    """Every measure of a map that has not seen the image.

    Parameters
    ----------
    method : "random", "centred box" (of the object's area) or "centred Gaussian"
    """
    size = images.size
    if method == "random":
        random = np.random.default_rng(seed)
        return mean_of([score_maps(random.random((len(images), 8, 8)), images, known) for _ in range(DRAWS)])
    gaussian = centred_gaussian(size)
    areas = [0 if mask is None else int(mask.sum()) for mask in images.masks]
    maps = [centred_box(size, area) if method == "centred box" and area else gaussian for area in areas]
    return score_maps(maps, images, known)


def strata(images: ImageSet, known: list[int]) -> dict[str, NDArray[np.int64]]:
    """Halves by the object's area, and by how far its bounding box is from the image's centre: name -> images."""
    areas, distances = [], []
    for mask in (images.masks[image] for image in known):
        assert mask is not None
        areas.append(mask.sum())
        sides = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
        offsets = [(side[0] + side[-1] + 1 - length) / 2 for side, length in zip(sides, mask.shape, strict=True)]
        distances.append(math.hypot(*offsets))
    small, near = np.array(areas) <= np.median(areas), np.array(distances) <= np.median(distances)
    halves = {"smaller": small, "larger": ~small, "nearer the centre": near, "off the centre": ~near}
    return {name: np.array(known)[chosen] for name, chosen in halves.items()}
