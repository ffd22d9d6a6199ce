"""Scores of maps, spike counts and two blind guesses: do they find the object?"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from os import PathLike, fspath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.pipeline.maps.layers import has_places
from spikesam.pipeline.maps.sam import spike_count_sum
from spikesam.pipeline.measures.localisation import MEASURES, centred_box, centred_gaussian
from spikesam.pipeline.measures.maps import Map, Mask, resize_map
from spikesam.pipeline.measures.statistics import Estimate, means_with_intervals
from spikesam.recordings.maps.reader import MapReader, open_maps
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    import pandas as pd

OF_LAYERS = ("SAM", "spike count")
GUESSES = ("centred box", "centred Gaussian")


class Score(NamedTuple):
    """The `value` of a measure for a method ("SAM", "spike count" or a guess) in an image's layer,
    "" of a guess.
    """

    image: int
    layer: str
    method: str
    measure: str
    value: float


def localisation_scores(
    raster: RasterReader, maps: MapReader, masks: Sequence[Mask | None]
) -> list[Score]:
    """Scores of the maps and spike counts of layers with places, and of each guess, of samples with
    a mask (H, W).
    """
    if maps.header.source not in raster.known_as:
        raise InputError(
            f"{maps.file_name}: maps of another raster than {raster.file_name}; run spikesam "
            "explain on that one"
        )
    if len(masks) != raster.n_samples:
        raise InputError(
            f"{len(masks)} masks for the {raster.n_samples} samples of {raster.file_name}, "
            "expected as many"
        )
    scores: list[Score] = []
    for sample, mask in enumerate(masks):
        if mask is None or not mask.any():
            continue
        of_layers = {}
        for layer in (layer for layer in map(raster.layer, maps) if has_places(layer.shape)):
            counts = spike_count_sum(
                raster.packed(layer, sample), layer.shape, raster.steps_that_matter(layer)
            )
            of_layers[layer.name] = maps.read_sum(maps.layer(layer.name), sample), counts
        scores += score_sample(sample, of_layers, mask)
    return scores


def score_sample(sample: int, of_layers: Mapping[str, tuple[Map, ...]], mask: Mask) -> list[Score]:
    """Scores of one sample: layer -> SAM and, if known, spikes per pixel, (h, w) each; mask (H, W)
    bool, not empty.
    """
    rows = [
        (layer, method) for layer, maps in of_layers.items() for method in OF_LAYERS[: len(maps)]
    ]
    rows += [("", method) for method in GUESSES]
    stack = np.empty((len(rows), *mask.shape))
    place = 0
    for maps in of_layers.values():
        stack[place : place + len(maps)] = resize_map(np.stack(maps), mask.shape)
        place += len(maps)
    stack[-2:] = centred_box(mask.shape, float(mask.sum())), centred_gaussian(mask.shape)
    values = zip(*(measure(stack, mask).tolist() for measure in MEASURES.values()), strict=True)
    return [
        Score(sample, *row, name, value)
        for row, of_map in zip(rows, values, strict=True)
        for name, value in zip(MEASURES, of_map, strict=True)
    ]


class GatheredScores:
    """The scores of any number of samples, 16 bytes each; every sample has as many, of the same
    conditions.
    """

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
        """Mean and 95 % interval of every condition: layer, method, measure; in order of
        appearance.
        """
        estimates = means_with_intervals(
            [np.frombuffer(values) for _, values in self._found.values()]
        )
        return dict(zip(self._found, estimates, strict=True))

    def of_samples(self) -> Iterator[Score]:
        """All of them, as :func:`localisation_scores` gives them."""
        columns = [zip(*pair, strict=True) for pair in self._found.values()]
        for of_sample in zip(*columns, strict=True):
            for condition, (image, value) in zip(self._found, of_sample, strict=True):
                yield Score(image, *condition, value)


@checked_arguments
def measure(
    maps: MapReader | str | PathLike[str], masks: Sequence[ArrayLike | None]
) -> pd.DataFrame:
    """Measure how well maps find the objects of their images, beside two guesses that do not know
    the image.

    Parameters
    ----------
    maps : an open reader, as :func:`spikesam.explain` returns it, or the path of a file of maps
    masks : one for each image of the file: (H, W) bool, the object's pixels in the image as the
        network saw it. None, or a mask without a pixel, where the object is unknown: such images
        are left out

    Returns
    -------
    a row per image, layer and measure, with the columns

        - image: its number in the file, from 0
        - layer: in order of depth; "" of a guess. Layers without places are left out: their maps
          have one column, and the image has more
        - map: the method of the file, such as "sam"; of a guess "centred box", as large as the
          object, or "centred Gaussian"
        - measure: "pointing game", "energy in object" or "IoU", see
          :mod:`spikesam.pipeline.measures.localisation`
        - value: of the map summed over the steps that matter; from 0 to 1, and higher is better

    Raises
    ------
    InputError : if there are not as many masks as images, a mask is not (H, W) bool, or the file is
        damaged

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> spikes = np.zeros((1, 2, 1, 4, 4), bool)
    >>> spikes[..., 0, 0] = True
    >>> maps = spikesam.explain(spikesam.write_raster("c.h5", {"conv1": spikes}, overwrite=True))
    >>> table = spikesam.measure(maps, [np.eye(4, dtype=bool)])
    >>> table[table["map"] == "sam"][["layer", "measure", "value"]].values.tolist()
    [['conv1', 'pointing game', 1.0], ['conv1', 'energy in object', 1.0], ['conv1', 'IoU', 0.25]]
    """
    import pandas as pd  # half a second, which runs need not wait

    with ExitStack() as stack:
        source = fspath(maps) if isinstance(maps, PathLike) else maps
        reader = source if isinstance(source, MapReader) else stack.enter_context(open_maps(source))
        if len(masks) != reader.n_samples:
            raise InputError(
                f"masks: got {len(masks)}, expected one for each of the {reader.n_samples} images"
            )
        scores: list[Score] = []
        for image, given_mask in enumerate(masks):
            mask = np.zeros((1, 1), np.bool_) if given_mask is None else np.asarray(given_mask)
            if mask.ndim != 2 or mask.dtype != np.bool_:
                raise InputError(
                    f"masks: number {image} is {mask.shape} {mask.dtype}, expected (H, W) bool"
                )
            if mask.any():
                layers = [
                    layer
                    for layer in map(reader.layer, reader)
                    if not layer.shape[1] == 1 < mask.shape[1]
                ]
                sums = {layer.name: (reader.read_sum(layer, image),) for layer in layers}
                scores += score_sample(image, sums, mask)
        table = pd.DataFrame(scores, columns=["image", "layer", "map", "measure", "value"])
        return table.replace({"map": {OF_LAYERS[0]: reader.header.method}})
