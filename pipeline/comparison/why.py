"""The reason why a bit differs between two rasters: what its neuron reads, both membranes, and the
first ancestor that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.common.errors import InputError
from spikesam.common.text import brief
from spikesam.pipeline.comparison._membranes import (
    FiringRule,
    Membrane,
    Rule,
    Traced,
    delays_of,
    inputs_of,
    leaks_of,
    rules_of,
)
from spikesam.pipeline.comparison.pair import Bit

SAMPLES = 4  # in which a rule must explain a layer; more would take longer, and tell little
EVIDENCE = 8  # bits that a cause must explain: fewer are explained by rules that are not the cause
CONSTANTS = {
    "leak": "leak",
    "threshold": "threshold",
    "synaptic_leak": "synaptic leak",
    "bias": "biases",
}


@dataclass(frozen=True, eq=False)
class Why:
    """The reason why a bit differs.

    Parameters
    ----------
    bit : the bit
    steps : a row per step of its neuron — step, `arrive_…` (spikes that reach it;
        `arrive_differ` counts those in one raster alone), `membrane_…` (v, where that raster's
        network is known), `fired_…`; of the first and of the second raster
    thresholds : of its neuron in each raster; None where the network is not known
    ancestors : bits that differ, from one that drives this bit to the first, before which all is
        the same
    cause : the reason, in sentences, of the last of the ancestors, or of the bit if it has none
    """

    bit: Bit
    steps: pd.DataFrame
    thresholds: tuple[float | None, float | None]
    ancestors: tuple[Bit, ...]
    cause: tuple[str, ...]

    __repr__ = brief

    @property
    def root(self) -> Bit:
        """The first differing bit among those on which this bit rests; perhaps the bit itself."""
        return self.ancestors[-1] if self.ancestors else self.bit


def explain_bit(bit: Bit, traced: Traced) -> Why:
    """The reason why a bit differs. An InputError if what drives its neuron is not known."""
    ancestors, last = [], bit
    while (parent := _parent(last, traced)) is not None:
        ancestors.append(parent)
        last = parent
    if bit.layer == "input":
        return Why(bit, pd.DataFrame(), (None, None), (), _cause(bit, traced))
    membranes = [traced.membrane(side, bit) for side in (0, 1)]
    thresholds = [None if membrane is None else membrane.threshold for membrane in membranes]
    return Why(
        bit,
        traced.steps(bit),
        (thresholds[0], thresholds[1]),
        tuple(ancestors),
        _cause(last, traced),
    )


def _parent(bit: Bit, traced: Traced) -> Bit | None:
    """Of all that the bit's neuron reads, and of its own spikes before, the first that differs and
    is not forgotten.
    """
    if bit.layer == "input":
        return None
    starts, order = traced.starts, {name: place for place, name in enumerate(traced.pair.layers)}
    now, layers = starts[bit.layer] + bit.step, traced.layers(bit)
    neuron_fired = [
        traced.spikes(side, bit.layer, bit.sample)[(slice(None), *bit.neuron)] for side in (0, 1)
    ]
    since = 0
    if all(
        layer.neuron.reset == "zero" and not np.any(layer.neuron.synaptic_leak) for layer in layers
    ):
        common_steps = np.flatnonzero(neuron_fired[0][:now] & neuron_fired[1][:now])
        since = int(common_steps[-1]) + 1 if common_steps.size else 0  # both membranes were 0 then
    differing_bits: list[Bit] = []

    def add(layer: str, differ: np.ndarray, first: int) -> None:
        if (places := np.argwhere(differ)).size:
            step, *place = map(int, places[0])
            channel, row, column = place
            fired = bool(traced.spikes(0, layer, bit.sample)[(first + step, channel, row, column)])
            differing_bits.append(
                Bit(layer, bit.sample, first + step - starts[layer], (channel, row, column), fired)
            )

    for source, mask in (read for layer in layers for read in layer.reads(bit.neuron)):
        if source.layer in order:
            first, second = (traced.spikes(side, source.layer, bit.sample) for side in (0, 1))
            for delay, channels in source.delays.items():
                begin, reached = max(since - delay, 0), np.zeros_like(mask)
                reached[channels] = mask[channels]
                add(
                    source.layer,
                    ((first ^ second) & reached)[begin : max(now - delay + 1, 0)],
                    begin,
                )
    itself = np.zeros(traced.network.shape_of[bit.layer], np.bool_)
    itself[bit.neuron] = True
    add(bit.layer, (neuron_fired[0] ^ neuron_fired[1])[since:now, None, None, None] & itself, since)
    return min(
        differing_bits,
        key=lambda found_bit: (found_bit.step, order[found_bit.layer], found_bit.neuron),
        default=None,
    )


def _cause(bit: Bit, traced: Traced) -> tuple[str, ...]:
    """The reason why a bit differs before which all is the same."""
    if bit.layer == "input":
        a, b = (raster.header for raster in traced.pair.rasters)
        if a.dataset != b.dataset:
            return (
                f"the input itself differs: A is of {a.dataset or 'unknown data'}, B of "
                f"{b.dataset or 'unknown data'}",
            )
        if a.seed != b.seed:
            return (
                f"the input itself differs: A was made with seed {a.seed}, B with seed {b.seed}",
            )
        return ("the input itself differs: other data, or another encoding",)
    membranes = [traced.membrane(side, bit) for side in (0, 1)]
    sentences = [*_sentences(bit, traced, membranes)]
    if lacking := traced.lacking(bit):
        holders = [
            name
            for name, raster in zip("AB", traced.pair.rasters, strict=True)
            if lacking[0] in raster
        ]
        taken = (
            f"only {holders[0]} holds it, and it is taken to be the same in both"
            if holders
            else "it may differ"
        )
        sentences.append(f"{bit.layer} reads {lacking[0]}, which is not in both rasters: {taken}")
    return tuple(sentences)


def _sentences(bit: Bit, traced: Traced, membranes: list[Membrane | None]) -> Iterator[str]:
    """Say of each raster whether its bit is what its network computes, and explain it if not.

    Parameters
    ----------
    bit : the first bit that differs between rasters A and B
    traced : both rasters, and the network of each, where it is known
    membranes : of the bit's neuron, computed by A's network and by B's; None where it is not known
    """
    wrong = []
    for side, (name, rule, membrane) in enumerate(zip("AB", traced.rules, membranes, strict=True)):
        if membrane is None or rule is None:
            continue
        fires, fired = bool(membrane.fires[bit.step]), bool(membrane.fired[bit.step])
        as_recorded = (
            f", as {name} has it"
            if fires == fired
            else f", but {name} has {'a' if fired else 'no'} spike"
        )
        precision = "fixed point" if rule.network.precision == "fixed" else rule.network.precision
        whose = f"{'its' if rule.proven else 'the'} network, in {precision}"
        voltage, threshold = membrane.values[bit.step], membrane.threshold
        yield (
            f"{name}: {whose}, has a membrane of {number_text(voltage)} there, "
            f"{voltage / threshold:.2%} of the threshold {number_text(threshold)}: "
            f"it {'fires' if fires else 'does not fire'}{as_recorded}"
        )
        if fires != fired:
            wrong.append(name)
            case = Contradiction(side, bit, traced, rule, near=bool(membrane.near[bit.step]))
            reasons = (explain(case) for explain in EXPLAINERS)
            yield f"so {next(filter(None, reasons))}"
    known_rules = [rule for rule in traced.rules if rule]
    if not wrong and len(known_rules) == 2:
        differ = differing_numbers(known_rules[0].network, known_rules[1].network, bit.layer)
        yield (
            "so A and B each fire what their network makes of the same inputs; the networks "
            f"differ{differ}"
        )
    elif not wrong:
        known_one = "A" if traced.rules[0] else "B"
        other_name = "B" if traced.rules[0] else "A"
        yield (
            f"so {known_one} follows its network, and {other_name} has another rule or other "
            "numbers"
        )


class Contradiction:
    """A layer of a raster that does not fire what a network's rule says, and what is known of it.

    Parameters
    ----------
    side : the first (0) or the second (1) raster
    bit : the first bit that differs, which the rule contradicts
    near : the bit's membrane is so near to the threshold that the order of additions decides
    """

    def __init__(self, side: int, bit: Bit, traced: Traced, rule: Rule, *, near: bool) -> None:
        self.side, self.traced, self.rule, self.near = side, traced, rule, near
        self.name, self.layer_name = "AB"[side], bit.layer
        self.layer = rule.network.layers[rule.network.place(bit.layer) - 1]
        samples = range(traced.pair.first.n_samples)
        other_samples = [sample for sample in samples if sample != bit.sample]
        self.samples = [bit.sample, *other_samples][:SAMPLES]
        self.beyond_rounding = self._misses(exact_at_threshold=False)
        self.misses = self._misses(exact_at_threshold=True) if near else self.beyond_rounding

    def _misses(self, *, exact_at_threshold: bool) -> NDArray[np.int64]:
        """The count of bits that the rule fires otherwise, at each neuron: (C, H, W)."""
        rule = FiringRule(self.layer.spiking_neuron, exact_at_threshold=exact_at_threshold)
        misses = np.zeros(self.traced.network.shape_of[self.layer_name], np.int64)
        for sample in self.samples:
            misses += self.traced.misses_of(self.side, self.layer_name, sample, rule)
        return misses

    @property
    def bits(self) -> int:
        """The number of bits of the raster that the network's rule does not explain."""
        return int(self.misses.sum())

    @property
    def explained(self) -> str:
        """A sentence on how much the network's rule explains."""
        total = self.misses.size * self.traced.pair.steps * len(self.samples)
        in_samples = f" in {len(self.samples)} samples" if len(self.samples) > 1 else ""
        layer = self.layer_name
        return (
            f"the network explains all but {self.bits:,} of the {total:,} bits of "
            f"{layer}{in_samples}"
        )

    @property
    def changed_channel(self) -> int | None:
        """The channel in which all of these bits are, if it is one of several."""
        channels = np.flatnonzero(self.misses.any(axis=(1, 2)))
        return int(channels[0]) if len(channels) == 1 < len(self.misses) else None

    def fitting(self, rules: Mapping[str, FiringRule]) -> list[str]:
        """The rules of which the layer fires all that the raster has."""
        return self.traced.fitting(self.side, self.layer_name, self.samples, rules)


