"""Does the network use what the map marks? Insertion and deletion curves on the image.

Pixels are taken in the order of the map. Deletion replaces them by the data set's mean: the probability of the class
should fall. Insertion puts them onto a blurred image: the probability should rise. The class is the one that is
predicted on the whole image. Both curves need the network, here a function from images to logits.

References
----------
Petsiuk, Das & Saenko 2018, RISE, arXiv:1806.07421, Section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from pipeline.measures.maps import TIE, checked, resize_map
from recordings.errors import InputError

Score = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]

STEPS = 16
BLUR = 1 / 8  # standard deviation of the blur, in short sides of the image


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The two curves of one map.

    Parameters
    ----------
    label : class predicted on the whole image
    fractions : (K + 1,) from 0 to 1 — pixels deleted or inserted
    deletion, insertion : (K + 1,) — softmax probability of `label`; insertion ends and deletion starts with the image
    """

    label: int
    fractions: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]

    @property
    def deletion_area(self) -> float:
        """Area under the curve by trapezoids, in [0, 1]; lower is better."""
        return float(trapezoid(self.deletion, self.fractions))

    @property
    def insertion_area(self) -> float:
        """Area under the curve by trapezoids, in [0, 1]; higher is better."""
        return float(trapezoid(self.insertion, self.fractions))


def faithfulness(
    score: Score, image: NDArray[np.float32], image_map: ArrayLike, *, steps: int = STEPS, seed: int = 0
) -> Faithfulness:
    """Both curves of a map on one image, in one call of `score` with 2·(steps + 1) images.

    Left open by the source: the map is resized bilinearly; pixels go in `steps` equal parts; the deleted ones become 0,
    the mean after preprocessing; the blur has a standard deviation of an eighth of the short side. What it leaves of
    the class shows in the curve's first value.

    Parameters
    ----------
    score : (B, C, H, W) float32 -> logits (B, classes). Where it encodes with random spikes, use the same random
        numbers for every image of the batch, or noise is measured too
    image : (C, H, W) float32, preprocessed
    image_map : (h, w) of any size; see :func:`pixel_order` for ties
    steps : ≥ 1
    seed : of the order of ties

    Raises
    ------
    InputError : if map, image or logits are not finite or of another shape
    """
    if image.ndim != 3:
        raise InputError(f"faithfulness: got an image of shape {image.shape}, expected (C, H, W)")
    if steps < 1:
        raise InputError(f"faithfulness: got {steps} steps, expected at least 1")
    pixels = image[0].size
    rank = np.empty(pixels, np.int64)
    rank[pixel_order(image_map, image.shape[1:], seed)] = np.arange(pixels)
    taken = np.rint(np.linspace(0, pixels, steps + 1)).astype(np.int64)
    marked = (rank < taken[:, None]).reshape(-1, 1, *image.shape[1:])
    sigma = BLUR * min(image.shape[1:])
    blurred = gaussian_filter(image, (0, sigma, sigma), mode="reflect")
    images = np.concatenate([np.where(marked, 0, image), np.where(marked, image, blurred)]).astype(np.float32)
    logits = np.asarray(score(images), np.float64)
    if logits.ndim != 2 or len(logits) != len(images) or not np.isfinite(logits).all():
        raise InputError(
            f"faithfulness: got logits of shape {logits.shape}, expected finite ones of ({len(images)}, classes)"
        )
    label = int(logits[0].argmax())
    deletion, insertion = np.split(softmax(logits, axis=1)[:, label], 2)
    return Faithfulness(label, taken / pixels, deletion, insertion)


def random_faithfulness(
    score: Score, image: NDArray[np.float32], *, repeats: int = 3, steps: int = STEPS, seed: int = 0
) -> Faithfulness:
    """The baseline: mean curves of `repeats` random orders, which is what flat maps give.

    Parameters
    ----------
    score, image, steps : see :func:`faithfulness`
    repeats : ≥ 1, each in an order of its own
    seed : of the orders: seed, seed + 1, …
    """
    if repeats < 1:
        raise InputError(f"random faithfulness: got {repeats} repeats, expected at least 1")
    flat = np.zeros(image.shape[1:])
    curves = [faithfulness(score, image, flat, steps=steps, seed=seed + repeat) for repeat in range(repeats)]
    deletion = np.mean([curve.deletion for curve in curves], axis=0)
    insertion = np.mean([curve.insertion for curve in curves], axis=0)
    return Faithfulness(curves[0].label, curves[0].fractions, deletion, insertion)


def pixel_order(image_map: ArrayLike, size: tuple[int, ...], seed: int = 0) -> NDArray[np.int64]:
    """Pixels of the image from the map's highest value to its lowest; equal ones in a seeded random order.

    Values are equal that differ by less than 10⁻⁶ of the largest magnitude. So a flat map is a random order.

    Parameters
    ----------
    image_map : (h, w), resized to the image
    size : height and width of the image
    seed : ≥ 0

    Returns
    -------
    (H·W,) int64 — C-order positions
    """
    values = resize_map(checked("faithfulness", image_map, "(h, w)"), size).ravel()
    largest = np.abs(values).max()
    level = np.rint(values / largest / TIE) if largest > 0 else values
    return np.lexsort((np.random.default_rng(seed).permutation(len(level)), -level))
