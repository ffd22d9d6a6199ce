"""Relevance of recorded spikes: what each of them adds to one class's logit, through the weights alone.

The logit is a sum over the spikes of the last layer, whose terms are the relevance R of these spikes. A spike's
relevance is passed back to what raised the membrane v that fired it: over time, to what the neuron kept from the step
before; and through the synapses to the spikes that arrived. Two rules divide it.

"signed" gives every part its exact share of the membrane, negative ones too. A spike fires because v > θ, so the
divisor is never small. With leak λ, synaptic leak κ, gain g, weights w, and ρ what a spike subtracts:

    c[t]       = R[t] / v[t] + λ c[t+1]                    relevance per unit of membrane; R / v where it fired, else 0
    d[t]       = c[t] + κ d[t+1]                           and per unit of current
    R[t-1]    += -ρ c[t]                                   to the neuron's own spike that the membrane was reset by
    R_i[t-1]   = d[t] g w_i x_i[t-1]                       to a spike x_i that arrived, summed over what it reaches

"positive" divides among what raised the membrane alone, as SLTRP does: over time between what was kept and the
current I, where they are above 0; then the current's share among the spikes that excited (z⁺, or α1β0):

    m[t]       = (λ v[t-1] - ρ s[t-1])⁺                    what the neuron kept
    c[t]       = (R[t] + m[t+1] c[t+1]) / (m[t] + I[t]⁺)
    E[t]       = κ E[t-1] + Σ_i (g w_i x_i[t-1])⁺          what excites the neuron
    d[t]       = c[t] I[t]⁺ / E[t] + κ d[t+1]
    R_i[t-1]   = d[t] (g w_i x_i[t-1])⁺

A maximum of currents is its winner: what it gets goes to the largest current of its window at that step, or to the
first of several, row by row.

Both keep relevance: what reaches the input is what the readout began with, less what biases caused, and membranes that
stood at their `min_v_mem`, whatever came before. Membranes are those of the recorded spikes, in real numbers; nothing
is simulated anew.

References
----------
Sun et al. 2024, EventRPG, ICLR, arXiv:2403.09274: spiking layer-time-wise relevance propagation (SLTRP).
Bach et al. 2015, PLoS ONE 10, e0130140: layer-wise relevance propagation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backends.network import FixedLIF, Layer, Network, SpikingNeuron

from .correlation import Floats, correlate, pooled, spread, to_winners, unpooled, winners, won

Rule = Literal["signed", "positive"]
Spikes = NDArray[np.bool_]
Part = tuple[Floats, Floats]  # weights, and the gain of every step: (1, C, 1, 1) or (T, C, 1, 1)


def relevance(network: Network, spikes: Sequence[Spikes], target: int, rule: Rule = "signed") -> list[Floats]:
    """Relevance of the spikes of one sample for one class, in the last layers of a network.

    Parameters
    ----------
    network : spiking, as it was recorded
    spikes : (T, C, H, W) bool of some last layers in order of depth, the input the first of all; at least one
    target : the class
    rule : how relevance is divided

    Returns
    -------
    (T, C, H, W) float64 of each of these layers, in units of the logit; 0 where there is no spike
    """
    network.check_chain("relevance")
    found = [readout_relevance(network, spikes[-1], target, rule)]
    behind = network.layers[len(network.layers) - len(spikes) + 1 :]
    for layer, before, fired in reversed(list(zip(behind, spikes[:-1], spikes[1:], strict=True))):
        found.append(layer_relevance(layer, before, fired, found[-1], rule))
    return found[::-1]


def readout_relevance(network: Network, fired: Spikes, target: int, rule: Rule) -> Floats:
    """The terms of a logit, (T, C, H, W), that the last layer's spikes add; by the rule "positive" those above 0."""
    readout, timesteps = network.readout, network.timesteps
    left = readout.leak ** np.arange(timesteps - 1, -1, -1.0) * readout.scale / timesteps
    terms: Floats = fired * readout.weight[target].reshape(fired.shape[1:]) * left[:, None, None, None]
    return np.maximum(terms, 0) if rule == "positive" else terms


def layer_relevance(layer: Layer, before: Spikes, fired: Spikes, relevance: Floats, rule: Rule) -> Floats:
    """Relevance of the spikes that a layer got, (T, C, H, W), from that of those it fired, (T, C', H', W')."""
    neuron, weight = layer.spiking_neuron, layer.averaged_weight.astype(np.float64)
    unit = 2.0**-neuron.shift if isinstance(neuron, FixedLIF) else 1.0
    gain = np.asarray(neuron.gain * unit, np.float64)[..., None, None]
    parts: list[Part] = [(weight, gain)]
    currents, places = _currents(layer, parts[0], before)
    kept, membrane = _membranes(neuron, currents, fired)
    if rule == "signed":
        per_current = _signed(neuron, membrane, fired, relevance)
    else:
        raised = np.maximum(kept, 0), np.maximum(membrane - kept, 0)
        parts = [(np.maximum(sign * weight, 0), np.maximum(sign * gain, 0)) for sign in (1, -1)]
        excited = _outlasting(neuron, _exciting(layer, parts, before, places))
        per_current = _positive(neuron, *raised, excited, relevance)
    found = np.zeros(before.shape)
    for t in range(1, len(before)):
        maps = pooled(layer, before[t - 1])
        for part, of_part in parts:
            won_by = to_winners(layer, per_current[t] * _at(of_part, t), places[t])
            found[t - 1] += unpooled(layer, before[t - 1], spread(layer, part, won_by, maps.shape))
    return found


