"""Scores of a recording's maps, its spike counts and two blind guesses: do they find the object?"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spikesam.pipeline.maps.sam import spike_count_sum
from spikesam.pipeline.measures.localisation import MEASURES, centred_box, centred_gaussian
from spikesam.pipeline.measures.maps import Map, Mask, resize_map
from spikesam.pipeline.measures.statistics import Estimate, means_with_intervals
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader

OF_LAYERS = ("SAM", "spike count")
GUESSES = ("centred box", "centred Gaussian")


class Score(NamedTuple):
    """The `value` of a measure for a method ("SAM", "spike count" or a guess) in an image's layer, "" of a guess."""

    image: int
    layer: str
    method: str
    measure: str
    value: float


def localisation_scores(raster: RasterReader, maps: MapReader, masks: Sequence[Mask | None]) -> list[Score]:
    """Scores of every layer's maps and spike counts, and once of each guess, by sample and layer.

    Samples without a mask, (H, W) bool of the image as the network saw it, are left out. An InputError if maps, raster
    and masks do not belong together.
    """
    if maps.header.source not in raster.known_as:
        raise InputError(f"{maps.where}: maps of another raster than {raster.where}; run spikesam explain on that one")
    if len(masks) != raster.n_samples:
        raise InputError(f"{len(masks)} masks for the {raster.n_samples} samples of {raster.where}, expected as many")
    scores: list[Score] = []
    for sample, mask in enumerate(masks):
        if mask is None or not mask.any():
            continue
        of_layers = {}
        for name in maps:
            layer = raster.layer(name)
            counts = spike_count_sum(raster.packed(layer, sample), layer.shape, raster.steps_that_matter(layer))
            of_layers[name] = maps.read_sum(maps.layer(name), sample), counts
        scores += score_sample(sample, of_layers, mask)
    return scores


def score_sample(sample: int, of_layers: Mapping[str, tuple[Map, ...]], mask: Mask) -> list[Score]:
    """Scores of one sample: layer -> SAM and, if known, spikes per pixel, (h, w) each; mask (H, W) bool, not empty."""
    what = [(layer, method) for layer, maps in of_layers.items() for method in OF_LAYERS[: len(maps)]]
    what += [("", method) for method in GUESSES]
    stack = np.empty((len(what), *mask.shape))
    place = 0
    for maps in of_layers.values():
        stack[place : place + len(maps)] = resize_map(np.stack(maps), mask.shape)
        place += len(maps)
    stack[-2:] = centred_box(mask.shape, float(mask.sum())), centred_gaussian(mask.shape)
    values = zip(*(measure(stack, mask).tolist() for measure in MEASURES.values()), strict=True)
    return [
        Score(sample, *about, name, value)
        for about, of_map in zip(what, values, strict=True)
        for name, value in zip(MEASURES, of_map, strict=True)
    ]


class GatheredScores:
    """The scores of any number of samples, 16 bytes each; every sample has as many, of the same conditions."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], tuple[array[int], array[float]]] = {}

    def add(self, scores: Iterable[Score]) -> None:
        """Take those of the next samples, in order."""
        for image, layer, method, measure, value in scores:
            condition = layer, method, measure
            if condition not in self._found:
                self._found[condition] = array("q"), array("d")
            images, values = self._found[condition]
            images.append(image)
            values.append(value)

    def summary(self) -> dict[tuple[str, str, str], Estimate]:
        """Mean and 95 % interval of every condition: layer, method, measure; in order of appearance."""
        estimates = means_with_intervals([np.frombuffer(values) for _, values in self._found.values()])
        return dict(zip(self._found, estimates, strict=True))

    def of_samples(self) -> Iterator[Score]:
        """All of them, as :func:`localisation_scores` gives them."""
        columns = [zip(*pair, strict=True) for pair in self._found.values()]
        for of_sample in zip(*columns, strict=True):
            for condition, (image, value) in zip(self._found, of_sample, strict=True):
                yield Score(image, *condition, value)
