"""A neuron of two rasters, step by step: what arrives, both membranes, and what its networks' rules make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.backends.network import Network, SpikingNeuron
from spikesam.backends.network.table import by_sides
from spikesam.backends.single_neuron import SingleNeuron
from spikesam.pipeline.comparison.pair import Bit, Pair
from spikesam.pipeline.comparison.variants import variants_of
from spikesam.recordings.errors import InputError

ROUNDING = 1e-5  # of the threshold: the order of additions may take a float32 membrane as close to it to either side


@dataclass(frozen=True, eq=False)
class Rule:
    """The network by which the membranes of one raster are computed.

    Parameters
    ----------
    network : in the raster's precision
    proven : whether the raster says that it was recorded from it; otherwise it is taken to be
    """

    network: Network
    proven: bool


@dataclass(frozen=True, eq=False)
class Membrane:
    """A neuron's membrane in one raster, of the spikes that this raster holds.

    Parameters
    ----------
    values : (steps,) float32, or int64 in fixed point — v[t]
    fires : (steps,) bool — where the network's rule fires
    fired : (steps,) bool — where the raster has a spike
    threshold : θ
    near : whether v lies so near to θ at a step that the order of additions decides: (steps,) bool
    variants : other rules of which this neuron would fire all that the raster has, where its own does not
    """

    values: NDArray[Any]
    fires: NDArray[np.bool_]
    fired: NDArray[np.bool_]
    threshold: float
    near: NDArray[np.bool_]
    variants: tuple[str, ...]


class Traced:
    """Two rasters with their networks, in the networks' time.

    Parameters
    ----------
    pair : of rasters
    rules : of each, at least one
    driven : sample and network -> its input; None if the data are not known

    Raises
    ------
    InputError : if a network is not that of the rasters
    """

    def __init__(
        self,
        pair: Pair,
        rules: tuple[Rule | None, Rule | None],
        driven: Callable[[int, Network], NDArray[Any]] | None = None,
    ) -> None:
        self.pair, self.rules, self.driven = pair, rules, driven
        networks = [rule.network for rule in rules if rule]
        self.network = networks[0]  # any: all have the same layers, connected alike
        if len({_wiring(network) for network in networks}) > 1:
            raise InputError("the networks of A and B are connected differently")
        self.starts = next(_starts(pair, network) for network in networks)
        self.spikes = lru_cache(maxsize=4)(self._spikes)

    def neurons(self, bit: Bit) -> list[SingleNeuron]:
        """The bit's neuron in each network that is known."""
        return [SingleNeuron(rule.network, bit.layer, bit.neuron) for rule in self.rules if rule]

    def membrane(self, which: int, bit: Bit) -> Membrane | None:
        """The bit's neuron in the first raster, 0, or the second, 1; None if its network is not known.

        Raises
        ------
        InputError : if what drives it is in neither raster
        """
        rule = self.rules[which]
        if rule is None:
            return None
        neuron = SingleNeuron(rule.network, bit.layer, bit.neuron)
        currents = neuron.currents(lambda name: self._given(which, name, bit))
        fired = self.spikes(which, bit.layer, bit.sample)[(slice(None), *bit.neuron)]
        window = slice(self.starts[bit.layer], self.starts[bit.layer] + self.pair.steps)

        def fires(of: SpikingNeuron) -> NDArray[np.bool_]:
            return neuron.fires(neuron.membrane(currents, fired, of), of)[window]

        values, own = neuron.membrane(currents, fired)[window], fires(neuron.neuron)
        near = np.abs(values - neuron.threshold) <= ROUNDING * neuron.threshold
        others = variants_of(neuron.neuron) if not np.array_equal(own, fired[window]) else {}
        fitting = tuple(name for name, other in others.items() if np.array_equal(fires(other), fired[window]))
        return Membrane(
            values, own, fired[window], neuron.threshold, near & (rule.network.precision == "float32"), fitting
        )

    def arriving(self, bit: Bit) -> NDArray[np.int64]:
        """Spikes that reach the bit's neuron at each step through weights that are not 0.

        Returns
        -------
        (3, steps): in the first raster, in the second, in one of them alone
        """
        start = self.starts[bit.layer]
        found = np.zeros((3, start + self.pair.steps), np.int64)
        for source, mask in self.neurons(bit)[0].reads():
            first, second = (self._given(which, source.layer, bit) & mask for which in (0, 1))
            for row, spikes in zip(found, (first, second, first ^ second), strict=True):
                counts = spikes.sum(axis=(1, 2, 3))[: max(len(row) - source.delay, 0)]
                row[source.delay : source.delay + len(counts)] += counts
        return found[:, start:]

    def steps(self, bit: Bit) -> pd.DataFrame:
        """A row per step: what arrives in each raster, the membranes, and the spikes of the bit's neuron."""
        columns: dict[str, Any] = {"step": np.arange(self.pair.steps)}
        columns |= zip(("arrive_first", "arrive_second", "arrive_differ"), self.arriving(bit), strict=True)
        for which, name in enumerate(("first", "second")):
            if (membrane := self.membrane(which, bit)) is not None:
                columns[f"membrane_{name}"] = membrane.values
        for which, name in enumerate(("first", "second")):
            fired = self.spikes(which, bit.layer, bit.sample)[(slice(None), *bit.neuron)]
            columns[f"fired_{name}"] = fired[self.starts[bit.layer] :][: self.pair.steps]
        return pd.DataFrame(columns)

    def lacking(self, bit: Bit) -> list[str]:
        """Names of what the bit's neuron reads that is not in both rasters."""
        sources = (source.layer for source, _ in self.neurons(bit)[0].reads())
        return [name for name in dict.fromkeys(sources) if name not in self.pair.layers]

    def _given(self, which: int, name: str, bit: Bit) -> NDArray[Any]:
        """What a layer fired in one raster, or in the other one where this does not hold it; or the input's numbers."""
        for holder in (which, 1 - which):
            if name in self.pair.rasters[holder]:
                return self.spikes(holder, name, bit.sample)
        if name != "input":
            raise InputError(f"{bit.layer} reads {name}, which neither raster holds")
        if self.driven is None:
            what = "a current drives it" if self.network.current_input else "it reads the input"
            raise InputError(f"{bit.layer}: {what}, which neither raster holds; give the data that it is made of")
        rule = self.rules[which] or self.rules[1 - which]
        return self.driven(bit.sample, rule.network if rule else self.network)

    def _spikes(self, which: int, layer: str, sample: int) -> NDArray[np.bool_]:
        """(T, C, H, W) of one sample in the network's time; none outside of the steps that both rasters have."""
        raster, start = self.pair.rasters[which], self.starts[layer]
        own = start if raster.header.layer_delay else 0
        bits = np.zeros((self.network.timesteps, *raster.layer(layer).shape), np.bool_)
        found = raster.spikes(layer, slice(sample, sample + 1), slice(own, own + self.pair.steps))
        bits[start : start + self.pair.steps] = found[:, 0]
        return bits


