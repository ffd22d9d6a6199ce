"""SAM of spikes whose times are shuffled: what is left of a map that knows how often neurons fired, but not when.

Two ways. All times: each neuron's spikes are put at random steps; it fires as often, but not then. Earlier times: who
fires at a step stays, and how often each neuron fired before, but its earlier spikes lie at random among the steps
before. Of that, the expected map is exact: with n earlier spikes of a neuron that fires at t, among t - a steps,

    E N[t] = 1 + n · K(t),   K(t) = mean over d = 1 … t - a of e^{-γd},

so that E M[t] = C[t] + K(t) · (M₀[t] - C[t]), where C is the spike count and M₀ is SAM with γ = 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.maps.sam import spike_activation_maps, spike_count_map

Maps = NDArray[np.float32]


def earlier_times_shuffled(packed: NDArray[np.uint8], shape: tuple[int, int, int], gamma: float, first: int) -> Maps:
    """The expected map, (T, H, W), where earlier spikes lie at random; before step `first` the layer cannot fire."""
    count = spike_count_map(packed, shape)
    (since,) = spike_activation_maps(packed, shape, [0.0])
    decays = np.exp(-gamma * np.arange(1, len(packed) + 1))
    kernel = np.zeros(len(packed))
    for step in range(first + 1, len(packed)):
        kernel[step] = decays[: step - first].mean()
    shuffled: Maps = (count + kernel[:, None, None] * (since - count)).astype(np.float32)
    return shuffled


def all_times_shuffled(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], gamma: float, first: int, random: np.random.Generator
) -> Maps:
    """SAM of spikes of which each neuron's are put at random steps from `first` on; as above."""
    neurons = int(np.prod(shape))
    bits = np.unpackbits(packed, axis=1, count=neurons)
    bits[first:] = random.permuted(bits[first:], axis=0)
    return spike_activation_maps(np.packbits(bits, axis=1), shape, [gamma])[0]
