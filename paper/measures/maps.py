"""Measures of maps: how far one is from an even grey, how well it finds an object, how far it
moves, how alike two are.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Sections 4.3, 5.1 and 5.7. The paper gives no formulas; what
it leaves open is defined here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam import InputError
from spikesam.errors import at
from spikesam.measures import TIE, Map, Mask, checked_maps, overlaps, resize_map

AUTHORS_FLOOR = 1e-3
EPSILON = 1e-3  # of the localisation error


def checked_pair(first: ArrayLike, second: ArrayLike, *, positive: bool = False) -> tuple[Map, Map]:
    """Two maps of one shape, see :func:`checked_maps`."""
    pair = checked_maps(first, positive=positive), checked_maps(second, positive=positive)
    if pair[0].shape != pair[1].shape:
        raise InputError(
            f"got maps of {pair[0].shape} and {pair[1].shape}, expected the same shape"
        )
    return pair


def average_map(maps: Map, size: tuple[int, ...]) -> NDArray[np.float64]:
    """Maps (..., h, w) made coarser: each cell the mean of what it covers; where it is finer,
    resized bilinearly.
    """
    averaged = np.asarray(maps, np.float64)
    height, width = averaged.shape[-2:]
    if width > size[1]:
        averaged = averaged @ (overlaps(width, size[1]) * (size[1] / width)).T
    if height > size[0]:
        averaged = overlaps(height, size[0]) * (size[0] / height) @ averaged
    return resize_map(averaged, size)


def is_flat(maps: Map) -> NDArray[np.bool_]:
    """True if a map is the same everywhere, up to rounding (10⁻⁶ of its largest magnitude). (...,
    H, W) -> (...).
    """
    lowest, highest = maps.min(axis=(-2, -1)), maps.max(axis=(-2, -1))
    flat: NDArray[np.bool_] = highest - lowest <= TIE * np.maximum(np.abs(lowest), np.abs(highest))
    return flat


def min_max(maps: ArrayLike, floor: float = 0.0) -> Map:
    """Every map (..., H, W) stretched to 0 … 1 by itself: (m - min) / (max - min + floor); a flat
    map becomes 0.

    The authors' code adds a floor of 10⁻³ (:data:`AUTHORS_FLOOR`). On SAM, whose unit is a spike,
    that changes a value by a part in a thousand at most where one spike is the range. On a
    gradient, which has no unit, it would decide the result: Grad-CAMs may be far below 10⁻³. So
    measures leave it out.
    """
    with at("min-max"):
        array = checked_maps(maps)
    lowest = array.min(axis=(-2, -1), keepdims=True)
    span = array.max(axis=(-2, -1), keepdims=True) - lowest + array.dtype.type(floor)
    if floor == 0:
        span = np.where(is_flat(array)[..., None, None], array.dtype.type(np.inf), span)
    scaled: Map = (array - lowest) / span
    return scaled


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson's correlation over all pixels (and steps): 1 equal up to scale and offset, 0
    unrelated, -1 opposite.

    Two flat maps, which are constant up to rounding, agree (1); a flat map and one that is not have
    nothing in common.
    """
    with at("Pearson correlation"):
        pair = checked_pair(first, second)
    one, other = (maps.reshape(1, -1).astype(np.float64) for maps in pair)
    flat = bool(is_flat(one)), bool(is_flat(other))
    if any(flat):
        return float(all(flat))
    return float(np.clip(np.corrcoef(one, other)[0, 1], -1, 1))


def iou_at_area(maps: Map, mask: Mask) -> NDArray[np.float64]:
    """Overlap of the object with the map's highest pixels, as many as the object has: intersection
    over union.

    Like in the pointing game, only the order of the pixels counts. Squaring a map, or subtracting a
    constant from it, raises energy in the object and IoU although the map shows nothing new; here
    it changes nothing. Pixels that are equal at the limit all count in part.
    """
    with at("IoU"):
        values = checked_maps(maps)
    values, inside = values.reshape(*values.shape[:-2], -1), mask.ravel()
    if not (area := int(mask.sum())):
        return np.zeros(values.shape[:-1])[()]
    limit = np.partition(values, -area, axis=-1)[..., -area, None]
    above, tied = values > limit * (1 + TIE), np.abs(values - limit) <= np.abs(limit) * TIE
    share = (tied & inside).sum(axis=-1) / tied.sum(axis=-1)
    overlap = (above & inside).sum(axis=-1) + (area - above.sum(axis=-1)) * share
    return np.where(values.max(axis=-1) > 0, overlap / (2 * area - overlap), 0.0)[()]


def heatmap_shift(clean: ArrayLike, attacked: ArrayLike) -> float:
    """Normalised L1 distance between two maps (..., H, W) of one image, before and after an attack.

        D = mean over steps and pixels of |min_max(clean) - min_max(attacked)|

    Left open by the paper: each map is min-max normalised by itself, at every step, so that the
    distance lies between 0 and 1. Steps at which both maps are flat do not count (0 if all are
    flat); otherwise silence would look like robustness. Where few pixels are lit, the distance is
    always small: see :func:`mass_shift`.
    """
    with at("heatmap shift"):
        one, other = checked_pair(clean, attacked)
    distance = np.abs(min_max(one) - min_max(other)).mean(axis=(-2, -1), dtype=np.float64)
    return _mean_where(distance, ~(is_flat(one) & is_flat(other)))


