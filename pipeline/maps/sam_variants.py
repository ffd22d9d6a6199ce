"""Label-free variants of SAM beside the paper's own: what each channel, layer and step counts for in the map.

All start from what a raster says about every channel c of a layer, SAM before its sum over channels, summed over steps:

    A[c,h,w] = Σ_t S[t] · N[t]          N[t] = e^{-γ} N[t-1] + S[t]          Σ_c A = Σ_t M[t]: the paper's SAM

γ = ∞ counts spikes. Neither labels nor gradients are used, and no variant can tell which backend wrote the file.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Eq. 12-14.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError

from .sam import check_parameters

Floats = NDArray[np.float64]


def channel_maps(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], gammas: Sequence[float], middle: int | None = None
) -> NDArray[np.float32]:
    """SAM of every channel, summed over the steps before `middle` and from there on, for several γ in one pass.

    Spikes are visited one by one, silence costs nothing: e^{-γ·gap} catches up with the steps since the last one.

    Parameters
    ----------
    packed : (T, ⌈C·H·W/8⌉) uint8 — `np.packbits` of (C, H, W) in C-order; the steps that matter
    shape : (C, H, W)
    gammas : G decays, 1/step, ≥ 0; ∞ counts spikes
    middle : first step of the later part; T if not given, so that the later part is zero

    Returns
    -------
    (G, 2, C, H, W) float32, dimensionless: the earlier and the later part, whose sum is A

    Raises
    ------
    InputError : if a γ is negative or NaN, or `packed` does not hold C·H·W bits per step
    """
    neurons = math.prod(shape)
    for gamma in gammas:
        if gamma != math.inf:
            check_parameters(gamma, True, "paper")
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != -(-neurons // 8):
        raise InputError(
            f"packed spikes: got shape {packed.shape} {packed.dtype}, expected (T, {-(-neurons // 8)}) uint8 "
            f"for a layer of (C, H, W) = {tuple(shape)}"
        )
    steps = len(packed)
    gaps = np.arange(1, steps + 1)
    decays = np.array([np.exp(-gamma * gaps) for gamma in gammas], np.float64).reshape(len(gammas), steps)
    parts = np.zeros((len(gammas), 2, neurons), np.float64)
    _accumulate(np.ascontiguousarray(packed), decays, steps if middle is None else middle, parts)
    return parts.reshape(len(gammas), 2, *shape).astype(np.float32)


@numba.njit(cache=True)
def _accumulate(packed: NDArray[np.uint8], decays: Floats, middle: int, parts: Floats) -> None:
    """Add every spike's score to `parts` (G, 2, neurons); decays[g, gap - 1] = e^{-γ_g · gap}."""
    neurons = parts.shape[2]
    scores = np.zeros((neurons, len(decays)))
    last = np.zeros(neurons, np.int64)
    for t in range(len(packed)):
        part = 0 if t < middle else 1
        for byte, bits in enumerate(packed[t]):
            if bits == 0:
                continue
            for bit in range(8):
                if bits & (128 >> bit):
                    neuron = 8 * byte + bit
                    for g in range(len(decays)):
                        decay = decays[g, t - last[neuron] - 1] if t > last[neuron] else 0.0
                        scores[neuron, g] = scores[neuron, g] * decay + 1
                        parts[g, part, neuron] += scores[neuron, g]
                    last[neuron] = t


def plain(maps: Floats) -> Floats:
    """The paper's: Σ_c A. (N, C, h, w) -> (N, h, w), like all of :data:`VARIANTS`."""
    return maps.sum(axis=1)


def channel_mean(maps: Floats) -> Floats:
    """Every channel that fires counts alike: Σ_c A / Ā_c, with Ā_c its mean over the sample's own pixels."""
    return _weighted(maps, _inverse(maps.mean(axis=(2, 3))))


def channel_mean_of_set(maps: Floats) -> Floats:
    """The same with Ā_c the mean over all samples and pixels: what is usual for the channel, not for this image."""
    return _weighted(maps, _inverse(maps.mean(axis=(0, 2, 3)))[None])


def channel_peak(maps: Floats) -> Floats:
    """Σ_c A / max_hw A: every channel has its say, at its own best place."""
    return _weighted(maps, _inverse(maps.max(axis=(2, 3))))