def _signed(neuron: SpikingNeuron, membrane: Floats, fired: Spikes, relevance: Floats) -> Floats:
    """d[t]: relevance per unit of current, each part of the membrane having its share, (T, C, H, W)."""
    leak, outlasting, subtracted = map(_by_channel, (neuron.leak, neuron.synaptic_leak, neuron.subtracted))
    found = np.zeros(membrane.shape)
    later = own = np.zeros(membrane.shape[1:])  # c[t+1], and what the reset at t+1 gives to spikes at t
    for t in range(len(found) - 1, 0, -1):
        left = leak * (1 - fired[t]) if neuron.reset == "zero" else leak
        later = _divided(relevance[t] + own, np.where(fired[t], membrane[t], 0)) + left * later
        if neuron.min_v_mem is not None:
            later = later * (membrane[t] > _by_channel(neuron.min_v_mem))
        own = 0 * own if neuron.reset == "zero" else -subtracted * later * fired[t - 1]
        found[t] = later + (outlasting * found[t + 1] if t + 1 < len(found) else 0)
    return found


def _positive(neuron: SpikingNeuron, kept: Floats, current: Floats, excited: Floats, relevance: Floats) -> Floats:
    """d[t]: relevance per unit of exciting current, (T, C, H, W); the membrane was raised by `kept` and `current`."""
    outlasting = _by_channel(neuron.synaptic_leak)
    found = np.zeros(kept.shape)
    from_later = np.zeros(kept.shape[1:])
    for t in range(len(found) - 1, 0, -1):
        per_membrane = _divided(relevance[t] + from_later, kept[t] + current[t])
        from_later = kept[t] * per_membrane
        found[t] = _divided(current[t] * per_membrane, excited[t])
        found[t] += outlasting * found[t + 1] if t + 1 < len(found) else 0
    return found


def _currents(layer: Layer, synapses: Part, before: Spikes) -> tuple[Floats, NDArray[np.intp]]:
    """gain · max(W ⊛ pool(x[t-1])), 0 at the first step, and which currents are the maxima: (T, C', H', W') each."""
    weight, gain = synapses
    currents = np.zeros((len(before), *layer.output_shape(before.shape[1:])))
    places = np.zeros(currents.shape, np.intp)
    for t in range(1, len(before)):
        arrived = correlate(layer, weight, pooled(layer, before[t - 1]))
        places[t] = winners(layer, arrived)
        currents[t] = _at(gain, t) * won(layer, arrived, places[t])
    return currents, places


def _exciting(layer: Layer, parts: Sequence[Part], before: Spikes, places: NDArray[np.intp]) -> Floats:
    """Σ gain · (W ⊛ pool(x[t-1])) over some parts of the synapses, where the maxima are: (T, C', H', W')."""
    currents = np.zeros(places.shape)
    for t in range(1, len(before)):
        maps = pooled(layer, before[t - 1])
        currents[t] = sum(_at(gain, t) * won(layer, correlate(layer, part, maps), places[t]) for part, gain in parts)
    return currents


def _membranes(neuron: SpikingNeuron, currents: Floats, fired: Spikes) -> tuple[Floats, Floats]:
    """What was left of each membrane from the step before, and the membrane, in place of the currents."""
    leak, subtracted = map(_by_channel, (neuron.leak, neuron.subtracted))
    bias = neuron.bias[..., None, None]
    for t in range(1, len(currents)):
        currents[t] += _at(bias, t)
    kept, membrane = np.zeros(currents.shape), _outlasting(neuron, currents)
    for t in range(1, len(membrane)):
        left = leak * membrane[t - 1]
        kept[t] = left * ~fired[t - 1] if neuron.reset == "zero" else left - subtracted * fired[t - 1]
        membrane[t] += kept[t]
        if neuron.min_v_mem is not None:
            np.maximum(membrane[t], _by_channel(neuron.min_v_mem), out=membrane[t])
    return kept, membrane


def _outlasting(neuron: SpikingNeuron, currents: Floats) -> Floats:
    """Currents with what is left of those before; changed in place."""
    outlasting = _by_channel(neuron.synaptic_leak)
    if np.any(outlasting):
        for t in range(1, len(currents)):
            currents[t] += outlasting * currents[t - 1]
    return currents


def _at(rows: NDArray[Any], t: int) -> NDArray[Any]:
    """What acts at step t of a constant of the neurons: row t - 1, or the only one."""
    row: NDArray[Any] = rows[(t - 1) % len(rows)]
    return row


def _divided(values: Floats, by: Floats) -> Floats:
    """values / by, 0 where `by` is not above 0: nothing there was raised by spikes."""
    return np.divide(values, by, out=np.zeros_like(values), where=by > 0)


def _by_channel(constant: Any) -> Any:
    """A number as it is, (C,) as (C, 1, 1)."""
    return np.asarray(constant)[..., None, None] if np.ndim(constant) else constant
