"""Why a bit differs between two rasters: what its neuron reads, both membranes, and the first ancestor that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spikesam.pipeline.comparison.membranes import Membrane, Traced
from spikesam.pipeline.comparison.pair import Bit
from spikesam.recordings.text import brief


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
    ancestors : bits that differ, from one that drives this bit to the first, before which all is the same
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
    """Why a bit differs.

    Raises
    ------
    InputError : if what drives its neuron is not known
    """
    ancestors, last = [], bit
    while (before := _parent(last, traced)) is not None:
        ancestors.append(before)
        last = before
    if bit.layer == "input":
        return Why(bit, pd.DataFrame(), (None, None), (), _cause(bit, traced))
    membranes = [traced.membrane(which, bit) for which in (0, 1)]
    thresholds = [None if each is None else each.threshold for each in membranes]
    return Why(bit, traced.steps(bit), (thresholds[0], thresholds[1]), tuple(ancestors), _cause(last, traced))


def _parent(bit: Bit, traced: Traced) -> Bit | None:
    """Of all that the bit's neuron reads, and of its own spikes before, the first that differs and is not forgotten."""
    if bit.layer == "input":
        return None
    starts, order = traced.starts, {name: place for place, name in enumerate(traced.pair.layers)}
    now, neurons = starts[bit.layer] + bit.step, traced.neurons(bit)
    own = [traced.spikes(which, bit.layer, bit.sample)[(slice(None), *bit.neuron)] for which in (0, 1)]
    since = 0
    if all(each.neuron.reset == "zero" and not np.any(each.neuron.synaptic_leak) for each in neurons):
        both = np.flatnonzero(own[0][:now] & own[1][:now])
        since = int(both[-1]) + 1 if both.size else 0  # both membranes were 0 then
    found: list[Bit] = []

    def add(layer: str, differ: np.ndarray, first: int) -> None:
        if (places := np.argwhere(differ)).size:
            step, *place = map(int, places[0])
            channel, row, column = place
            fired = bool(traced.spikes(0, layer, bit.sample)[(first + step, channel, row, column)])
            found.append(Bit(layer, bit.sample, first + step - starts[layer], (channel, row, column), fired))

    for sources in zip(*(each.reads() for each in neurons), strict=True):
        source, mask = sources[0][0], np.any([mask for _, mask in sources], axis=0)
        if source.layer in order:
            first, second = (traced.spikes(which, source.layer, bit.sample) for which in (0, 1))
            begin = max(since - source.delay, 0)
            add(source.layer, ((first ^ second) & mask)[begin : max(now - source.delay + 1, 0)], begin)
    itself = np.zeros(traced.network.raster_shape(bit.layer), np.bool_)
    itself[bit.neuron] = True
    add(bit.layer, (own[0] ^ own[1])[since:now, None, None, None] & itself, since)
    return min(found, key=lambda each: (each.step, order[each.layer]), default=None)


def _cause(bit: Bit, traced: Traced) -> tuple[str, ...]:
    """Why a bit differs before which all is the same."""
    if bit.layer == "input":
        a, b = (raster.header for raster in traced.pair.rasters)
        if a.dataset != b.dataset:
            return (
                f"the input itself differs: A is of {a.dataset or 'unknown data'}, B of {b.dataset or 'unknown data'}",
            )
        if a.seed != b.seed:
            return (f"the input itself differs: A was made with seed {a.seed}, B with seed {b.seed}",)
        return ("the input itself differs: other data, or another encoding",)
    membranes = [traced.membrane(which, bit) for which in (0, 1)]
    said = [*_said(bit, traced, membranes)]
    if lacking := traced.lacking(bit):
        holders = [name for name, raster in zip("AB", traced.pair.rasters, strict=True) if lacking[0] in raster]
        taken = f"only {holders[0]} holds it, and it is taken to be the same in both" if holders else "it may differ"
        said.append(f"{bit.layer} reads {lacking[0]}, which is not in both rasters: {taken}")
    return tuple(said)


def _said(bit: Bit, traced: Traced, membranes: list[Membrane | None]) -> Iterator[str]:
    wrong = []
    for name, rule, each in zip("AB", traced.rules, membranes, strict=True):
        if each is None or rule is None:
            continue
        fires, fired = bool(each.fires[bit.step]), bool(each.fired[bit.step])
        as_recorded = f", as {name} has it" if fires == fired else f", but {name} has {'a' if fired else 'no'} spike"
        whose = "its network" if rule.proven else "the network"
        membrane, threshold = each.values[bit.step], each.threshold
        yield (
            f"{name}: {whose}, in {_precision(rule.network.precision)}, has a membrane of {number(membrane)} there, "
            f"{membrane / threshold:.2%} of the threshold {number(threshold)}: "
            f"it {'fires' if fires else 'does not fire'}{as_recorded}"
        )
        if fires != fired:
            wrong.append(name)
            yield _wrong(name, bit, rule.proven, each)
    known = [rule for rule in traced.rules if rule]
    if not wrong and len(known) == 2:
        precisions = {rule.network.precision for rule in known}
        numbers = "one is in fixed point, whose numbers are rounded" if len(precisions) > 1 else "their numbers differ"
        yield f"so A and B each fire what their network makes of the same inputs; the networks differ: {numbers}"
    elif not wrong:
        known_one = "A" if traced.rules[0] else "B"
        other = "B" if traced.rules[0] else "A"
        yield f"so {known_one} follows its network, and {other} has another rule or other numbers"


def _wrong(name: str, bit: Bit, proven: bool, membrane: Membrane) -> str:
    """What may be the reason that a raster has not what the network's rule says."""
    if membrane.near[bit.step]:
        return f"so near the threshold, the order in which {name}'s simulator adds float32 numbers decides"
    if proven:
        return f"so {name} was changed after it was recorded, or what simulated it has an error"
    if membrane.variants:
        fits = " or ".join(membrane.variants)
        return f"so {name} has another rule: with {fits}, this neuron fires at all steps what {name} has"
    return f"so {name} has another rule than the network, or other numbers"


def number(value: float) -> str:
    """A membrane or a threshold: an integer in fixed point."""
    return f"{int(value):,}" if float(value).is_integer() and abs(value) >= 256 else f"{float(value):.7g}"


def _precision(name: str) -> str:
    return "fixed point" if name == "fixed" else name
