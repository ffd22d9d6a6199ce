"""Relevance of recorded spikes: what each of them adds to one class's logit, through the weights
alone.

The logit is a sum over the spikes of the last layer, whose terms are the relevance R of these
spikes. A spike's relevance is passed back to what raised the membrane v that fired it: over time,
to what the neuron kept from the step before; and through the synapses to the spikes that arrived.
Two rules divide it.

"signed" gives every part its exact share of the membrane, negative ones too. A spike fires because
v > θ, so the divisor is never small. With leak λ, synaptic leak κ, gain g, weights w, and ρ what a
spike subtracts:

    c[t]       = (R[t] + O[t]) / v[t] + λ c[t+1]     relevance per unit of membrane
    d[t]       = c[t] + κ d[t+1]                     and per unit of current
    O[t-1]     = -ρ c[t]                             to the neuron's own spike that reset it
    R_i[t-1]   = d[t] g w_i x_i[t-1]                 to a spike x_i that arrived

The quotient is there where the neuron fired; R_i is summed over all that the spike reaches. O stays
in the neuron: R, which maps show, is what passes through the layer's output. A layer's R sums to
what it gives to the spikes that it reads, and to its biases.

"positive" divides among what raised the membrane alone, as SLTRP does: over time between what was
kept and the current I, where they are above 0; then the current's share among the spikes that
excited (z⁺, or α1β0):

    m[t]       = (λ v[t-1] - ρ s[t-1])⁺                    what the neuron kept
    c[t]       = (R[t] + m[t+1] c[t+1]) / (m[t] + I[t]⁺)
    E[t]       = κ E[t-1] + Σ_i (g w_i x_i[t-1])⁺          what excites the neuron
    d[t]       = c[t] I[t]⁺ / E[t] + κ d[t+1]
    R_i[t-1]   = d[t] (g w_i x_i[t-1])⁺

Where a layer has several inputs, all parts are theirs together. A spike that arrives d steps later
gets its part at step t - d, and its sign counts as one of the weight.

A product of attention, of a spike of q, of k and of v, gives each a third of its part, since it is
there because of all of them.

A maximum of currents is its winner: what it gets goes to the largest current of its window at that
step, or to the first of several, row by row. A sum of currents hands all that it gets to each of
them.

Both keep relevance: what reaches the input is what the readout began with, less what biases caused,
and membranes that stood at their `min_v_mem`, whatever came before. Membranes are those of the
recorded spikes, in real numbers; nothing is simulated anew.

References
----------
Sun et al. 2024, EventRPG, ICLR, arXiv:2403.09274: spiking layer-time-wise relevance propagation
(SLTRP). Bach et al. 2015, PLoS ONE 10, e0130140: layer-wise relevance propagation.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    NO_POOLING,
    Input,
    Layer,
    Linear,
    Network,
    NetworkError,
    Source,
)
from spikesam.backends.network.step import (
    Neurons,
    arrived,
    arrived_from,
    on_maps,
)
from spikesam.backends.network.synapses.synapse import Floats
from spikesam.common.errors import at
from spikesam.pipeline.maps._correlation import (
    shared_by_three,
    to_winners,
    unpooled,
    winners,
    won,
)

Signs = Literal["signed", "positive"]
Target = int | NDArray[np.float64]
Spikes = NDArray[np.bool_]
Part = tuple[Floats, Floats]  # weights, and the gain of every step: (1, C, 1, 1) or (T, C, 1, 1)


def relevance(
    network: Network,
    spikes: Sequence[Spikes],
    target: Target,
    rule: Signs | type[RelevanceLayer] = "signed",
) -> list[Floats]:
    """Relevance of one sample's spikes for a class, or a weighted sum of logits, in a network's
    last layers.

    `spikes` are (T, C, H, W) bool of some last layers in order of depth, the input the first of
    all. `target` is the class, or (classes,), what each logit counts. Gives (T, C, H, W) float64 of
    each of these layers, in units of the logit.
    """
    return next(relevances(network, spikes, [target], rule))


def relevances(
    network: Network,
    spikes: Sequence[Spikes],
    targets: Iterable[Target],
    rule: Signs | type[RelevanceLayer] = "signed",
) -> Iterator[list[Floats]]:
    """Relevance of one sample's spikes for each of some targets, see :func:`relevance`; membranes
    are computed once.
    """
    if later := [network.layers[place].name for place, _ in network.driven if place]:
        raise NetworkError(
            f"relevance: layer {later[0]!r} gets the numbers of the input, too, which a raster "
            "does not hold, expected "
            "spikes there, or numbers in the first layer alone"
        )
    if len(spikes) < len(network.raster_names):
        with at("relevance of some layers"):
            network.check_chain()
    names = network.raster_names[-len(spikes) :]
    fired = dict(zip(names, spikes, strict=True))
    of_rule = RULES[rule] if isinstance(rule, str) else rule
    layers = [
        of_rule(layer, fired)
        for layer in network.layers
        if layer.name in fired and all(source.layer in fired for source in layer.sources)
    ]
    _warn_of_numbers(network, fired)
    for target in targets:
        relevance = {name: np.zeros(layer_spikes.shape) for name, layer_spikes in fired.items()}
        relevance[names[-1]] += readout_relevance(
            network, spikes[-1], target, exciting=of_rule.exciting
        )
        for layer in layers:
            layer.begin()
        # What reads a layer comes after it, so its own relevance is complete; in a loop, that of
        # each step is. No spike arrives before step 1: step 0 passes nothing back.
        for together in [layers] if network.has_loops else [[layer] for layer in reversed(layers)]:
            for t in range(network.timesteps - 1, 0, -1):
                for layer in together:
                    layer.pass_back(t, relevance)
        yield list(relevance.values())


def _warn_of_numbers(network: Network, fired: Mapping[str, Spikes]) -> None:
    """Warn of layers whose membranes are not known, since numbers drive them beside spikes."""
    for layer in network.layers:
        recorded = [source.layer in fired for source in layer.sources]
        if any(recorded) and not all(recorded):
            warnings.warn(
                f"relevance: layer {layer.name!r} is driven by numbers that a raster does not "
                "hold, so nothing is passed back to the spikes that it reads beside them; record "
                "with why= for these",
                stacklevel=2,
            )


def variance_relevance(network: Network, spikes: Sequence[Spikes]) -> list[Floats]:
    """Relevance, "signed", of the variance over the K logits z: Σ_k (z_k - m)² / K = Σ_k (z_k - m)
    z_k / K, m the mean.

    That is a sum of logits with weights that the network itself gave.
    """
    logits = logits_of(network, spikes[-1])
    return relevance(network, spikes, (logits - logits.mean()) / len(logits))


def readout_relevance(
    network: Network, fired: Spikes, target: Target, *, exciting: bool = False
) -> Floats:
    """Terms of a logit, or a weighted sum, that the last layer's spikes add: (T, C, H, W); those >
    0 if `exciting`.
    """
    weight = network.readout.weight
    row = weight[target] if isinstance(target, int) else target @ weight
    terms: Floats = fired * row.reshape(fired.shape[1:]) * _counted(network)[:, None, None, None]
    return np.maximum(terms, 0) if exciting else terms


def logits_of(network: Network, last: Spikes) -> Floats:
    """(classes,) logits of the last layer's spikes (T, C, H, W)."""
    readout, counted = network.readout, _counted(network)
    arrived: Floats = np.tensordot(counted, last, 1).ravel()
    bias = np.broadcast_to(
        np.asarray(readout.bias, np.float64), (len(counted), len(readout.weight))
    )
    return readout.weight @ arrived + counted @ bias


