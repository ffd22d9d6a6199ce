"""Why a bit differs between two rasters: what its neuron reads, both membranes, and the first
ancestor that differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spikesam.backends.network import Network
from spikesam.backends.network.inputs import STORED
from spikesam.backends.network.quantise import quantise
from spikesam.common.errors import InputError
from spikesam.common.text import brief
from spikesam.pipeline.comparison.membranes import (
    FiringRule,
    Membrane,
    Rule,
    Traced,
    delays_of,
    leaks_of,
    rules_of,
)
from spikesam.pipeline.comparison.pair import Bit

SAMPLES = 4  # in which a rule must explain a layer; more would take longer, and tell little
FEW = 1000  # bits of a layer, of which one may be wrong where its rule is right
CONSTANTS = {
    "leak": "leak",
    "threshold": "threshold",
    "synaptic_leak": "synaptic leak",
    "bias": "biases",
}


@dataclass(frozen=True, eq=False)
class Why:
    """Why a bit differs.

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
        """The first bit that differs among those that this bit rests on; it may be the bit itself."""
        return self.ancestors[-1] if self.ancestors else self.bit


def explain_bit(bit: Bit, traced: Traced) -> Why:
    """The reason why a bit differs. An InputError if what drives its neuron is not known."""
    ancestors, last = [], bit
    while (before := _parent(last, traced)) is not None:
        ancestors.append(before)
        last = before
    if bit.layer == "input":
        return Why(bit, pd.DataFrame(), (None, None), (), _cause(bit, traced))
    membranes = [traced.membrane(which, bit) for which in (0, 1)]
    thresholds = [None if each is None else each.threshold for each in membranes]
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
    own = [
        traced.spikes(which, bit.layer, bit.sample)[(slice(None), *bit.neuron)] for which in (0, 1)
    ]
    since = 0
    if all(
        each.neuron.reset == "zero" and not np.any(each.neuron.synaptic_leak) for each in layers
    ):
        both = np.flatnonzero(own[0][:now] & own[1][:now])
        since = int(both[-1]) + 1 if both.size else 0  # both membranes were 0 then
    found: list[Bit] = []

    def add(layer: str, differ: np.ndarray, first: int) -> None:
        if (places := np.argwhere(differ)).size:
            step, *place = map(int, places[0])
            channel, row, column = place
            fired = bool(traced.spikes(0, layer, bit.sample)[(first + step, channel, row, column)])
            found.append(
                Bit(layer, bit.sample, first + step - starts[layer], (channel, row, column), fired)
            )

    for source, mask in (read for each in layers for read in each.reads(bit.neuron)):
        if source.layer in order:
            first, second = (traced.spikes(which, source.layer, bit.sample) for which in (0, 1))
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
    add(bit.layer, (own[0] ^ own[1])[since:now, None, None, None] & itself, since)
    return min(found, key=lambda each: (each.step, order[each.layer], each.neuron), default=None)


def _cause(bit: Bit, traced: Traced) -> tuple[str, ...]:
    """Why a bit differs before which all is the same."""
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
    membranes = [traced.membrane(which, bit) for which in (0, 1)]
    said = [*_said(bit, traced, membranes)]
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
        said.append(f"{bit.layer} reads {lacking[0]}, which is not in both rasters: {taken}")
    return tuple(said)


def _said(bit: Bit, traced: Traced, membranes: list[Membrane | None]) -> Iterator[str]:
    wrong = []
    for which, (name, rule, each) in enumerate(zip("AB", traced.rules, membranes, strict=True)):
        if each is None or rule is None:
            continue
        fires, fired = bool(each.fires[bit.step]), bool(each.fired[bit.step])
        as_recorded = (
            f", as {name} has it"
            if fires == fired
            else f", but {name} has {'a' if fired else 'no'} spike"
        )
        precision = rule.network.precision
        whose = f"{'its' if rule.proven else 'the'} network, in {'fixed point' if precision == 'fixed' else precision}"
        membrane, threshold = each.values[bit.step], each.threshold
        yield (
            f"{name}: {whose}, has a membrane of {number_text(membrane)} there, "
            f"{membrane / threshold:.2%} of the threshold {number_text(threshold)}: "
            f"it {'fires' if fires else 'does not fire'}{as_recorded}"
        )
        if fires != fired:
            wrong.append(name)
            yield f"so {_wrong(which, bit, traced, rule, near=bool(each.near[bit.step]))}"
    known = [rule for rule in traced.rules if rule]
    if not wrong and len(known) == 2:
        differ = differing_numbers(known[0].network, known[1].network, bit.layer)
        yield f"so A and B each fire what their network makes of the same inputs; the networks differ{differ}"
    elif not wrong:
        known_one = "A" if traced.rules[0] else "B"
        other = "B" if traced.rules[0] else "A"
        yield f"so {known_one} follows its network, and {other} has another rule or other numbers"


