"""Does the network use what a map marks? The probability of its answer, as pixels or spikes go in
the order of the map.

Deletion of pixels replaces them by the data set's mean: the probability should fall. Insertion puts
them onto a blurred image: it should rise.

Deletion of spikes takes the places of a recorded layer, with all of their channels and steps, and
passes the spikes that are left on through the rest of the network. No image has to stand for
"nothing": a spike that is deleted is none. A map of where a layer is busy deletes the most spikes
at the first places, so a fall by places can be of their number alone. Hence a second axis, the
share of the spikes deleted: there a map wins if its spikes matter, not their number.

The class is the one that is predicted before anything is deleted. The network is a function from
images or spikes to logits.

References
----------
Petsiuk, Das & Saenko 2018, RISE, arXiv:1806.07421, Section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from paper.measures.maps import average_map
from spikesam import InputError
from spikesam.errors import at
from spikesam.measures import TIE, checked_maps, resize_map

Floats = NDArray[np.float64]
Logits = NDArray[np.floating[Any]]

STEPS = 16
BLUR = 1 / 8  # standard deviation of the blur, in short sides of the image


class PixelCurves(NamedTuple):
    """Shares of the pixels that are deleted or inserted, from 0 to 1, and the probability by both:
    (K + 1,) each.
    """

    fractions: Floats
    deletion: Floats
    insertion: Floats


class SpikeCurve(NamedTuple):
    """Shares of the places and of the spikes that are deleted, from 0 to 1, and the probability: (K
    + 1,) each.
    """

    places: Floats
    spikes: Floats
    probability: Floats


Curves = TypeVar("Curves", PixelCurves, SpikeCurve)


def faithfulness(
    score: Callable[[NDArray[np.float32]], Logits],
    image: NDArray[np.float32],
    image_map: ArrayLike,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> PixelCurves:
    """Both curves of a map (h, w) on one image (C, H, W), in one call of `score` with 2·(steps + 1)
    images.

    Left open by the source: the map is resized bilinearly; pixels go in `steps` equal parts; the
    deleted ones become 0, the mean after preprocessing; the blur has a standard deviation of an
    eighth of the short side. What it leaves of the class shows in the curve's first value. Where
    `score` encodes with random spikes, it takes the same random numbers for every image of the
    batch, or noise is measured too.
    """
    if image.ndim != 3:
        raise InputError(f"faithfulness: got an image of shape {image.shape}, expected (C, H, W)")
    if steps < 1:
        raise InputError(f"faithfulness: got {steps} steps, expected at least 1")
    size, pixels = image.shape[1:], image[0].size
    taken = np.rint(np.linspace(0, pixels, steps + 1)).astype(np.int64)
    marked = in_parts(image_map, taken, size, seed)[:, None]
    sigma = BLUR * min(size)
    blurred = gaussian_filter(image, (0, sigma, sigma), mode="reflect")
    images = np.concatenate([np.where(marked, 0, image), np.where(marked, image, blurred)]).astype(
        np.float32
    )
    probability = probability_of("faithfulness", score(images), len(images))
    return PixelCurves(taken / pixels, *np.split(probability, 2))


def spike_deletion(
    score: Callable[[NDArray[np.bool_]], Logits],
    spikes: NDArray[np.bool_],
    layer_map: ArrayLike,
    *,
    steps: int = STEPS,
    seed: int = 0,
    equal: Literal["places", "spikes"] = "places",
) -> SpikeCurve:
    """Delete a layer's spikes (T, C, H, W) in the order of a map, in one call of `score`, at most
    steps + 2 rasters.

    A map (h, w) that is larger is averaged over each place, a smaller one resized bilinearly. Each
    step deletes equally many places, or else about equally many spikes: whole places go, and those
    without spikes at the end.
    """
    if spikes.ndim != 4 or steps < 1:
        raise InputError(
            f"spike deletion: got spikes of {spikes.shape} and {steps} steps, expected (T, C, H, "
            "W) and at least 1"
        )
    size, counts = spikes.shape[2:], spikes.sum(axis=(0, 1))
    with at("spike deletion"):
        of_places = average_map(checked_maps(layer_map, "(h, w)"), size)
    if equal == "places":
        taken = np.unique(np.rint(np.linspace(0, counts.size, steps + 1)).astype(np.int64))
    else:
        taken = nearest(counts.ravel()[pixel_order(of_places, size, seed)].cumsum(), steps)
    marked = in_parts(of_places, taken, size, seed)[:, None]
    probability = probability_of("spike deletion", score(spikes[:, None] & ~marked), len(taken))
    deleted = (counts * marked[:, 0]).sum(axis=(1, 2)) / max(1, int(counts.sum()))
    deleted[-1] = 1  # of no spikes at all, too
    return SpikeCurve(taken / counts.size, deleted, probability)


def nearest(gone: NDArray[Any], parts: int) -> NDArray[np.int64]:
    """Numbers of places at which what is `gone`, ascending, is nearest to equal parts of it; and
    all of the places.
    """
    share = gone[-1] * np.arange(1, parts + 1) / parts
    above = np.searchsorted(gone, share)  # of places, less one
    below = gone[above - 1] * (above > 0)
    return np.unique([0, *(above + (gone[above] - share <= share - below)), len(gone)]).astype(
        np.int64
    )


def random_orders(
    curve: Callable[..., Curves],
    score: Callable[[Any], Logits],
    whole: NDArray[Any],
    *,
    repeats: int = 3,
    seed: int = 0,
    **options: Any,
) -> Curves:
    """The baseline: mean curves of random orders, seeded by seed, seed + 1, …; flat maps give such
    orders.
    """
    if repeats < 1:
        raise InputError(f"random orders: got {repeats} repeats, expected at least 1")
    flat, seeds = np.zeros(whole.shape[-2:]), range(seed, seed + repeats)
    found = [curve(score, whole, flat, seed=each, **options) for each in seeds]
    first, *others = zip(*found, strict=True)
    return type(found[0])(first[0], *(np.mean(each, axis=0) for each in others))


def pixel_order(image_map: ArrayLike, size: tuple[int, ...], seed: int = 0) -> NDArray[np.int64]:
    """C-order positions of pixels from the map's highest value to its lowest; ties in a seeded
    random order.

    Values are equal that differ by less than 10⁻⁶ of the largest magnitude. So a flat map is a
    random order.
    """
    with at("faithfulness"):
        values = checked_maps(image_map, "(h, w)")
    return order_of(resize_map(values, size).ravel(), seed)


def order_of(values: Floats, seed: int) -> NDArray[np.int64]:
    """The same of values (N,)."""
    largest = np.abs(values).max()
    level = np.rint(values / largest / TIE) if largest > 0 else values
    return np.lexsort((np.random.default_rng(seed).permutation(len(level)), -level))


def in_parts(
    image_map: ArrayLike, taken: NDArray[Any], size: tuple[int, ...], seed: int = 0
) -> NDArray[np.bool_]:
    """(K, H, W): the first pixels in the order of a map, so many as are taken, (K,)."""
    rank = np.empty(size[0] * size[1], np.int64)
    rank[pixel_order(image_map, size, seed)] = np.arange(len(rank))
    return (rank < taken[:, None]).reshape(-1, *size)


def probability_of(where: str, found: Logits, versions: int) -> Floats:
    """(B,) — softmax probability of the class that the first version is given."""
    logits = np.asarray(found, np.float64)
    if logits.ndim != 2 or len(logits) != versions or not np.isfinite(logits).all():
        raise InputError(
            f"{where}: got logits of shape {logits.shape}, expected finite ones of ({versions}, "
            "classes)"
        )
    probability: Floats = softmax(logits, axis=1)[:, logits[0].argmax()]
    return probability