def _counted(network: Network) -> Floats:
    """(T,) what one unit that reaches the readout at a step adds to the logit."""
    readout, timesteps = network.readout, network.timesteps
    counted: Floats = readout.leak ** np.arange(timesteps - 1, -1, -1.0) * readout.scale / timesteps
    return counted


class RelevanceLayer(ABC):
    """A layer whose relevance is passed back to what it reads, a step at a time, from the last one
    on.

    Of the step after, `per_membrane` is relevance per unit of the membrane, `own` what its reset
    gives to spikes.
    """

    exciting: ClassVar[bool] = False

    def __init__(self, layer: Layer, fired: Mapping[str, Spikes]) -> None:
        self.name, self.neuron = layer.name, layer.spiking_neuron
        self.fired = fired[layer.name]
        self.inputs = [
            _Input(layer_input, fired, self.fired.shape, self.exciting)
            for layer_input in layer.inputs
        ]
        neurons = Neurons(self.neuron, layer.inputs, self.fired.shape[1:], np.float64)
        self.membrane = np.zeros(self.fired.shape)
        for t in range(1, len(self.fired)):
            self.membrane[t] = neurons.step(
                t, [layer_input.current(t) for layer_input in self.inputs], self.fired[t - 1]
            )
        self.begin()

    def begin(self) -> None:
        """Know of no relevance yet."""
        self.per_current = self.per_membrane = self.own = np.zeros(self.fired.shape[1:])

    def pass_back(self, t: int, relevance_by_layer: Mapping[str, Floats]) -> None:
        """Add to the relevance of the spikes that drove step t, from that of the spikes it
        fired.
        """
        share = self.share(t, relevance_by_layer[self.name][t] + self.own)
        self.per_current = share + on_maps(self.neuron.synaptic_leak) * self.per_current
        for layer_input in self.inputs:
            layer_input.pass_back(t, self.per_current, relevance_by_layer)

    @abstractmethod
    def share(self, t: int, relevance: Floats) -> Floats:
        """Relevance per unit of the current of step t, for that of the spikes of step t; notes it
        of the membrane.
        """

    def left(self, t: int) -> Any:
        """The part of the membrane of step t that the next step keeps, before anything is
        subtracted.
        """
        leak = on_maps(self.neuron.leak)
        return leak * (1 - self.fired[t]) if self.neuron.reset == "zero" else leak

    def note(self, t: int, per_membrane: Floats) -> Floats:
        """Keep what there is per unit of the membrane for step t - 1: none where it was held at its
        lowest.
        """
        neuron = self.neuron
        if neuron.min_v_mem is not None:
            per_membrane = per_membrane * (self.membrane[t] > on_maps(neuron.min_v_mem))
        if neuron.reset != "zero":
            self.own = -on_maps(neuron.subtracted) * per_membrane * self.fired[t - 1]
        self.per_membrane = per_membrane
        return per_membrane