def order_of_additions_in_a_known_network(case: Contradiction) -> str | None:
    """A membrane near the threshold, of a raster that says it was recorded from the network."""
    return _order_decides(case) if case.near and case.rule.proven else None


def order_of_additions(case: Contradiction) -> str | None:
    """Membranes near the threshold alone, which float32 reaches or not by the order of additions.

    One such bit is enough: that its membrane lies within the error of rounding is computed, not
    chosen among rules that happen to fit.
    """
    return _order_decides(case) if case.near and not case.beyond_rounding.any() else None


def _order_decides(case: Contradiction) -> str:
    return (
        f"near the threshold, the order in which {case.name}'s simulator adds float32 numbers "
        "decides"
    )


def changed_recording(case: Contradiction) -> str | None:
    """A raster that says it was recorded from the network, and holds other bits."""
    if not case.rule.proven:
        return None
    changed = "was changed after it was recorded, or what simulated it has an error"
    return f"{case.name} {changed}: {case.explained}"


def unrounded_input(case: Contradiction) -> str | None:
    """Numbers of the input that the raster's simulator has not rounded to 8 bits, as the network's
    rule does.
    """
    network, rule = case.rule.network, FiringRule(case.layer.spiking_neuron)
    number = network.place(case.layer_name) - 1
    if network.precision != "float32" or all(driven != number for driven, _ in network.driven):
        return None
    for sample in case.samples:
        if case.traced.misses_of(case.side, case.layer_name, sample, rule, exact=True).any():
            return None
    return (
        f"{case.name} has the numbers of the input as they are, which the network has in 8 bits: "
        f"with them, {case.layer_name} fires all that {case.name} has"
    )