def mass_shift(clean: ArrayLike, attacked: ArrayLike) -> float:
    """The fraction of a map that has moved: L1 distance between maps that sum to 1, halved, mean
    over steps.

    Unlike :func:`heatmap_shift`, it can compare sparse maps with smooth ones: it is 0 for identical
    maps, and 1 where no pixel is lit in both. Steps at which both maps are zero do not count (0 if
    all are). Where one of the two is zero, the distance is 1. Maps are (..., H, W) ≥ 0.
    """
    with at("mass shift"):
        one, other = checked_pair(clean, attacked, positive=True)
    masses = [each.sum(axis=(-2, -1), dtype=np.float64) for each in (one, other)]
    normalised = [
        each / np.where(mass > 0, mass, 1)[..., None, None]
        for each, mass in zip((one, other), masses, strict=True)
    ]
    distance = np.abs(normalised[0] - normalised[1]).sum(axis=(-2, -1)) / 2
    return _mean_where(
        np.where((masses[0] > 0) == (masses[1] > 0), distance, 1), (masses[0] > 0) | (masses[1] > 0)
    )


def _mean_where(values: NDArray[np.float64], taken: NDArray[np.bool_]) -> float:
    return float(values[taken].mean()) if taken.any() else 0.0


def heatmap_variance(maps: ArrayLike) -> float:
    """Variance over pixels of min-max normalised maps (T, H, W), at the step where it is largest.

    At most 0.25 (half the pixels 0, half 1); 0 where every step is flat. It says how far a map is
    from an even grey, not whether it is right.
    """
    with at("heatmap variance"):
        array = checked_maps(maps, "(T, H, W)")
    scaled = min_max(array)
    return float(scaled.var(axis=(-2, -1), dtype=np.float64).max())


def total_variation(maps: ArrayLike) -> float:
    """Mean difference between neighbouring pixels of min-max normalised maps (T, H, W), at the step
    where it is most.

        V[t] = mean over pairs of neighbours (right, below) of |P_a - P_b|,   P = min_max(maps[t])

    At most 1 (a chessboard); 0 where every step is flat, and for a map of one pixel. Unlike the
    variance it depends on where the bright pixels are: a map that is bright on one side and dark on
    the other has variance but hardly varies.
    """
    with at("total variation"):
        array = checked_maps(maps, "(T, H, W)")
    scaled = min_max(array)
    steps = len(scaled)
    pairs = [np.abs(np.diff(scaled, axis=axis)).reshape(steps, -1) for axis in (1, 2)]
    differences = np.concatenate(pairs, axis=1)
    return float(differences.mean(axis=1, dtype=np.float64).max()) if differences.size else 0.0


def localisation_errors(
    maps: ArrayLike, reference: ArrayLike, epsilon: float = EPSILON, floor: float = 0.0
) -> NDArray[np.float64]:
    """Pixel-wise cross-entropy (...) ≥ 0, nats, between each map (..., H, W) and a reference (h,
    w); smaller is better.

        E[t] = -1/(H·W) Σ_hw  R ln P[t] + (1 - R) ln(1 - P[t])
        R = min_max(reference resized to H × W)            P = clip(min_max(maps), ε, 1 - ε)

    Left open by the paper: the reference is the target and the map the prediction; resizing is
    bilinear with centres aligned; the mean is over pixels; ε keeps the logarithm finite, and bounds
    an error by -ln ε (6.9 for 10⁻³). A flat map, silent or not, is the prediction 0 and gets -ln(ε)
    · mean(R), nearly; a flat reference is the target 0.
    """
    if not 0 < epsilon < 0.5:
        raise InputError(
            f"localisation error: got epsilon {epsilon}, expected a number between 0 and 0.5"
        )
    with at("reference of the localisation error"):
        checked_maps(reference, "(h, w)")
    with at("localisation error"):
        array = checked_maps(maps)
    prediction = min_max(array, floor)
    target = (
        min_max(resize_map(np.asarray(reference), prediction.shape[-2:]), floor)
        .ravel()
        .astype(prediction.dtype)
    )
    prediction = prediction.reshape(*prediction.shape[:-2], -1)
    hit = np.log(np.clip(prediction, epsilon, 1 - epsilon)) @ target
    miss = np.log(np.clip(1 - prediction, epsilon, 1 - epsilon)) @ (1 - target)
    return -np.asarray(hit + miss, np.float64) / len(target)


def lowest_errors(
    maps: ArrayLike, reference: ArrayLike, epsilon: float = EPSILON, floor: float = 0.0
) -> NDArray[np.float64]:
    """The smallest localisation error over steps of maps (..., T, H, W); steps at which the map is
    flat do not count.

    Flat steps are left out, because a sparse reference rewards silence: where the mean of R is
    below 0.1, predicting 0 everywhere has a lower error than an even grey (ln 2, at ε = 10⁻³). A
    step with a single spike does take part. Where every step is flat, the error is that of the zero
    map.
    """
    with at("localisation error"):
        array = checked_maps(maps, "(..., T, H, W)")
    return lowest(localisation_errors(array, reference, epsilon, floor), is_flat(array))


def lowest(errors: NDArray[np.float64], flat: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The smallest of errors (..., T) at steps that are not flat, (..., T) -> (...); the first
    where all are.
    """
    smallest = np.where(flat, np.inf, errors).min(axis=-1)
    found: NDArray[np.float64] = np.where(flat.all(axis=-1), errors[..., 0], smallest)
    return found