class SignedShares(RelevanceLayer):
    """Each part of the membrane has its exact share."""

    def share(self, t: int, relevance: Floats) -> Floats:
        """c[t]."""
        held = np.where(self.fired[t], self.membrane[t], 0)
        return self.note(t, _divided(relevance, held) + self.left(t) * self.per_membrane)


class PositiveShares(RelevanceLayer):
    """Shares among what raised the membrane alone."""

    exciting = True

    def __init__(self, layer: Layer, fired: Mapping[str, Spikes]) -> None:
        super().__init__(layer, fired)
        excited = np.zeros(self.fired.shape)
        for t in range(1, len(excited)):
            excited[t] = sum(layer_input.excitation(t) for layer_input in self.inputs)
            excited[t] += on_maps(self.neuron.synaptic_leak) * excited[t - 1]
        self.excited = excited

    def share(self, t: int, relevance: Floats) -> Floats:
        """c[t] I[t]⁺ / E[t]."""
        before_input = self.left(t - 1) * self.membrane[t - 1]
        if self.neuron.reset != "zero":
            before_input = before_input - on_maps(self.neuron.subtracted) * self.fired[t - 1]
        raised_before, current = (
            np.maximum(before_input, 0),
            np.maximum(self.membrane[t] - before_input, 0),
        )
        per_membrane = _divided(relevance, raised_before + current)
        self.own = raised_before * per_membrane
        return _divided(current * per_membrane, self.excited[t])


RULES: Mapping[Signs, type[RelevanceLayer]] = {"signed": SignedShares, "positive": PositiveShares}