def few_bits(case: Contradiction) -> str | None:
    """A difference in so few bits that rules which have nothing to do with it explain them, too."""
    if case.bits >= EVIDENCE:
        return None
    return order_of_additions(case) or (
        f"{case.explained}; fewer than {EVIDENCE} bits name no cause"
    )


def another_rule(case: Contradiction) -> str | None:
    """Another neuron, delay, leak, threshold, pooling or order of channels, which fires all bits
    of the raster.
    """
    neuron, network = case.layer.spiking_neuron, case.rule.network
    rules = rules_of(neuron)
    if not case.beyond_rounding.any():  # then it fires otherwise at the threshold alone
        rules = {name: rule for name, rule in rules.items() if rule.exact_at_threshold}
    fits = case.fitting(rules)
    if not fits and case.beyond_rounding.any():
        shapes = [read.arriving(network.shape_read(read)) for read in case.layer.inputs]
        rules_of_inputs = delays_of(case.layer) | leaks_of(neuron) | inputs_of(case.layer, shapes)
        thresholds = case.traced.other_thresholds(case.side, case.layer_name, case.samples)
        fits = case.fitting(rules_of_inputs | thresholds)
    if not fits:
        return None
    return (
        f"{case.name} has another rule: with {' or '.join(fits)}, {case.layer_name} fires all that "
        f"{case.name} has, and {case.bits:,} bits of it decide"
    )