def _wrong(which: int, bit: Bit, traced: Traced, rule: Rule, *, near: bool) -> str:
    """The likely reason for which a raster has not what the network's rule says."""
    name, layer = "AB"[which], bit.layer
    order = (
        f"near the threshold, the order in which {name}'s simulator adds float32 numbers decides"
    )
    if near and rule.proven:
        return order
    asked = rule.network.layers[rule.network.place(layer) - 1]
    neuron = asked.spiking_neuron
    samples = [
        bit.sample,
        *(each for each in range(traced.pair.first.n_samples) if each != bit.sample),
    ][:SAMPLES]
    own = {"": FiringRule(neuron), "at": FiringRule(neuron, at=True)}
    each = [traced.misses(which, layer, sample, own) for sample in samples]
    off, missed = (
        np.sum([found[name] for found in each], axis=0) for name in ("", "at" if near else "")
    )
    bits, total = int(missed.sum()), missed.size * traced.pair.steps * len(samples)
    changed = f"{name} was changed after it was recorded, or what simulated it has an error"
    explained = f"the network explains all but {bits:,} of the {total:,} bits of {layer}"
    explained += f" in {len(samples)} samples" if len(samples) > 1 else ""
    if rule.proven:
        return f"{changed}: {explained}"
    if (
        any(place == rule.network.place(layer) - 1 for place, _ in rule.network.driven)
        and rule.network.precision == "float32"
    ):
        given = {"": FiringRule(neuron)}
        if not any(
            traced.misses(which, layer, sample, given, exact=True)[""].any() for sample in samples
        ):
            return (
                f"{name} has the numbers of the input as they are, which the network has in 8 "
                f"bits: with them, {layer} "
                f"fires all that {name} has"
            )
    rules = {each: variant for each, variant in rules_of(neuron).items() if variant.at or off.any()}
    fits = traced.fitting(which, layer, samples, rules)
    if not fits and bits > 1 and off.any():
        others = (
            delays_of(asked) | leaks_of(neuron) | traced.other_thresholds(which, layer, samples)
        )
        fits = traced.fitting(which, layer, samples, others)
    reasons = (
        [f"{name} has another rule: with {' or '.join(fits)}, {layer} fires all that {name} has"]
        if fits
        else []
    )
    if near and (bits == 1 or not (fits or off.any())):
        reasons.append(order)
    channels = np.flatnonzero(missed.any(axis=(1, 2)))
    one = len(channels) == 1 < len(missed)
    if bits == 1 or not (reasons or one or bits * FEW > total):
        reasons.append(f"{changed}: {explained}")
    elif not reasons:
        there = f" in channel {channels[0]}" if one else ""
        reasons.append(
            f"{name} has another rule than the network, or other numbers{there}: {explained}"
        )
    return ", or ".join(reasons)


def number_text(value: float) -> str:
    """A membrane or a threshold: an integer in fixed point."""
    return (
        f"{int(value):,}"
        if float(value).is_integer() and abs(value) >= 256
        else f"{float(value):.7g}"
    )


def differing_numbers(first: Network, second: Network, name: str) -> str:
    """How two networks, A's and B's, whose layers are connected alike, differ in the layer of a
    name.
    """
    rounded = first.precision != second.precision
    with suppress(InputError):  # what cannot be rounded was rounded neither
        first, second = (quantise(each) if rounded else each for each in (first, second))
    found = (
        "; ".join(_differences(first, second, name)) if first.precision == second.precision else ""
    )
    if rounded and not found:
        return ": one is in fixed point, whose numbers are rounded"
    return f" in {name}: {found}"


def _differences(first: Network, second: Network, name: str) -> Iterator[str]:
    number = first.place(name) - 1
    one, other = (network.layers[number].spiking_neuron for network in (first, second))
    for constant, called in CONSTANTS.items():
        yield from _unlike(called, getattr(one, constant), getattr(other, constant))
    yield from _unlike("reset", one.reset, other.reset)
    if one.reset == other.reset == "subtract" and not one.reset_by is other.reset_by is None:
        yield from _unlike("subtraction at a spike", one.subtracted, other.subtracted)
    yield from _unlike("firing at the threshold", one.fires_at_threshold, other.fires_at_threshold)
    lowest = [-np.inf if each.min_v_mem is None else each.min_v_mem for each in (one, other)]
    yield from _unlike("lowest membrane", *lowest)
    inputs = first.layers[number].inputs, second.layers[number].inputs
    for place, (a, b) in enumerate(zip(*inputs, strict=True), 1):
        of = f" of input {place}" if len(inputs[0]) > 1 else ""
        if a.weight is not None and b.weight is not None:
            yield from _unlike(f"weights{of}", a.weight, b.weight)
        yield from _unlike(f"gain{of}", a.gain / 2.0**a.shift, b.gain / 2.0**b.shift)
        for x, y in zip(a.sources, b.sources, strict=True):
            yield from _unlike(f"delay from {x.layer}", np.array(x.delay), np.array(y.delay))
            yield from _unlike(f"sign of {x.layer}", x.sign, y.sign)
        for side in STORED:
            yield from _unlike(f"{side}{of}", getattr(a, side), getattr(b, side))
    if any(place == number for place, _ in first.driven):
        yield from _unlike("input range", first.input_range, second.input_range)


def _unlike(what: str, a: Any, b: Any) -> Iterator[str]:
    """A constant of A and of B, or how many of several differ, if any do."""
    if np.array_equal(a, b):
        return
    if isinstance(a, (str, tuple)) or np.size(a) == np.size(b) == 1:
        yield f"{what} {_shown(a)} in A, {_shown(b)} in B"
    elif np.shape(a)[1:] != np.shape(b)[1:]:
        yield f"{what} of other shapes"
    else:
        far = np.abs(np.subtract(a, b, dtype=np.float64))
        yield f"{np.count_nonzero(far):,} of {far.size:,} {what}, by {far.max():.7g} at most"


def _shown(constant: Any) -> str:
    if isinstance(constant, bool):
        return "yes" if constant else "no"
    return (
        str(constant)
        if isinstance(constant, (str, tuple))
        else f"{np.asarray(constant).item():.7g}"
    )
