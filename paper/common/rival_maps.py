"""Rivals of relevance, from their equations: temporal spike attribution, and LRP with a stabiliser.

TSA multiplies, along every path from a spike to a class, weights and how recent the spikes of the path are at the last
step T-1; nothing is divided. With the leak β of the layer that reads a spike:

    N[t] = β^(T-1-t)                where a neuron fires
         = 0, or -β^(T-1-t) / n     where it does not, of n neurons ("spikes", or "absent": TSA-S and TSA-NS)
    A_l[t] = N_l[t] · W_{l+1}ᵀ A_{l+1}[t+1],        A_L[t] = N_L[t] · W_out[class] · P(class)

Its authors' networks pass a path at one step; here a layer takes a step, so the next spike of a path is the next
step's. Gains of BNTT are part of the weights.

ε-LRP of a network unrolled in time divides the relevance of every membrane, also where no spike was, and adds ε to the
divisor. In place of the signed rule of :mod:`spikesam.pipeline.maps.relevance`, where (1 - s) stands for reset to zero:

    c[t] = (R[t] + λ v[t] c[t+1]) / (v[t] + ε θ sign(v[t]))

References
----------
Nguyen, Nauta, Englebienne & Seifert 2023, Feature attribution explanations for spiking neural networks,
arXiv:2311.02110. Bach et al. 2015, PLoS ONE 10, e0130140, Eq. 58. Arras et al. 2017, arXiv:1706.07206.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from spikesam.backends.network import NO_POOLING, Network, NetworkError
from spikesam.pipeline.maps.correlation import Floats, spread, unpooled
from spikesam.pipeline.maps.relevance import RelevanceLayer, Spikes, by_channel

Absence = Literal["spikes", "absent"]


def temporal_spike_attribution(
    network: Network, spikes: Sequence[Spikes], target: int, absence: Absence = "spikes"
) -> list[Floats]:
    """TSA of one sample's neurons and steps for one class, without the factor P(class).

    Parameters
    ----------
    network : a spiking chain with average pooling, as it was recorded
    spikes : (T, C, H, W) bool of every layer in order of depth, the input first
    target : the class
    absence : "spikes" for TSA-S; "absent" for TSA-NS, in which silence counts, too

    Returns
    -------
    (T, C, H, W) float64 of every layer; 0 at steps that no path leads on from

    Raises
    ------
    NetworkError : if the network is no such chain
    """
    network.check_chain("TSA")
    inputs = [layer.inputs[0] for layer in network.layers]
    if any(each.pooling == "max" or each.windows != NO_POOLING for each in inputs):
        raise NetworkError("TSA: got a layer with maximum pooling, expected averages")
    leaks = [*(by_channel(layer.spiking_neuron.leak) for layer in network.layers), network.readout.leak]
    if any(np.ndim(leak) for leak in leaks):
        raise NetworkError("TSA: got leaks that differ by channel, expected one for each layer")
    recent = [_recent(fired, float(leak), absence) for fired, leak in zip(spikes, leaks, strict=True)]
    found = [np.zeros(each.shape) for each in spikes]
    depth, timesteps = len(network.layers), network.timesteps
    row = network.readout.weight[target].reshape(spikes[-1].shape[1:])
    for start in range(timesteps - depth):
        found[-1][start + depth] = recent[-1][start + depth] * row
        for number in range(depth - 1, -1, -1):
            each, step = inputs[number], start + number
            weight = each.averaged_weight.astype(np.float64)
            gains = np.asarray(each.gain * 2.0**-each.shift, np.float64)[..., None, None]
            values = found[number + 1][step + 1] * gains[step % len(gains)]
            everywhere = np.ones(spikes[number].shape[1:])
            y, x = np.broadcast_to(each.pool, 2)
            channels, height, width = everywhere.shape
            above = spread(each, weight, values, (channels, height // y, width // x))
            found[number][step] = recent[number][step] * unpooled(each, everywhere, above)
    return found


def _recent(fired: Spikes, leak: float, absence: Absence) -> Floats:
    """N (T, C, H, W)."""
    decay = leak ** np.arange(len(fired) - 1, -1, -1.0)[:, None, None, None]
    silent = 0.0 if absence == "spikes" else -1 / fired[0].size
    found: Floats = np.where(fired, 1.0, silent) * decay
    return found


def stabilised(epsilon: float) -> type[RelevanceLayer]:
    """ε-LRP as a rule of :func:`spikesam.pipeline.maps.relevance.relevance`.

    Parameters
    ----------
    epsilon : > 0, in thresholds
    """

    class StabilisedShares(RelevanceLayer):
        """Shares of the membrane of every step, each less what the stabiliser takes."""

        def share(self, t: int, relevance: Floats) -> Floats:
            """c[t]."""
            membrane = self.membrane[t]
            stabiliser = epsilon * by_channel(self.neuron.threshold) * np.where(membrane < 0, -1, 1)
            passed = relevance + self.left(t) * membrane * self.per_membrane
            return self.note(t, passed / (membrane + stabiliser))

    return StabilisedShares
