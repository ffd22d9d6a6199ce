"""The paper's own measures: localisation error, heatmap variance, shift under attack, spike rate.

The paper gives no formulas. What it leaves open is settled here, the same for every kind of map, and said where it is
used. Maps that are compared have been min-max normalised step by step, without regard to their unit.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Sections 4.3 and 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recordings.errors import InputError

from .maps import Map, checked, is_flat, resize_map

EPSILON = 1e-3
AUTHORS_FLOOR = 1e-3


def min_max(maps: ArrayLike, floor: float = 0.0) -> Map:
    """Every map stretched to 0 … 1 by itself: (m - min) / (max - min + floor); a flat map becomes 0.

    The authors' code adds a floor of 10⁻³ (:data:`AUTHORS_FLOOR`). On SAM, whose unit is a spike, that changes a value
    by a part in a thousand at most where one spike is the range. On a gradient, which has no unit, it would decide the
    result: Grad-CAMs may be far below 10⁻³. So measures leave it out.

    Parameters
    ----------
    maps : (..., H, W)
    floor : ≥ 0, in the unit of the maps

    Returns
    -------
    (..., H, W), of the maps' floating-point type

    Raises
    ------
    InputError : if a value is NaN or infinite
    """
    array = checked("min-max", maps)
    lowest = array.min(axis=(-2, -1), keepdims=True)
    span = array.max(axis=(-2, -1), keepdims=True) - lowest + array.dtype.type(floor)
    if floor == 0:
        span = np.where(is_flat(array)[..., None, None], array.dtype.type(np.inf), span)
    scaled: Map = (array - lowest) / span
    return scaled


def localisation_errors(maps: ArrayLike, reference: ArrayLike, epsilon: float = EPSILON) -> NDArray[np.float64]:
    """Pixel-wise cross-entropy between each map and a reference, such as the Grad-CAM of the ANN's last convolution.

        E[t] = -1/(H·W) Σ_hw  R ln P[t] + (1 - R) ln(1 - P[t])
        R = min_max(reference resized to H × W)            P = clip(min_max(maps), ε, 1 - ε)

    Left open by the paper: the reference is the target and the map the prediction; resizing is bilinear with centres
    aligned; the mean is over pixels; ε keeps the logarithm finite, and bounds an error by -ln ε (6.9 for 10⁻³). A flat
    map, silent or not, is the prediction 0 and gets -ln(ε) · mean(R), nearly; a flat reference is the target 0.

    Parameters
    ----------
    maps : (..., H, W) — the leading axes may be γ, sample, step
    reference : (h, w)
    epsilon : in (0, 0.5)

    Returns
    -------
    (...) float64, nats, ≥ 0; smaller is better

    Raises
    ------
    InputError : if a value is NaN or infinite, or ε lies outside
    """
    if not 0 < epsilon < 0.5:
        raise InputError(f"localisation error: got epsilon {epsilon}, expected a number between 0 and 0.5")
    checked("reference of the localisation error", reference, "(h, w)")
    prediction = min_max(checked("localisation error", maps))
    target = min_max(resize_map(np.asarray(reference), prediction.shape[-2:])).ravel().astype(prediction.dtype)
    prediction = prediction.reshape(*prediction.shape[:-2], -1)
    hit = np.log(np.clip(prediction, epsilon, 1 - epsilon)) @ target
    miss = np.log(np.clip(1 - prediction, epsilon, 1 - epsilon)) @ (1 - target)
    return -np.asarray(hit + miss, np.float64) / len(target)


def lowest_errors(maps: ArrayLike, reference: ArrayLike, epsilon: float = EPSILON) -> NDArray[np.float64]:
    """The smallest localisation error over steps; steps at which the map is flat do not take part.

    Silence must not win because the reference is sparse: where the mean of R is below 0.1, predicting 0 everywhere
    beats an even grey (ln 2, at ε = 10⁻³). A step with a single spike still can. Where every step is flat, the error is
    that of the zero map.

    Parameters
    ----------
    maps : (..., T, H, W)
    reference, epsilon : see :func:`localisation_errors`

    Returns
    -------
    (...) float64, nats, ≥ 0
    """
    array = checked("localisation error", maps, "(..., T, H, W)")
    errors = localisation_errors(array, reference, epsilon)
    flat = is_flat(array)
    spoken = np.where(flat, np.inf, errors).min(axis=-1)
    lowest: NDArray[np.float64] = np.where(flat.all(axis=-1), errors[..., 0], spoken)
    return lowest


def localisation_error(maps: ArrayLike, reference: ArrayLike, epsilon: float = EPSILON) -> float:
    """The paper's localisation error of one image: :func:`lowest_errors` of (T, H, W) maps."""
    return float(lowest_errors(checked("localisation error", maps, "(T, H, W)"), reference, epsilon))


