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

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    NO_POOLING,
    Input,
    Layer,
    LinearSynapse,
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
from spikesam.common.warning import warn
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

MOST_AT_ONCE = 1 << 22  # neurons, of all steps whose relevance is passed back at once: 32 MB a copy


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
        # each step is.
        if network.has_loops:
            for t in range(network.timesteps - 1, 0, -1):
                for layer in layers:
                    layer.pass_back(range(t, t + 1), relevance)
        else:
            for layer in reversed(layers):
                for steps in reversed(layer.pieces):
                    layer.pass_back(steps, relevance)
        yield list(relevance.values())


def _warn_of_numbers(network: Network, fired: Mapping[str, Spikes]) -> None:
    """Warn of layers whose membranes are not known, since numbers drive them beside spikes."""
    for layer in network.layers:
        recorded = [source.layer in fired for source in layer.sources]
        if any(recorded) and not all(recorded):
            warn(
                f"relevance: layer {layer.name!r} is driven by numbers that a raster does not "
                "hold, so nothing is passed back to the spikes that it reads beside them; record "
                "with why= for these",
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
    """A layer whose relevance is passed back to what it reads, from the last step on.

    Of the step after, `per_membrane` is relevance per unit of the membrane, `per_current` of the
    current, `own` what its reset gives to spikes. `pieces` are the steps in which spikes can
    arrive, 1 … T - 1, as many at a time as memory allows: weights are read once for all of them.
    """

    exciting: ClassVar[bool] = False

    def __init__(self, layer: Layer, fired: Mapping[str, Spikes]) -> None:
        self.name, self.neuron = layer.name, layer.spiking_neuron
        self.fired = fired[layer.name]
        self.inputs = [
            _Input(layer_input, fired, self.fired.shape, self.exciting)
            for layer_input in layer.inputs
        ]
        self.pieces = self._pieces(any(source.layer == self.name for source in layer.sources))
        neurons = Neurons(self.neuron, layer.inputs, self.fired.shape[1:], np.float64)
        self.membrane = np.zeros(self.fired.shape)
        for steps in self.pieces:
            currents = [layer_input.currents(steps) for layer_input in self.inputs]
            for t, *currents_of_step in zip(steps, *currents, strict=True):
                self.membrane[t] = neurons.step(t, currents_of_step, self.fired[t - 1])
        self.begin()

    def _pieces(self, reads_itself: bool) -> list[range]:
        """See :class:`RelevanceLayer`; a layer gives back to its own spikes of the step before."""
        largest = max(self.fired[0].size, *(layer_input.size for layer_input in self.inputs))
        at_once = 1 if reads_itself else max(1, MOST_AT_ONCE // largest)
        timesteps = len(self.fired)
        return [
            range(first, min(first + at_once, timesteps)) for first in range(1, timesteps, at_once)
        ]

    def begin(self) -> None:
        """Know of no relevance yet."""
        self.per_current = self.per_membrane = self.own = np.zeros(self.fired.shape[1:])

    def pass_back(self, steps: range, relevance_by_layer: Mapping[str, Floats]) -> None:
        """Add to the relevance of the spikes that drove some steps, from that of the spikes that
        were fired in them; :meth:`begin`, and all later steps, come before.
        """
        per_current = np.empty((len(steps), *self.fired.shape[1:]))
        for t in reversed(steps):
            per_current[t - steps.start] = self.of_current(t, relevance_by_layer[self.name][t])
        for layer_input in self.inputs:
            layer_input.pass_back(steps, per_current, relevance_by_layer)

    def of_current(self, t: int, relevance: Floats) -> Floats:
        """d[t], relevance per unit of the current of step t, for that of the spikes that others
        read.
        """
        share = self.share(t, relevance + self.own)
        self.per_current = share + on_maps(self.neuron.synaptic_leak) * self.per_current
        return self.per_current

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
        for steps in self.pieces:
            now = slice(steps.start, steps.stop)
            excited[now] = sum(layer_input.excitation(steps) for layer_input in self.inputs)
            for t in steps:
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
        self.linear = (
            layer_input.synapse if isinstance(layer_input.synapse, LinearSynapse) else None
        )
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
        shapes = [fired[source.layer].shape[1:] for source in layer_input.sources]
        self.unpooled = layer_input.unpooled_shape(shapes[0])
        self.size = max(
            prod(side) for side in (*shapes, layer_input.arriving(shapes[0]), self.unpooled)
        )
        # Of each step, which currents of a maximum pooling were the largest; no array of maps where
        # each current is its own.
        windows = layer_input.synapse.windows
        self.picks = windows != NO_POOLING or layer_input.synapse.current_sum
        maps = (self.unpooled[0], *windows.fit(self.unpooled[1:])) if self.picks else ()
        self.places = np.zeros((shape[0], *maps), np.intp)

    def currents(self, steps: range) -> Floats:
        """max(W ⊛ pool(x[t])) of some steps, (S, C', H', W')."""
        maps = np.array([arrived(self.input, self.fired, t) for t in steps])
        if not self.linear:
            return np.array([self.input.synapse.currents(self.input, x) for x in maps])
        sums = np.zeros((len(steps), *self.unpooled))
        some = np.flatnonzero(_any(maps))
        sums[some] = self.linear.correlated(self.weight, self.linear.pooled(maps[some]))
        if self.picks:
            self.places[steps.start : steps.stop] = winners(self.input, sums)
        return won(self.input, sums, self.places[steps.start : steps.stop])

    def excitation(self, steps: range) -> Floats:
        """Σ gain · (W ⊛ pool(x[t])) over what excites, where the maxima are: (S, C', H', W')."""
        excitation = np.zeros((len(steps), *self.shape))
        if not self.linear:
            products = self.currents(steps)
            return sum(
                (_at(gain, steps) * weight * products for weight, gain in self.parts[1]), excitation
            )
        for source in self.input.sources:
            some, spikes = self._arrived(source, steps)
            pooled = self.linear.pooled(self.linear.arranged(spikes))
            for weight, gain in self.parts[source.sign]:
                sums = self.linear.correlated(weight, pooled)
                excitation[some - steps.start] += _at(gain, some) * won(
                    self.input, sums, self.places[some]
                )
        return excitation

    def pass_back(
        self, steps: range, per_current: Floats, relevance_by_layer: Mapping[str, Floats]
    ) -> None:
        """Add to each spike that arrived in some steps its share, for d[t], (S, C', H', W')."""
        if not self.linear:
            self._pass_back_products(steps, per_current, relevance_by_layer)
            return
        for source in self.input.sources:
            some, spikes = self._arrived(source, steps)
            fired_shape, spikes = spikes.shape, self.linear.arranged(spikes)
            shape = self.linear.pooled(spikes[:1]).shape
            for weight, gain in self.parts[source.sign]:
                handed = per_current[some - steps.start] * _at(gain, some)
                won_by = to_winners(self.input, handed, self.places[some], self.unpooled[1:])
                share = unpooled(self.input, spikes, self.linear.transposed(weight, won_by, shape))
                gathered = self.linear.gathered(share, fired_shape)
                _hand_back(source, some, gathered, relevance_by_layer)

    def _pass_back_products(
        self, steps: range, per_current: Floats, relevance_by_layer: Mapping[str, Floats]
    ) -> None:
        """:meth:`pass_back` where spikes are multiplied."""
        maps = np.array([arrived(self.input, self.fired, t) for t in steps])
        handed = sum(per_current * _at(gain, steps) * weight for weight, gain in self.parts[1])
        shares = shared_by_three(self.input, maps, np.asarray(handed))
        source_groups = self.input.summands(self.input.sources)
        if len(source_groups) == 1:
            shares = [np.concatenate(shares, axis=1)]
        for share, sources in zip(shares, source_groups, strict=True):
            for source in sources:
                some, spikes = self._arrived(source, steps)
                handed_back = share[some - steps.start] * spikes
                _hand_back(source, some, handed_back, relevance_by_layer)

    def _arrived(self, source: Source, steps: range) -> tuple[NDArray[np.intp], Spikes]:
        """Of some steps those in which spikes of a source arrive, and these, (S', C, H, W)."""
        spikes = np.array([arrived_from(source, self.fired[source.layer], t) for t in steps])
        some = np.flatnonzero(_any(spikes))
        return some + steps.start, spikes[some]


def _hand_back(
    source: Source,
    steps: NDArray[np.intp],
    shares: Floats,
    relevance_by_layer: Mapping[str, Floats],
) -> None:
    """Add the shares of what arrived at some steps, (S, C, H, W), to those of the steps at which it
    was fired.
    """
    relevance = relevance_by_layer[source.layer]
    for t, share in zip(steps, shares, strict=True):
        for delay, channels in source.delays.items():
            if delay <= t:
                relevance[t - delay, channels] += share[channels]


def _any(maps: NDArray[Any]) -> NDArray[np.bool_]:
    """True for each map of (S, C, H, W) that is not empty: (S,)."""
    not_empty: NDArray[np.bool_] = maps.reshape(len(maps), -1).any(axis=1)
    return not_empty


def _at(rows: NDArray[Any], steps: Sequence[int] | NDArray[np.intp]) -> NDArray[Any]:
    """The values at some steps of a constant of the neurons: rows t - 1, or the only one."""
    values: NDArray[Any] = rows[np.subtract(steps, 1) % len(rows)]
    return values


def _divided(values: Floats, by: Floats) -> Floats:
    """values / by, 0 where `by` is not above 0: nothing there was raised by spikes."""
    return np.divide(values, by, out=np.zeros_like(values), where=by > 0)