def _wiring(network: Network) -> tuple[object, ...]:
    """Which layer reads what, after how many steps."""
    sources = tuple(tuple(each.sources for each in inputs) for inputs in network.inputs)
    return network.raster_names, network.shapes, network.current_input, network.timesteps, sources


def _starts(pair: Pair, network: Network) -> dict[str, int]:
    """Each layer of a network -> its step at which the first step of the rasters stands.

    Raises
    ------
    InputError : if it cannot be the network of the rasters
    """
    for name in pair.layers:
        shape = pair.first.layer(name).shape
        if name not in network.raster_names:
            raise InputError(f"the network has no layer {name!r}")
        if network.raster_shape(name) != shape:
            found = by_sides(network.raster_shape(name))
            raise InputError(f"layer {name!r} is {by_sides(shape)}, in the network it is {found}")
    quick = any(raster.header.layer_delay == 0 for raster in pair.rasters)
    late, ways = network.timesteps - pair.steps, network.to_readout
    if late != (ways["input"] if quick else 0):
        steps = network.timesteps - (ways["input"] if quick else 0)
        raise InputError(f"the rasters have {pair.steps} steps, the network takes {steps}")
    starts = {name: late - ways.get(name, late) if quick else 0 for name in ("input", *network.raster_names)}
    if early := [name for name, start in starts.items() if start < 0]:
        raise InputError(
            f"layer {early[0]!r} is further from the answer than the input is by a shorter way, so that the steps of "
            "rasters without delay between layers cannot be found in those of the network"
        )
    return starts