def place_selective(maps: Floats) -> Floats:
    """Channels count by how few places they fire at: Σ_c s_c A / Ā_c.

        s_c = 1 - (mean_hw A)² / mean_hw A²          Treves-Rolls sparseness: 0 if even, towards 1 if at one place

    References
    ----------
    Rolls & Tovee 1995, Sparseness of the neuronal representation of stimuli in the primate temporal visual cortex.
    """
    return _weighted(maps, _sparseness(maps, (2, 3)) * _inverse(maps.mean(axis=(2, 3))))


def image_selective(maps: Floats) -> Floats:
    """Channels count by how few images they fire for: Σ_c s_c A / Ā_c, sparseness and mean over the set of samples."""
    activity = maps.mean(axis=(2, 3))
    return _weighted(maps, (_sparseness(activity, 0) * _inverse(activity.mean(axis=0)))[None])


def unusual(maps: Floats) -> Floats:
    """What exceeds the layer's expected map: max(0, M - E), with M = Σ_c A and E the mean M of the other samples.

    It takes away what every image causes at a place: the centre's habit, and the glow along padded borders.
    """
    total = maps.sum(axis=1)
    return np.maximum(total - _expected(total), 0)


def relative(maps: Floats) -> Floats:
    """The same as a ratio: M / (E + ½ mean E), damped where little is expected."""
    total = maps.sum(axis=1)
    expected = _expected(total)
    return total * _inverse(expected + expected.mean(axis=(1, 2), keepdims=True) / 2)


def unusual_channels(maps: Floats) -> Floats:
    """What exceeds every channel's own expected map: Σ_c max(0, A - E_c) / Ā_c, the mean over the set of samples."""
    excess = np.maximum(maps - _expected(maps), 0)
    return _weighted(excess, _inverse(maps.mean(axis=(0, 2, 3)))[None])


def sharpened(maps: Floats) -> Floats:
    """A control, not a proposal: max(0, M - mean_hw M). A variant that only sharpens gains no more than this."""
    total = maps.sum(axis=1)
    return np.maximum(total - total.mean(axis=(1, 2), keepdims=True), 0)


VARIANTS: dict[str, Callable[[Floats], Floats]] = {
    "plain": plain,
    "channel mean": channel_mean,
    "channel mean of set": channel_mean_of_set,
    "channel peak": channel_peak,
    "place-selective": place_selective,
    "image-selective": image_selective,
    "unusual": unusual,
    "relative": relative,
    "unusual channels": unusual_channels,
    "sharpened": sharpened,
}


def merge(maps: Sequence[Floats]) -> Floats:
    """Maps of several layers or steps as one: the geometric mean of each relative to its own mean, damped near zero.

        exp(mean_l log(M_l / mean_hw M_l + 0.1)) - 0.1

    It is large where all of them are; a map that is zero everywhere has no say.

    Parameters
    ----------
    maps : L times (N, H, W) ≥ 0, resized to one size

    Returns
    -------
    (N, H, W) ≥ 0
    """
    means = [each.mean(axis=(1, 2), keepdims=True) for each in maps]
    parts = [np.where(mean > 0, each * _inverse(mean), 1) for each, mean in zip(maps, means, strict=True)]
    merged = np.exp(np.mean([np.log(part + 0.1) for part in parts], axis=0)) - 0.1
    silent = np.logical_and.reduce([mean == 0 for mean in means])
    return np.where(silent, 0, np.maximum(merged, 0))


def _weighted(maps: Floats, weights: Floats) -> Floats:
    """Σ_c w_c A: (N, C, h, w) and (N or 1, C) -> (N, h, w)."""
    return np.einsum("nchw,nc->nhw", maps, np.broadcast_to(weights, maps.shape[:2]))


def _inverse(values: Floats) -> Floats:
    """1/x, and 0 for what never happens."""
    return np.divide(1.0, values, out=np.zeros_like(values, np.float64), where=values > 0)


def _sparseness(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    squares = np.square(values, dtype=np.float64).mean(axis=axis)
    return (1 - values.mean(axis=axis) ** 2 * _inverse(squares)) * (squares > 0)


def _expected(values: Floats) -> Floats:
    """Mean over the other samples; zero for one alone."""
    return (values.sum(axis=0) - values) / max(1, len(values) - 1)
