"""How high to set a converted layer's threshold, from what arrives at its neurons on calibration images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

MANTISSA_BITS = 9  # of a current that the histogram keeps: bins are 0.1 to 0.2 % wide
BINS, MOST = 512, 1 << 16  # of a channel's activations: bins that they are counted in, and how many are counted
ROUNDING = 0.2  # threshold² / T²: what counting spikes costs a neuron that fires; rounding alone costs 1/12
BALANCING_STEPS = 1000
BALANCING_RATE = 1.0


def largest_current(currents: Iterable[NDArray[np.float32]]) -> float:
    """The largest of all currents, or 0: Algorithm 1 of Kim & Panda 2021, Diehl et al. 2015, Sengupta et al. 2019."""
    return max((float(current.max()) for current in currents), default=0.0)


def percentile_current(currents: Iterable[NDArray[np.float32]], percentile: float) -> float:
    """The percentile of all positive currents, so that rare outliers do not slow every neuron down; 0 without any.

    Counted in a histogram whose bins are as wide as the leading bits of a float32 tell apart, so memory is flat and
    the result, a bin's upper edge, at most 0.2 % too large. That only positive currents count is a choice: how silent
    a layer is does not change what its active neurons need.

    References
    ----------
    Rueckauer et al. 2017, Conversion of continuous-valued deep networks (there of the ANN's activations).
    """
    shift = 23 - MANTISSA_BITS
    counts = np.zeros(1 << (8 + MANTISSA_BITS), np.int64)
    for current in currents:
        bits = np.maximum(current, np.float32(0)).ravel().view(np.int32)
        counts += np.bincount(bits >> shift, minlength=len(counts))
    counts[0] = 0
    total = counts.sum()
    if not total:
        return 0.0
    reached = int(np.searchsorted(counts.cumsum(), percentile / 100 * total))
    return float(np.array((reached + 1) << shift, np.int32).view(np.float32))


def least_squares_thresholds(values: Tensor, timesteps: int, percentile: float) -> Tensor:
    """Per channel, the threshold θ whose error of clipping and of counting in T steps is the least.

        loss(θ) = Σ max(0, x - θ)² + c · θ² / T² · (number of x > 0)

    over activations x, (C, n), with c = 0.2: rounding to whole spikes costs 1/12, their unevenness the rest. The more
    steps, the higher θ, up to a percentile of the positive x: unevenness, which grows with the steps, outweighs rare
    activations beyond that. Activations, of many some, are counted in 512 bins up to the largest of each channel.

    Returns
    -------
    (C,) float64; 0 for a channel without positive activations
    """
    values = values[:, :: values.shape[1] // MOST | 1]  # an odd number, so that all columns of a map are among them
    largest, edges = values.amax(1).double(), torch.arange(1, BINS + 1, dtype=torch.float64)
    widths = largest.clamp(min=1e-30) / BINS
    bins = (values * (1 / widths).float()[:, None]).ceil_().clamp_(0, BINS).to(torch.int64)
    bins += (BINS + 1) * torch.arange(len(values))[:, None]
    counts = bins.flatten().bincount(minlength=(BINS + 1) * len(values)).view(len(values), -1)[:, 1:].double()
    above = (edges[:, None] - 0.5 - edges).clamp(min=0).square()  # of each bin's middle, beyond each threshold
    positive, below = counts.sum(1, keepdim=True), counts.cumsum(1) - counts
    loss = counts @ above + ROUNDING * (edges / timesteps).square() * positive
    loss[below >= percentile / 100 * positive] = torch.inf
    return edges[loss.argmin(1)] * widths * (largest > 0)


def balanced_thresholds(inputs: Tensor) -> Tensor:
    """Local threshold balancing: per channel, gradient descent on what clipping at θ loses of ReLU.

        loss(θ) = E[(min(max(z, 0), θ) - max(z, 0))²]
        θ ← θ + η · E[2 (z - θ) H(z - θ)],  from θ = 0

    over all images and positions at once, with η = 1 and 1,000 steps as in the authors' code (their batches are
    samples of the same mean). θ rises towards the largest z, but ever more slowly for rare ones, which is what makes
    it lower than the maximum.

    Parameters
    ----------
    inputs : (C, n) z, the ANN's pre-activations of each channel, layers before clipped at their own thresholds

    Returns
    -------
    (C,) thresholds; a channel without positive input gets the layer's largest, or 0 if there is none

    References
    ----------
    Bu, Li & Yu 2025, arXiv:2409.03368, Eq. 12–15 and 17.
    """
    thresholds = torch.zeros(len(inputs), dtype=inputs.dtype)
    for _ in range(BALANCING_STEPS):
        thresholds += BALANCING_RATE * 2 * functional.relu(inputs - thresholds[:, None]).mean(1)
    return torch.where(thresholds > 0, thresholds, thresholds.max())