def heatmap_variance(maps: ArrayLike) -> float:
    """Variance over pixels of the min-max normalised map, at the step where it is largest.

    At most 0.25 (half the pixels 0, half 1); 0 where every step is flat. It says how far a map is from an even grey,
    not whether it is right.

    Parameters
    ----------
    maps : (T, H, W)

    Raises
    ------
    InputError : if a value is NaN or infinite
    """
    scaled = min_max(checked("heatmap variance", maps, "(T, H, W)"))
    return float(scaled.var(axis=(-2, -1), dtype=np.float64).max())


def heatmap_shift(clean: ArrayLike, attacked: ArrayLike) -> float:
    """Normalised L1 distance between two maps of one image, before and after an attack.

        D = mean over steps and pixels of |min_max(clean) - min_max(attacked)|

    Left open by the paper: each map is min-max normalised by itself, at every step, so that the distance lies between
    0 and 1; steps at which both maps are flat do not take part (0 if all are), or else silence would pass for
    robustness. The same maps give exactly 0. Where few pixels are lit it is small whatever happens to them:
    see :func:`mass_shift`.

    Parameters
    ----------
    clean, attacked : (..., H, W), the same shape; leading axes are steps, none for the single map of an ANN

    Raises
    ------
    InputError : if the shapes differ, or a value is NaN or infinite
    """
    one, other = _pair("heatmap shift", clean, attacked)
    distance = np.abs(min_max(one) - min_max(other)).mean(axis=(-2, -1), dtype=np.float64)
    return _mean_where(distance, ~(is_flat(one) & is_flat(other)))


def mass_shift(clean: ArrayLike, attacked: ArrayLike) -> float:
    """The share of a map that has moved: L1 distance between maps that sum to 1, halved, mean over steps.

    The same question as :func:`heatmap_shift`, asked so that sparse and smooth maps can be compared: 0 for the same
    maps, 1 where no pixel is lit in both. Steps at which both are zero do not take part (0 if all are); where one is
    zero, everything has moved.

    Parameters
    ----------
    clean, attacked : (..., H, W) ≥ 0, the same shape

    Raises
    ------
    InputError : if the shapes differ, or a value is negative, NaN or infinite
    """
    one, other = _pair("mass shift", clean, attacked, positive=True)
    masses = [each.sum(axis=(-2, -1), dtype=np.float64) for each in (one, other)]
    shares = [
        each / np.where(mass > 0, mass, 1)[..., None, None] for each, mass in zip((one, other), masses, strict=True)
    ]
    distance = np.abs(shares[0] - shares[1]).sum(axis=(-2, -1)) / 2
    return _mean_where(np.where((masses[0] > 0) == (masses[1] > 0), distance, 1), (masses[0] > 0) | (masses[1] > 0))


def spike_rate(counts: NDArray[np.integer[Any]], neurons: int) -> NDArray[np.float64]:
    """Share of a layer's neurons that fire, of every sample at every step; Fig. 6b shows the mean over samples.

    Parameters
    ----------
    counts : (N, T) — spikes of the whole layer, as rasters record them
    neurons : C·H·W

    Returns
    -------
    (N, T) float64 in [0, 1]

    Raises
    ------
    InputError : if a count is not in 0 … neurons
    """
    if counts.ndim != 2 or not counts.size:
        raise InputError(f"spike rate: got counts of shape {counts.shape}, expected (N, T), not empty")
    if counts.min() < 0 or counts.max() > neurons:
        raise InputError(f"spike rate: got counts in {counts.min()} … {counts.max()}, expected 0 … {neurons} neurons")
    return counts / np.float64(neurons)


def _pair(where: str, one: ArrayLike, other: ArrayLike, *, positive: bool = False) -> tuple[Map, Map]:
    maps = checked(where, one, positive=positive), checked(where, other, positive=positive)
    if maps[0].shape != maps[1].shape:
        raise InputError(f"{where}: got maps of {maps[0].shape} and {maps[1].shape}, expected the same shape")
    return maps


def _mean_where(values: NDArray[np.float64], taken: NDArray[np.bool_]) -> float:
    return float(values[taken].mean()) if taken.any() else 0.0
