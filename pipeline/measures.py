"""How well a map finds the object, beside two baselines: a centred guess, and spikes counted without SAM's kernel.

A map is first summed over the steps whose spikes can still change the answer, then brought to the image's size; the
object is a mask of the image.
The measures lie between 0 (misses) and 1, and a map that is zero everywhere scores 0: it points at nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from recordings.errors import InputError
from recordings.maps import MapReader
from recordings.reader import RasterReader

from .preprocess import Box
from .sam import spike_count_map, steps_that_matter

Mask = NDArray[np.bool_]
Map = NDArray[np.floating[Any]]

TIE = 1e-6  # relative; resizing leaves equal maxima equal only up to rounding
RESAMPLES = 2000
Z = 1.959964  # the normal distribution's 97.5th percentile


def pointing_game(image_map: Map, mask: Mask) -> float:
    """Whether the map's maximum lies on the object; of several equal maxima, the share that does.

    No tolerance around the object (the original grants 15 pixels, on photos ten times as wide).

    Parameters
    ----------
    image_map : (H, W), ≥ 0
    mask : (H, W) bool

    References
    ----------
    Zhang et al. 2016, Top-down neural attention by excitation backprop, arXiv:1608.00507.
    """
    highest = image_map.max()
    if highest <= 0:
        return 0.0
    return float(mask[image_map >= highest * (1 - TIE)].mean())


def energy_in_object(image_map: Map, mask: Mask) -> float:
    """Share of the map's sum that lies on the object; negative values count as zero, nothing else is subtracted.

    A map that is the same everywhere scores the object's share of the image.

    Parameters
    ----------
    image_map : (H, W)
    mask : (H, W) bool

    References
    ----------
    Wang et al. 2020, Score-CAM ("energy-based pointing game"), arXiv:1910.01279.
    """
    energy = np.maximum(image_map, 0).astype(np.float64)
    total = energy.sum()
    return float(energy[mask].sum() / total) if total > 0 else 0.0


MEASURES: dict[str, Callable[[Map, Mask], float]] = {
    "pointing game": pointing_game,
    "energy in object": energy_in_object,
}


def over_time(maps: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float64]:
    """One map per sample: summed over steps, then resized bilinearly to the image.

    A cell of the map stands for the block of pixels it was computed over: centres are aligned, not corners.

    Parameters
    ----------
    maps : (T, H, W)
    size : height and width of the image
    """
    total = maps.sum(axis=0, dtype=np.float64)
    return resize(total, size, order=1, mode="edge", anti_aliasing=False)


def box_mask(box: Box, size: tuple[int, ...]) -> Mask:
    """The pixels whose centre a box (x0, y0, x1, y1) covers, or else the pixel at its centre: (H, W) bool."""
    x0, y0, x1, y1 = box
    rows, columns = (np.arange(side) + 0.5 for side in size)
    mask: Mask = ((rows >= y0) & (rows < y1))[:, None] & ((columns >= x0) & (columns < x1))[None, :]
    if not mask.any():
        row, column = np.clip([(y0 + y1) / 2, (x0 + x1) / 2], 0, np.subtract(size, 1)).astype(int)
        mask[row, column] = True
    return mask


def centred_box(size: tuple[int, ...], area: float) -> NDArray[np.float64]:
    """The guess that ignores the image: a centred box of an area, in the shape of the image, as a map.

    It is 1 inside and a shade more (1e-5) at the very centre, so that the pointing game plays the image's centre: the
    middle pixel of an odd side, the middle two of an even one.

    Parameters
    ----------
    size : height and width of the image
    area : pixels, at most those of the image; the object's, so that both are as large
    """
    height, width = size
    scale = np.sqrt(area / (height * width))
    x, y = scale * width / 2, scale * height / 2
    guess = box_mask((width / 2 - x, height / 2 - y, width / 2 + x, height / 2 + y), size).astype(np.float64)
    guess[(height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1] = 1 + 10 * TIE
    return guess


@dataclass(frozen=True)
class Localisation:
    """One measure of one kind of map, over all samples whose object is known.

    Parameters
    ----------
    layer : name in the raster, or None where no layer is involved
    method : "SAM", "spike count" or "centred box"
    measure : a key of :data:`MEASURES`
    mean : over samples
    low, high : 95 % interval of the mean, see :func:`mean_with_interval`
    n : number of samples
    """

    layer: str | None
    method: str
    measure: str
    mean: float
    low: float
    high: float
    n: int


def localisation_table(raster: RasterReader, maps: MapReader, masks: Sequence[Mask | None]) -> tuple[Localisation, ...]:
    """Score the maps of every layer, the spike count of the same layer, and once the centred box.

    Parameters
    ----------
    raster, maps : the maps and the raster they were computed from
    masks : per sample of the raster, (H, W) bool of the image as the network saw it; None, or nothing in it, where the
        object is unknown or cropped away: such samples do not count

    Returns
    -------
    rows, layer by layer in order of depth; none if no mask is known

    Raises
    ------
    InputError : if maps, raster and masks do not belong together
    """
    if maps.header.raster_digest != raster.raster_digest:
        raise InputError(f"{maps.path}: maps of another raster than {raster.path}; run pipeline.explain on that one")
    if len(masks) != raster.n_samples:
        raise InputError(f"{len(masks)} masks for the {raster.n_samples} samples of {raster.path}, expected as many")
    known = [(sample, mask) for sample, mask in enumerate(masks) if mask is not None and mask.any()]
    scores: dict[tuple[str | None, str, str], list[float]] = {}

    def score(layer: str | None, method: str, image_map: Map, mask: Mask) -> None:
        for measure, function in MEASURES.items():
            scores.setdefault((layer, method, measure), []).append(function(image_map, mask))

    for name in maps.layers:
        layer = raster.layer(name)
        steps = steps_that_matter(raster.timesteps, layer.number, raster.layers[-1].number)
        for sample, mask in known:
            counts = spike_count_map(raster.packed(layer, sample)[:steps], layer.shape)
            score(name, "SAM", over_time(maps.maps(name, sample)[:steps], mask.shape), mask)
            score(name, "spike count", over_time(counts, mask.shape), mask)
    for _, mask in known:
        score(None, "centred box", centred_box(mask.shape, float(mask.sum())), mask)
    return tuple(Localisation(*key, *mean_with_interval(values), len(values)) for key, values in scores.items())


def mean_with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of measures in [0, 1], and its 95 % interval.

    Hits and misses: Wilson's score interval, which knows that 8 hits of 8 may be luck. Anything else: percentiles of
    the means of seeded resamples (bootstrap), or all of [0, 1] for a single value.
    """
    sample = np.asarray(values, np.float64)
    n, mean = len(sample), float(sample.mean())
    if set(sample) <= {0.0, 1.0}:
        middle = (mean + Z**2 / (2 * n)) / (1 + Z**2 / n)
        reach = Z / (1 + Z**2 / n) * np.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
        return mean, float(max(middle - reach, 0)), float(min(middle + reach, 1))
    if n == 1:
        return mean, 0.0, 1.0
    random = np.random.default_rng(0)
    means = [sample[random.integers(n, size=n)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return mean, float(low), float(high)