def other_numbers(case: Contradiction) -> str:
    """No rule that is known: other weights or biases, above all where one channel differs."""
    if case.changed_channel is None:
        reasons = "another rule than the network, other numbers, or bits that were changed"
    else:
        reasons = (
            f"another rule than the network, or other numbers in channel {case.changed_channel}"
        )
    return f"{case.name} has {reasons}: {case.explained}"


# in this order; the first that gives a reason is right
EXPLAINERS: tuple[Callable[[Contradiction], str | None], ...] = (
    order_of_additions_in_a_known_network,
    changed_recording,
    few_bits,  # the explainers below it have more bits to go by
    unrounded_input,
    another_rule,
    order_of_additions,
    other_numbers,
)


def number_text(value: float) -> str:
    """A membrane or a threshold: an integer in fixed point."""
    return (
        f"{int(value):,}"
        if float(value).is_integer() and abs(value) >= 256
        else f"{float(value):.7g}"
    )


def differing_numbers(first: Network, second: Network, name: str) -> str:
    """The numbers in which two networks, A's and B's, whose layers are connected alike, differ in
    the layer of a name.
    """
    rounded = first.precision != second.precision
    with suppress(InputError):  # what cannot be rounded was rounded neither
        first, second = (quantise(network) if rounded else network for network in (first, second))
    differences = (
        "; ".join(_differences(first, second, name)) if first.precision == second.precision else ""
    )
    if rounded and not differences:
        return ": one is in fixed point, whose numbers are rounded"
    return f" in {name}: {differences}"


def _differences(first: Network, second: Network, name: str) -> Iterator[str]:
    number = first.place(name) - 1
    neuron_of_first, neuron_of_second = (
        network.layers[number].spiking_neuron for network in (first, second)
    )
    for constant, called in CONSTANTS.items():
        yield from _unlike(
            called, getattr(neuron_of_first, constant), getattr(neuron_of_second, constant)
        )
    yield from _unlike("reset", neuron_of_first.reset, neuron_of_second.reset)
    if (
        neuron_of_first.reset == neuron_of_second.reset == "subtract"
        and not neuron_of_first.reset_by is neuron_of_second.reset_by is None
    ):
        yield from _unlike(
            "subtraction at a spike", neuron_of_first.subtracted, neuron_of_second.subtracted
        )
    yield from _unlike(
        "firing at the threshold",
        neuron_of_first.fires_at_threshold,
        neuron_of_second.fires_at_threshold,
    )
    lowest = [
        -np.inf if spiking_neuron.min_v_mem is None else spiking_neuron.min_v_mem
        for spiking_neuron in (neuron_of_first, neuron_of_second)
    ]
    yield from _unlike("lowest membrane", *lowest)
    inputs = first.layers[number].inputs, second.layers[number].inputs
    for place, (a, b) in enumerate(zip(*inputs, strict=True), 1):
        of_input = f" of input {place}" if len(inputs[0]) > 1 else ""
        if a.synapse.tensors and b.synapse.tensors:
            yield from _unlike(f"weights{of_input}", a.weight, b.weight)
        yield from _unlike(f"gain{of_input}", a.gain / 2.0**a.shift, b.gain / 2.0**b.shift)
        for x, y in zip(a.sources, b.sources, strict=True):
            yield from _unlike(f"delay from {x.layer}", np.array(x.delay), np.array(y.delay))
            yield from _unlike(f"sign of {x.layer}", x.sign, y.sign)
        for attribute in dict.fromkeys((*a.synapse.geometry, *b.synapse.geometry)):
            values = (getattr(synapse, attribute, None) for synapse in (a.synapse, b.synapse))
            yield from _unlike(f"{attribute}{of_input}", *values)
    if any(place == number for place, _ in first.driven):
        yield from _unlike("input range", first.input_range, second.input_range)


def _unlike(constant_name: str, a: Any, b: Any) -> Iterator[str]:
    """A constant of A and of B, or how many of several differ, if any do."""
    if np.array_equal(a, b):
        return
    if isinstance(a, (str, tuple)) or np.size(a) == np.size(b) == 1:
        yield f"{constant_name} {_shown(a)} in A, {_shown(b)} in B"
    elif np.shape(a)[1:] != np.shape(b)[1:]:
        yield f"{constant_name} of other shapes"
    else:
        far = np.abs(np.subtract(a, b, dtype=np.float64))
        yield (
            f"{np.count_nonzero(far):,} of {far.size:,} {constant_name}, by {far.max():.7g} at most"
        )


def _shown(constant: Any) -> str:
    if isinstance(constant, bool):
        return "yes" if constant else "no"
    return (
        str(constant)
        if isinstance(constant, (str, tuple))
        else f"{np.asarray(constant).item():.7g}"
    )
