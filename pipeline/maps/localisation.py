"""Does a map find the object? A table of one recording: its maps, its spike counts and two blind guesses."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pipeline.measures.localisation import MEASURES, centred_box, centred_gaussian, over_time
from pipeline.measures.maps import Map, Mask
from pipeline.measures.statistics import Estimate
from pipeline.measures.tables import measured, summary_of_shares
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.raster.reader import RasterReader

from .sam import spike_count_map


def localisation_table(raster: RasterReader, maps: MapReader, masks: Sequence[Mask | None]) -> pd.DataFrame:
    """Score the maps of every layer, the spike count of the same layer, and once each centred guess.

    Parameters
    ----------
    raster, maps : the maps and the raster they were computed from
    masks : per sample of the raster, (H, W) bool of the image as the network saw it; None, or nothing in it, where the
        object is unknown or cropped away: such samples do not count

    Returns
    -------
    layer ("" where no layer is involved), method ("SAM", "spike count", "centred box" or "centred Gaussian"), measure
    (a key of :data:`pipeline.measures.localisation.MEASURES`), n, mean, low, high; layer by layer in order of depth;
    no row if no mask is known

    Raises
    ------
    InputError : if maps, raster and masks do not belong together
    """
    if maps.header.source != raster.raster_digest:
        raise InputError(f"{maps.where}: maps of another raster than {raster.where}; run pipeline.explain on that one")
    if len(masks) != raster.n_samples:
        raise InputError(f"{len(masks)} masks for the {raster.n_samples} samples of {raster.where}, expected as many")
    known = {sample: mask for sample, mask in enumerate(masks) if mask is not None and mask.any()}
    scores: dict[tuple[str, str, str], list[float]] = {}

    def score(layer: str, method: str, image_map: Map, mask: Mask) -> None:
        for measure, function in MEASURES.items():
            scores.setdefault((layer, method, measure), []).append(function(image_map, mask))

    for name in maps:
        layer, steps = raster.layer(name), raster.steps_that_matter(name)
        for sample, mask in known.items():
            counts = spike_count_map(raster.packed(layer, sample)[:steps], layer.shape)
            score(name, "SAM", over_time(maps[name][sample][:steps], mask.shape), mask)
            score(name, "spike count", over_time(counts, mask.shape), mask)
    for mask in known.values():
        score("", "centred box", centred_box(mask.shape, float(mask.sum())), mask)
        score("", "centred Gaussian", centred_gaussian(mask.shape), mask)
    names = ("layer", "method", "measure")
    if not scores:
        return pd.DataFrame(columns=[*names, *Estimate._fields])
    parts = [measured(each, list(known), **dict(zip(names, key, strict=True))) for key, each in scores.items()]
    return summary_of_shares(pd.concat(parts))
