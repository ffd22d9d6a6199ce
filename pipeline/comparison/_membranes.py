"""Layers of two rasters, step by step: what arrives, membranes, and what networks' rules, or
others, make of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.backends.input_currents import currents_of_numbers
from spikesam.backends.network import (
    LIF,
    THETA,
    Dense,
    Input,
    Layer,
    Network,
    Shape,
    Source,
    SpikingNeuron,
    Weighted,
)
from spikesam.backends.network.step import (
    ROUNDING,
    Neurons,
    arrived,
    current_of,
    on_maps,
)
from spikesam.backends.network.synapses.synapse import Pooling
from spikesam.backends.network.table import by_sides
from spikesam.common.errors import InputError
from spikesam.pipeline.comparison.pair import Bit, RasterPair

LEAKS = (0, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.99, 1)  # that networks often have


@dataclass(frozen=True, eq=False)
class FiringRule:
    """A rule by which a layer may fire."""

    neuron: SpikingNeuron
    late: int = 0  # steps by which inputs act later
    all_late: bool = False  # biases and gains of a step come later, too
    # a membrane that equals the threshold in float32 does so in truth, not by rounding
    exact_at_threshold: bool = False
    inputs: tuple[Input, ...] | None = None  # in place of the network's


class RunningRule:
    """A rule while it runs beside a raster, step by step: its membranes, its spikes, its misses."""

    def __init__(
        self, rule: FiringRule, layer: DrivenLayer, currents: Currents, spikes: NDArray[np.bool_]
    ) -> None:
        self.rule, self.currents = rule, currents
        self.spikes = spikes  # that it fires, (T, C, H, W), where the layer reads itself
        self.misses = np.zeros(layer.shape, np.int64)
        self._membranes = Membranes(layer, rule.neuron, rule.inputs)
        self._fired_before = np.zeros(layer.shape, np.bool_)

    def step(self, t: int, fired: NDArray[np.bool_], *, recorded: bool) -> None:
        """Step t of a raster, which `fired`; where it has not `recorded` the step, it is right."""
        membranes, step_of_inputs = self._membranes, t - self.rule.late
        step_of_constants = step_of_inputs if self.rule.all_late else t
        if step_of_constants >= 1:  # before, a layer is at rest
            membranes.step(
                step_of_constants, self.currents(max(step_of_inputs, 0)), self._fired_before
            )
        # where the order of additions decides, the raster is right
        undecided = membranes.near & ~(membranes.at_threshold & self.rule.exact_at_threshold)
        fires = np.where(undecided, fired, membranes.fires) if recorded else fired
        self.misses += fires ^ fired
        self.spikes[t] = self._fired_before = fires


def rules_of(neuron: SpikingNeuron) -> dict[str, FiringRule]:
    """Neurons that other libraries, or chips, have in its place."""
    neurons: dict[str, SpikingNeuron] = {}
    if neuron.fires_at_threshold:
        neurons["firing above the threshold alone"] = replace(neuron, fires_at_threshold=False)
    else:
        neurons["firing at the threshold, too"] = replace(neuron, fires_at_threshold=True)
    subtracting = replace(neuron, reset="subtract", reset_by=None)
    if neuron.reset == "zero":
        neurons["a reset by subtraction"] = subtracting
    else:
        neurons["a reset to zero"] = replace(neuron, reset="zero", reset_by=None)
    before_leak = _as_its_own(neuron, neuron.threshold * neuron.leak)
    subtracted = neuron.threshold if neuron.reset == "zero" else neuron.subtracted
    ordinary_amounts = (subtracted, neuron.threshold)
    if not any(np.array_equal(before_leak, amount) for amount in ordinary_amounts):
        in_front = replace(subtracting, reset_by=before_leak)
        neurons["a reset by subtraction in front of the leak"] = in_front
    if neuron.reset == "subtract" and not np.array_equal(neuron.subtracted, neuron.threshold):
        neurons["a reset by subtraction behind the leak"] = subtracting
    return {
        name: FiringRule(
            substitute,
            exact_at_threshold=substitute.fires_at_threshold != neuron.fires_at_threshold,
        )
        for name, substitute in neurons.items()
    }


def delays_of(layer: Layer) -> dict[str, FiringRule]:
    """The layer itself a step later or earlier, with or without its constants of a step."""
    neuron, rules = layer.spiking_neuron, dict[str, FiringRule]()
    constant = not np.any(neuron.bias) and all(len(read.gain) == 1 for read in layer.inputs)
    for late, when in ((1, "later"), (-1, "earlier")):
        rules[f"inputs that act one step {when}"] = FiringRule(neuron, late, all_late=constant)
        if not constant:
            rules[f"all that it does one step {when}"] = FiringRule(neuron, late, all_late=True)
    return rules


def leaks_of(neuron: SpikingNeuron) -> dict[str, FiringRule]:
    """Neurons of other leaks, of the membrane and of the current."""
    in_float = isinstance(neuron, LIF)
    rules = dict[str, FiringRule]()
    for leak in LEAKS:
        decay = round(THETA * (1 - leak))
        membrane: Any = {"leak": leak} if in_float else {"decay": decay}
        current: Any = {"synaptic_leak": leak} if in_float else {"synaptic_decay": decay}
        if np.any(neuron.leak != leak):
            rules[f"a leak of {leak}"] = FiringRule(replace(neuron, **membrane))
        if np.any(neuron.synaptic_leak != leak):
            rules[f"a synaptic leak of {leak}"] = FiringRule(replace(neuron, **current))
    return rules


def inputs_of(layer: Layer, shapes: Sequence[Shape]) -> dict[str, FiringRule]:
    """The layer with its inputs pooled otherwise, or their channels in another order; `shapes` are
    those of what arrives.
    """
    changes: dict[str, Callable[[Input, Shape], Input | None]] = {
        **{f"{pooling} pooling": partial(_pooled, pooling) for pooling in get_args(Pooling)},
        "the channels of its input in reverse order": _reversed_channels,
        "the halves of the channels of its input exchanged": _exchanged_halves,
        "its input flattened with channels last": _channels_last,
    }
    rules = dict[str, FiringRule]()
    for name, change in changes.items():
        changed = [*map(change, layer.inputs, shapes)]
        if any(changed):
            inputs = tuple(
                changed_input or layer_input
                for changed_input, layer_input in zip(changed, layer.inputs, strict=True)
            )
            rules[name] = FiringRule(layer.spiking_neuron, inputs=inputs)
    return rules


def _pooled(pooling: Pooling, read: Input, shape: Shape) -> Input | None:
    of_spikes = len(read.sources) == 1 and read.sources[0].sign > 0
    summed = read.fixed and pooling == "average"  # in fixed point an average is a sum
    if read.synapse.pool == 1 or read.synapse.pooling == pooling or summed:
        return None
    if pooling == "max" and not of_spikes:
        return None
    synapse = read.synapse
    assert isinstance(synapse, Weighted)  # nothing else pools
    return replace(read, synapse=replace(synapse, pooling=pooling))


def _reversed_channels(read: Input, shape: Shape) -> Input | None:
    return _reordered(read, shape, lambda maps: maps[:, ::-1])


def _exchanged_halves(read: Input, shape: Shape) -> Input | None:
    if shape[0] % 2:
        return None
    return _reordered(read, shape, lambda maps: np.roll(maps, shape[0] // 2, axis=1))


def _channels_last(read: Input, shape: Shape) -> Input | None:
    if not isinstance(read.synapse, Dense):
        return None

    def as_if_last(maps: NDArray[Any]) -> NDArray[Any]:
        channels, height, width = maps.shape[1:]
        return maps.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)

    return _reordered(read, shape, as_if_last)


def _reordered(
    read: Input, shape: Shape, order: Callable[[NDArray[Any]], NDArray[Any]]
) -> Input | None:
    """The input with weights (C', C, y, x) in another order; None if it is the same order."""
    synapse = read.synapse
    if not isinstance(synapse, Weighted):
        return None
    kernel = order(synapse.kernel(synapse.weight, synapse.pooled_shape(shape)))
    weight = kernel.reshape(synapse.weight.shape)
    if np.array_equal(weight, synapse.weight):
        return None
    return read.weighed(lambda _: weight)


def threshold_between(
    neuron: SpikingNeuron, low: float, high: float, *, threshold_alone: bool = False
) -> dict[str, FiringRule]:
    """Neurons whose thresholds differ by a factor between `low` and `high`, if there is one.

    With `threshold_alone` a spike subtracts what it did.
    """
    if low > high + ROUNDING:
        return {}
    factor = (
        (low + high) / 2 if high < np.inf else 2 * low
    )  # none fires at all, if there is no upper bound
    if isinstance(neuron, LIF):
        threshold: Any = neuron.threshold * factor
    else:
        down = (
            np.ceil if neuron.fires_at_threshold else np.floor
        )  # to the last integer at which the same fire
        threshold = down(neuron.threshold * factor).astype(np.int64)
    amount = None if neuron.reset == "zero" else neuron.subtracted
    if not threshold_alone and amount is not None:
        amount = threshold if neuron.reset_by is None else _as_its_own(neuron, amount * factor)
    also = ", of which a spike subtracts the network's" if threshold_alone else ""
    to_upper_bound = "" if low >= high else f" to {high:.2%}" if high < np.inf else " or more"
    name = f"a threshold of {low:.2%}{to_upper_bound} of the network's{also}"
    return {name: FiringRule(replace(neuron, threshold=threshold, reset_by=amount))}


def _as_its_own(neuron: SpikingNeuron, number: Any) -> Any:
    """A constant in the neuron's numbers."""
    rounded: NDArray[np.int64] = np.rint(number).astype(np.int64)
    return number if isinstance(neuron, LIF) else rounded


SignalOf = Callable[
    [str], NDArray[Any]
]  # name of a layer -> its spikes, (T, C, H, W) bool; or the numbers of a current
Currents = Callable[[int], list[NDArray[Any]]]  # t -> a[t] of each input, (C, H, W)


class DrivenLayer:
    """One layer, by name, of a network in float32 or fixed point, driven by recorded spikes, step
    by step, in NumPy.

    So what other layers do wrong changes nothing here. Equations: neurons.py and inputs.py of
    `backends/network/`.
    """

    def __init__(
        self, network: Network, name: str, inputs: tuple[Input, ...] | None = None
    ) -> None:
        self.network, self.number = network, network.place(name) - 1
        layer = network.layers[self.number]
        self.inputs = inputs or layer.inputs
        self.neuron, self.fixed = layer.spiking_neuron, network.precision == "fixed"
        self.shape = network.shapes[self.number + 1]

    def reads(self, place: Shape) -> Iterator[tuple[Source, NDArray[np.bool_]]]:
        """Each source of spikes, and which of its neurons reach that at `place` through a weight
        that is not 0.
        """
        for number, layer_input in enumerate(self.inputs):
            if (self.number, number) in self.network.driven:
                continue
            masks = layer_input.synapse.reach(
                layer_input, place, self.network.shape_read(layer_input)
            )
            yield from zip(layer_input.sources, masks, strict=True)

    def currents(self, signal_of: SignalOf) -> Currents:
        """Function to a[t] of each input, (C, H, W), of what each layer fired in a sample, (T, C,
        H, W) bool.

        An "input" of numbers is in units of int8: (C, H, W) of a constant current, (T, C, H, W) of
        a changing one.
        """
        inputs = [
            self._current(layer_input, (self.number, number), signal_of)
            for number, layer_input in enumerate(self.inputs)
        ]
        return lambda t: [of_input(t) for of_input in inputs]

    def _current(
        self, layer_input: Input, input_place: tuple[int, int], signal_of: SignalOf
    ) -> Callable[[int], NDArray[Any]]:
        read = {source.layer: signal_of(source.layer) for source in layer_input.sources}
        if input_place in self.network.driven:
            (source,), dtype = layer_input.sources, np.int64 if self.fixed else np.float32
            delay = source.longest
            (steps,) = currents_of_numbers(
                self.network, input_place, np.expand_dims(read[source.layer], -4)
            )
            return lambda t: (steps[min(max(t - delay, 0), len(steps) - 1)] * (t >= delay)).astype(
                dtype
            )
        return lambda t: current_of(layer_input, arrived(layer_input, read, t))


class Membranes(Neurons):
    """The membranes of a layer, or of another neuron in its place, from rest, whatever fires."""

    def __init__(
        self,
        layer: DrivenLayer,
        neuron: SpikingNeuron | None = None,
        inputs: tuple[Input, ...] | None = None,
    ) -> None:
        super().__init__(
            neuron or layer.neuron,
            inputs or layer.inputs,
            layer.shape,
            np.int64 if layer.fixed else np.float32,
        )

    @property
    def at_threshold(self) -> NDArray[np.bool_]:
        """True where v[t] equals the threshold."""
        equal: NDArray[np.bool_] = self.v == self.of(self.neuron.threshold)
        return equal


@dataclass(frozen=True, eq=False)
class Rule:
    """The network, in the raster's precision, by which a raster's membranes are computed."""

    network: Network
    proven: bool  # the raster says that it was recorded from it


@dataclass(frozen=True, eq=False)
class Membrane:
    """A neuron's membrane in one raster, of the spikes that this raster holds; (steps,) each."""

    values: NDArray[Any]  # v[t], float32, or int64 in fixed point
    fires: NDArray[np.bool_]  # as the network's rule says
    fired: NDArray[np.bool_]  # as the raster says
    threshold: float
    near: NDArray[np.bool_]  # to the threshold: the order of additions decides


class Traced:
    """Two rasters with their networks, at least one, in the networks' time; `driven` gives an
    input, if it is known.
    """

    def __init__(
        self,
        pair: RasterPair,
        rules: tuple[Rule | None, Rule | None],
        driven: Callable[[int, Network, bool], NDArray[Any]] | None = None,
    ) -> None:
        self.pair, self.rules, self.driven = pair, rules, driven
        networks = [rule.network for rule in rules if rule]
        self.network = networks[0]  # any: all have the same layers, connected alike, but for delays
        if len({_wiring(network) for network in networks}) > 1:
            raise InputError("the networks of A and B are connected differently")
        self.starts, *starts_of_others = (_starts(pair, network) for network in networks)
        if any(other_starts != self.starts for other_starts in starts_of_others):
            raise InputError(
                "the networks of A and B have other delays, and the rasters do not show them"
            )
        self.spikes = lru_cache(maxsize=4)(self._spikes)
        self.membrane = lru_cache(maxsize=4)(self._membrane)

    def layers(self, bit: Bit) -> tuple[DrivenLayer, DrivenLayer]:
        """The bit's layer in the network of each raster, or in the other one's where it is not
        known.
        """
        first, second = (rule.network if rule else self.network for rule in self.rules)
        return DrivenLayer(first, bit.layer), DrivenLayer(second, bit.layer)

    def _membrane(self, side: int, bit: Bit) -> Membrane | None:
        """The membrane of the bit's neuron in the first (0) or second (1) raster, by the spikes of
        that raster; None if the raster's network is not known. Refuses unknown input.
        """
        rule = self.rules[side]
        if rule is None:
            return None
        layer, currents, fired, window = self._driven(side, bit.layer, bit.sample)
        membranes, step_values = Membranes(layer), []
        for t in range(window.stop):
            if t:
                membranes.step(t, currents(t), fired[t - 1])
            quantities = (membranes.v, membranes.fires, membranes.near)
            step_values.append([quantity[bit.neuron] for quantity in quantities])
        columns = zip(*step_values, strict=True)
        values, fires, near = (np.array(column)[window] for column in columns)
        threshold = np.broadcast_to(on_maps(membranes.neuron.threshold), layer.shape)[bit.neuron]
        return Membrane(values, fires, fired[(window, *bit.neuron)], float(threshold), near)

    def misses(
        self,
        side: int,
        layer: str,
        sample: int,
        rules: Mapping[str, FiringRule],
        *,
        all_of_them: bool = True,
        exact: bool = False,
    ) -> dict[str, NDArray[np.int64]]:
        """Rules -> how often each fires otherwise than a raster's layer, at each neuron: (C, H, W).

        A neuron is reset where its rule says, so that a changed bit counts once. Where the order of
        additions decides, the raster is right. Without `all_of_them` a rule is left at its first
        miss. `exact`: the input is not rounded.
        """
        driven, recorded_currents, fired, window = self._driven(side, layer, sample, exact=exact)
        reads_itself = any(
            source.layer == layer for layer_input in driven.inputs for source in layer_input.sources
        )
        running = dict[str, RunningRule]()
        for name, rule in rules.items():
            spikes, currents = fired.copy(), recorded_currents
            if reads_itself or rule.inputs:
                # where the layer reads itself, it reads what the rule fires, not what was recorded
                _, currents, _, _ = self._driven(
                    side, layer, sample, spikes, exact=exact, inputs=rule.inputs
                )
            running[name] = RunningRule(rule, driven, currents, spikes)
        names_left = [*running]
        for t in range(window.stop):
            for name in [*names_left]:
                running[name].step(t, fired[t], recorded=t in window)
                if not all_of_them and running[name].misses.any():
                    names_left.remove(name)
        return {name: rule.misses for name, rule in running.items()}

    def misses_of(
        self, side: int, layer: str, sample: int, rule: FiringRule, *, exact: bool = False
    ) -> NDArray[np.int64]:
        """The count of bits that one rule fires otherwise, (C, H, W); see :meth:`misses`."""
        return self.misses(side, layer, sample, {"rule": rule}, exact=exact)["rule"]

    def fitting(
        self, side: int, layer: str, samples: Sequence[int], variants: Mapping[str, FiringRule]
    ) -> list[str]:
        """The rules of which the whole layer fires all that a raster has."""
        for sample in samples:
            missed = self.misses(side, layer, sample, variants, all_of_them=False)
            variants = {
                name: variant for name, variant in variants.items() if not missed[name].any()
            }
        return [*variants]

    def other_thresholds(
        self, side: int, name: str, samples: Sequence[int]
    ) -> dict[str, FiringRule]:
        """Thresholds, the network's times a factor f, by which a layer might fire as a raster has
        it.

        A membrane is linear in what a spike subtracts, so where it is above f θ says how large f
        may be.
        """
        # of f where a spike subtracts f times as much, too; and where it subtracts what it did
        bounds = np.array([[0.0, np.inf], [0.0, np.inf]])
        for sample in samples:
            layer, currents, fired, window = self._driven(side, name, sample)
            with_resets = Membranes(layer)
            without_resets = Membranes(layer, replace(layer.neuron, reset_by=0))
            theta = on_maps(layer.neuron.threshold)
            for t in range(1, window.stop):
                v = with_resets.step(t, currents(t), fired[t - 1])
                unreset_v = without_resets.step(t, currents(t), fired[t - 1])
                subtracting_as_much = unreset_v / (theta + unreset_v - v)
                for bound, factor in zip(bounds, (subtracting_as_much, v / theta), strict=True):
                    if t in window:
                        bound[0] = factor[~fired[t]].max(initial=bound[0])
                    bound[1] = factor[fired[t]].min(initial=bound[1])
        thresholds = threshold_between(layer.neuron, *bounds[0])
        return (
            thresholds
            if layer.neuron.reset == "zero"
            else thresholds | threshold_between(layer.neuron, *bounds[1], threshold_alone=True)
        )

    def _driven(
        self,
        side: int,
        name: str,
        sample: int,
        own_spikes: NDArray[np.bool_] | None = None,
        *,
        exact: bool = False,
        inputs: tuple[Input, ...] | None = None,
    ) -> tuple[DrivenLayer, Currents, NDArray[np.bool_], range]:
        """A layer, its currents and its own spikes, a raster's or others, and the steps that the
        raster has.
        """
        rule, start = self.rules[side], self.starts[name]
        assert rule
        layer = DrivenLayer(rule.network, name, inputs)
        own_spikes = self.spikes(side, name, sample) if own_spikes is None else own_spikes
        currents_at = layer.currents(
            lambda source_name: (
                own_spikes
                if source_name == name
                else self._signal(side, source_name, name, sample, exact=exact)
            )
        )
        window = range(start, start + self.pair.steps)
        return layer, lru_cache(maxsize=3)(currents_at), own_spikes, window

    def arriving_spike_counts(self, bit: Bit) -> NDArray[np.int64]:
        """Spikes that reach the bit's neuron by weights that are not 0: (3, steps), in A, in B, in
        one alone.
        """
        start = self.starts[bit.layer]
        counts = np.zeros((3, start + self.pair.steps), np.int64)
        for reads in zip(*(layer.reads(bit.neuron) for layer in self.layers(bit)), strict=True):
            first, second = (
                source.arriving(
                    partial(_later, self._signal(side, source.layer, bit.layer, bit.sample) & mask)
                )
                for side, (source, mask) in enumerate(reads)
            )
            for row, spikes in zip(counts, (first, second, first ^ second), strict=True):
                row += spikes.sum(axis=(1, 2, 3))[: len(row)]
        return counts[:, start:]

    def steps(self, bit: Bit) -> pd.DataFrame:
        """A row per step: what arrives in each raster, the membranes, and the spikes of the bit's
        neuron.
        """
        columns: dict[str, Any] = {"step": np.arange(self.pair.steps)}
        columns |= zip(
            ("arrive_first", "arrive_second", "arrive_differ"),
            self.arriving_spike_counts(bit),
            strict=True,
        )
        for side, name in enumerate(("first", "second")):
            if (membrane := self.membrane(side, bit)) is not None:
                columns[f"membrane_{name}"] = membrane.values
        for side, name in enumerate(("first", "second")):
            fired = self.spikes(side, bit.layer, bit.sample)[(slice(None), *bit.neuron)]
            columns[f"fired_{name}"] = fired[self.starts[bit.layer] :][: self.pair.steps]
        return pd.DataFrame(columns)

    def lacking(self, bit: Bit) -> list[str]:
        """Names of what the bit's neuron reads that is not in both rasters."""
        sources = (source.layer for source, _ in self.layers(bit)[0].reads(bit.neuron))
        return [name for name in dict.fromkeys(sources) if name not in self.pair.layers]

    def _signal(
        self, side: int, name: str, reader: str, sample: int, *, exact: bool = False
    ) -> NDArray[Any]:
        """A layer's spikes in one raster, or in the other one where this does not hold it; or the
        input's numbers.
        """
        for holder in (side, 1 - side):
            if name in self.pair.rasters[holder]:
                return self.spikes(holder, name, sample)
        if name != "input":
            raise InputError(f"{reader} reads {name}, which neither raster holds")
        if self.driven is None:
            reason = "a current drives it" if self.network.current_input else "it reads the input"
            raise InputError(
                f"{reader}: {reason}, which neither raster holds; give the data that it is made of"
            )
        rule = self.rules[side] or self.rules[1 - side]
        return self.driven(sample, rule.network if rule else self.network, exact)

    def _spikes(self, side: int, layer: str, sample: int) -> NDArray[np.bool_]:
        """(T, C, H, W) of one sample in the network's time; none outside of the steps that both
        rasters have.
        """
        raster, start = self.pair.rasters[side], self.starts[layer]
        first_step = start if raster.header.layer_delay else 0
        bits = np.zeros((self.network.timesteps, *raster.layer(layer).shape), np.bool_)
        recorded = raster.spikes(
            layer, slice(sample, sample + 1), slice(first_step, first_step + self.pair.steps)
        )
        bits[start : start + self.pair.steps] = recorded[:, 0]
        return bits


def _later(spikes: NDArray[np.bool_], delay: int) -> NDArray[np.bool_]:
    """Spikes (T, C, H, W) so many steps later; silence at first."""
    return np.concatenate([np.zeros_like(spikes[:delay]), spikes[:-delay]])


def _wiring(network: Network) -> tuple[object, ...]:
    """The layers that each layer reads."""
    sources = tuple(
        tuple(tuple(s.layer for s in layer_input.sources) for layer_input in layer.inputs)
        for layer in network.layers
    )
    return network.raster_names, network.shapes, network.current_input, network.timesteps, sources


def _starts(pair: RasterPair, network: Network) -> dict[str, int]:
    """Each layer of a network -> its step at the first step of the rasters; refuses a network that
    cannot be theirs.
    """
    for name in pair.layers:
        shape = pair.first.layer(name).shape
        if name not in network.raster_names:
            raise InputError(f"the network has no layer {name!r}")
        if network.shape_of[name] != shape:
            expected_sides = by_sides(network.shape_of[name])
            raise InputError(
                f"layer {name!r} is {by_sides(shape)}, in the network it is {expected_sides}"
            )
    quick = any(raster.header.layer_delay == 0 for raster in pair.rasters)
    steps = network.model_steps if quick else network.timesteps
    if pair.steps != steps:
        raise InputError(f"the rasters have {pair.steps} steps, the network takes {steps}")
    starts = {
        name: network.starts[name] if quick else 0 for name in ("input", *network.raster_names)
    }
    if early := [name for name, start in starts.items() if start < 0]:
        raise InputError(
            f"layer {early[0]!r} is further from the answer than the input is by a shorter way, so "
            "that the steps of rasters without delay between layers cannot be found in those of "
            "the network"
        )
    return starts
