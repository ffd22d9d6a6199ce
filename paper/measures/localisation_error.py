"""The paper's localisation error: how far a map is from a reference, such as Grad-CAM of the ANN.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Section 5.1. The paper gives no formulas; what it leaves open is defined here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paper.measures.maps import is_flat, min_max
from spikesam.pipeline.measures.maps import checked, resize_map
from spikesam.recordings.errors import InputError

EPSILON = 1e-3


def localisation_errors(
    maps: ArrayLike, reference: ArrayLike, epsilon: float = EPSILON, floor: float = 0.0
) -> NDArray[np.float64]:
    """Pixel-wise cross-entropy (...) ≥ 0, nats, between each map (..., H, W) and a reference (h, w); smaller is better.

        E[t] = -1/(H·W) Σ_hw  R ln P[t] + (1 - R) ln(1 - P[t])
        R = min_max(reference resized to H × W)            P = clip(min_max(maps), ε, 1 - ε)

    Left open by the paper: the reference is the target and the map the prediction; resizing is bilinear with centres
    aligned; the mean is over pixels; ε keeps the logarithm finite, and bounds an error by -ln ε (6.9 for 10⁻³). A flat
    map, silent or not, is the prediction 0 and gets -ln(ε) · mean(R), nearly; a flat reference is the target 0.
    """
    if not 0 < epsilon < 0.5:
        raise InputError(f"localisation error: got epsilon {epsilon}, expected a number between 0 and 0.5")
    checked("reference of the localisation error", reference, "(h, w)")
    prediction = min_max(checked("localisation error", maps), floor)
    target = min_max(resize_map(np.asarray(reference), prediction.shape[-2:]), floor).ravel().astype(prediction.dtype)
    prediction = prediction.reshape(*prediction.shape[:-2], -1)
    hit = np.log(np.clip(prediction, epsilon, 1 - epsilon)) @ target
    miss = np.log(np.clip(1 - prediction, epsilon, 1 - epsilon)) @ (1 - target)
    return -np.asarray(hit + miss, np.float64) / len(target)


def lowest_errors(
    maps: ArrayLike, reference: ArrayLike, epsilon: float = EPSILON, floor: float = 0.0
) -> NDArray[np.float64]:
    """The smallest localisation error over steps of maps (..., T, H, W); steps at which the map is flat do not count.

    Flat steps are left out, because a sparse reference rewards silence: where the mean of R is below 0.1, predicting 0
    everywhere has a lower error than an even grey (ln 2, at ε = 10⁻³). A step with a single spike does take part. Where
    every step is flat, the error is that of the zero map.
    """
    array = checked("localisation error", maps, "(..., T, H, W)")
    return lowest(localisation_errors(array, reference, epsilon, floor), is_flat(array))


def lowest(errors: NDArray[np.float64], flat: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The smallest of errors (..., T) at steps that are not flat, (..., T) -> (...); the first where all are."""
    smallest = np.where(flat, np.inf, errors).min(axis=-1)
    found: NDArray[np.float64] = np.where(flat.all(axis=-1), errors[..., 0], smallest)
    return found
