"""Does a map find the object? A table of one recording: its maps, its spike counts and two blind guesses."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pipeline.measures.localisation import MEASURES, centred_box, centred_gaussian
from pipeline.measures.maps import Map, Mask, resize_map
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.raster.reader import RasterReader

from .sam_sum import spike_count_sum


def localisation_scores(raster: RasterReader, maps: MapReader, masks: Sequence[Mask | None]) -> pd.DataFrame:
    """Score the maps of every layer, the spike count of the same layer, and once each centred guess.

    Parameters
    ----------
    raster, maps : the maps and the raster they were computed from
    masks : per sample of the raster, (H, W) bool of the image as the network saw it; None, or nothing in it, where the
        object is unknown or cropped away: such samples do not count

    Returns
    -------
    image (number of the sample), layer ("" where no layer is involved), method ("SAM", "spike count", "centred box" or
    "centred Gaussian"), measure (a key of :data:`pipeline.measures.localisation.MEASURES`), value; layer by layer in
    order of depth; no row if no mask is known

    Raises
    ------
    InputError : if maps, raster and masks do not belong together
    """
    if maps.header.source != raster.raster_digest:
        raise InputError(f"{maps.where}: maps of another raster than {raster.where}; run pipeline.explain on that one")
    if len(masks) != raster.n_samples:
        raise InputError(f"{len(masks)} masks for the {raster.n_samples} samples of {raster.where}, expected as many")
    known = {sample: mask for sample, mask in enumerate(masks) if mask is not None and mask.any()}
    scores: list[tuple[int, str, str, str, float]] = []

    def score(layer: str, method: str, sample: int, image_map: Map) -> None:
        mask = known[sample]
        scores.extend((sample, layer, method, name, measure(image_map, mask)) for name, measure in MEASURES.items())

    for name in maps:
        layer, steps = raster.layer(name), raster.steps_that_matter(name)
        for sample, mask in known.items():
            counts = spike_count_sum(raster.packed(layer, sample), layer.shape, steps)
            score(name, "SAM", sample, resize_map(maps.read_sum(maps.layer(name), sample), mask.shape))
            score(name, "spike count", sample, resize_map(counts, mask.shape))
    for sample, mask in known.items():
        score("", "centred box", sample, centred_box(mask.shape, float(mask.sum())))
        score("", "centred Gaussian", sample, centred_gaussian(mask.shape))
    return pd.DataFrame(scores, columns=["image", "layer", "method", "measure", "value"])