class _Input:
    """One input of a layer: the currents that recorded spikes caused, and the way back to these
    spikes.
    """

    def __init__(
        self,
        layer_input: Input,
        fired: Mapping[str, Spikes],
        shape: tuple[int, ...],
        exciting: bool,
    ) -> None:
        self.input, self.fired = layer_input, fired
        # None where spikes are multiplied
        self.linear = layer_input.synapse if isinstance(layer_input.synapse, Linear) else None
        weight = self.linear.averaged_weight.astype(np.float64) if self.linear else np.ones(1)
        gain = np.asarray(layer_input.gain * 2.0**-layer_input.shift, np.float64)[..., None, None]
        self.weight = weight
        # What a spike adds, or what it excites, by the sign with which it comes.
        self.parts: dict[int, list[Part]] = {sign: [(weight, sign * gain)] for sign in (1, -1)}
        if exciting:
            self.parts = {
                sign: [
                    (np.maximum(half * weight, 0), np.maximum(sign * half * gain, 0))
                    for half in (1, -1)
                ]
                for sign in (1, -1)
            }
        self.shape = shape[1:]
        sides = layer_input.unpooled_shape(fired[layer_input.sources[0].layer].shape[1:])[1:]
        # Which currents of a maximum pooling were the largest.
        self.places = np.zeros((*shape[:2], *layer_input.synapse.windows.fit(sides)), np.intp)

    def current(self, t: int) -> Floats:
        """max(W ⊛ pool(x[t])), (C', H', W')."""
        if not self._arrived(t):
            return np.zeros(self.shape)
        maps = arrived(self.input, self.fired, t)
        if not self.linear:
            return self.input.synapse.currents(self.input, maps)
        sums = self.linear.correlated(self.weight, self.linear.pooled(maps))
        if self.input.synapse.windows != NO_POOLING:
            self.places[t] = winners(self.input, sums)
        return won(self.input, sums, self.places[t])

    def excitation(self, t: int) -> Floats:
        """Σ gain · (W ⊛ pool(x[t])) over what excites, where the maxima are."""
        excitation = np.zeros(self.shape)
        if not self.linear:
            maps = arrived(self.input, self.fired, t)
            products = self.input.synapse.currents(self.input, maps)
            return sum(
                (_at(gain, t) * weight * products for weight, gain in self.parts[1]), excitation
            )
        for source, spikes in self._arrived(t):
            pooled = self.linear.pooled(self.linear.arranged(spikes))
            for weight, gain in self.parts[source.sign]:
                excitation += _at(gain, t) * won(
                    self.input, self.linear.correlated(weight, pooled), self.places[t]
                )
        return excitation

    def pass_back(
        self, t: int, per_current: Floats, relevance_by_layer: Mapping[str, Floats]
    ) -> None:
        """Add to each spike that arrived at step t its share, for d[t] = `per_current`."""
        if not self.linear:
            maps = arrived(self.input, self.fired, t)
            handed = sum(per_current * _at(gain, t) * weight for weight, gain in self.parts[1])
            shares, source_groups = (
                shared_by_three(self.input, maps, np.asarray(handed)),
                self.input.summands(self.input.sources),
            )
            for share, sources in zip(
                shares if len(source_groups) > 1 else [np.concatenate(shares)],
                source_groups,
                strict=True,
            ):
                for source in sources:
                    _hand_back(
                        source,
                        t,
                        share * arrived_from(source, self.fired[source.layer], t),
                        relevance_by_layer,
                    )
            return
        for source, spikes in self._arrived(t):
            sides = self.input.unpooled_shape(spikes.shape)[1:]
            sources_shape, spikes = spikes.shape, self.linear.arranged(spikes)
            shape = self.linear.pooled(spikes).shape
            for weight, gain in self.parts[source.sign]:
                won_by = to_winners(self.input, per_current * _at(gain, t), self.places[t], sides)
                share = unpooled(self.input, spikes, self.linear.transposed(weight, won_by, shape))
                gathered = self.linear.gathered(share, sources_shape)
                _hand_back(source, t, gathered, relevance_by_layer)

    def _arrived(self, t: int) -> list[tuple[Source, Spikes]]:
        """The sources whose spikes arrive at step t, and these spikes."""
        sources = [source for source in self.input.sources if source.shortest <= t]
        return [(source, arrived_from(source, self.fired[source.layer], t)) for source in sources]


def _hand_back(
    source: Source, t: int, shares: Floats, relevance_by_layer: Mapping[str, Floats]
) -> None:
    """Add the shares of what arrived at step t, (C, H, W), to those of the steps at which it was
    fired.
    """
    for delay, channels in source.delays.items():
        if delay <= t:
            relevance_by_layer[source.layer][t - delay, channels] += shares[channels]


def _at(rows: NDArray[Any], t: int) -> NDArray[Any]:
    """The value at step t of a constant of the neurons: row t - 1, or the only one."""
    row: NDArray[Any] = rows[(t - 1) % len(rows)]
    return row


def _divided(values: Floats, by: Floats) -> Floats:
    """values / by, 0 where `by` is not above 0: nothing there was raised by spikes."""
    return np.divide(values, by, out=np.zeros_like(values), where=by > 0)
