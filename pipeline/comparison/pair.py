"""Two rasters of the same samples, step beside step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.common.errors import InputError, at
from spikesam.recordings.digests import spike_counts
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.schema import find_layer

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Bit:
    """A spike that one raster has and the other has not.

    Parameters
    ----------
    layer : its name
    sample : position of the sample in the rasters
    step : of the raster with fewer steps
    neuron : (channel, row, column)
    fired : whether the neuron fires in the first raster
    """

    layer: str
    sample: int
    step: int
    neuron: Place
    fired: bool


@dataclass(frozen=True, eq=False)
class RasterPair:
    """Two open rasters whose layers, `steps` and samples are beside each other.

    Where one alone passes spikes on a step later in each layer, `shifts` has layer -> its first of
    these steps.
    """

    first: RasterReader
    second: RasterReader
    layers: tuple[str, ...]
    steps: int
    shifts: tuple[dict[str, int], dict[str, int]]

    @property
    def rasters(self) -> tuple[RasterReader, RasterReader]:
        """Both."""
        return self.first, self.second

    def packed(self, layer: str, sample: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """(steps, bytes) of one sample in each raster."""
        first, second = (
            raster.packed(layer, sample)[shift[layer] : shift[layer] + self.steps]
            for raster, shift in zip(self.rasters, self.shifts, strict=True)
        )
        return first, second


def line_up(first: RasterReader, second: RasterReader, *, same_index: bool = True) -> RasterPair:
    """Put two rasters beside each other, of the same samples (positions, too, if `same_index`),
    steps and shapes.
    """
    first_name, second_name = first.file_name, second.file_name
    if first_name == second_name:  # both are in memory
        first_name, second_name = f"{first_name} (first)", f"{second_name} (second)"
    if first.n_samples != second.n_samples:
        samples = f"{second.n_samples} sample{'s' * (second.n_samples != 1)}"
        raise InputError(
            f"{second_name}: holds {samples}, expected {first.n_samples}, as {first_name} does"
        )
    if same_index and (wrong := np.flatnonzero(first.samples.index != second.samples.index)).size:
        position = int(wrong[0])
        raise InputError(
            f"{second_name}: sample {position} is number {second.samples.index[position]} of its "
            f"data, in {first_name} it "
            f"is number {first.samples.index[position]}; expected the same samples in the same "
            "order"
        )
    layers = tuple(name for name in first if name in second)
    if not layers:
        raise InputError(
            f"{second_name}: holds layers {', '.join(second)}, expected some of those of "
            f"{first_name}: {', '.join(first)}"
        )
    for name in layers:
        shapes = [raster.layer(name).shape for raster in (first, second)]
        if shapes[0] != shapes[1]:
            shape_of_second, shape_of_first = (
                "×".join(map(str, shape)) for shape in reversed(shapes)
            )
            raise InputError(
                f"{second_name}: layer {name!r} is {shape_of_second}, expected {shape_of_first}, "
                f"as in {first_name}"
            )
    delays = [raster.header.layer_delay for raster in (first, second)]
    here = dict.fromkeys(layers, 0)
    if delays[0] == delays[1]:
        if first.timesteps != second.timesteps:
            raise InputError(
                f"{second_name}: has {second.timesteps} steps, expected {first.timesteps}, as "
                f"{first_name} has"
            )
        return RasterPair(first, second, layers, first.timesteps, (here, here))
    slow, quick = (first, second) if delays[0] else (second, first)
    late = arrivals(slow, quick.timesteps)
    if late is None:
        slow_name, quick_name = (
            (first_name, second_name) if slow is first else (second_name, first_name)
        )
        raise InputError(
            f"{slow_name}: passes spikes on a step later in each layer and has {slow.timesteps} "
            f"steps, {quick_name} in the same step and has {quick.timesteps}; expected so many "
            "more as the last layer is "
            "deep. If neither or both do, say so where they are recorded: layer_delay"
        )
    shifts = {name: late[name] for name in layers}
    return RasterPair(
        first, second, layers, quick.timesteps, (shifts, here) if slow is first else (here, shifts)
    )


def arrivals(slow: RasterReader, steps: int) -> dict[str, int] | None:
    """Each layer of a raster with a step a layer -> the step at which it sees an input of `steps`,
    if that fits.
    """
    last, extra = slow.layers[-1], slow.timesteps - steps
    starts = {layer.name: layer.start for layer in slow.layers}
    arrival_steps = {
        layer.name: extra
        - (last.number - layer.number if layer.to_readout is None else layer.to_readout)
        if (start := starts[layer.name]) is None
        else start
        for layer in slow.layers
    }
    fits = all(
        (step == 0) if slow.layer(name).number == 0 else step > 0
        for name, step in arrival_steps.items()
    )
    chain = last.to_readout is not None or extra == last.number
    return arrival_steps if fits and chain else None


class Differences:
    """Bits that differ: `only` (2, layers, steps) in one raster alone, `spikes` (2, layers) of
    each, of all samples.
    """

    def __init__(self, pair: RasterPair) -> None:
        self.pair = pair
        self.only = np.zeros((2, len(pair.layers), pair.steps), np.int64)
        self.spikes = np.zeros((2, len(pair.layers)), np.int64)
        self._firsts: list[Bit] = []  # of each layer in each sample
        for sample in range(pair.first.n_samples):
            for number, layer in enumerate(pair.layers):
                self._count(sample, number, layer)

    def _count(self, sample: int, number: int, layer: str) -> None:
        bits = self.pair.packed(layer, sample)
        common_bits = bits[0] & bits[1]
        for side, packed in enumerate(bits):
            counts = spike_counts(packed).astype(np.int64)
            self.spikes[side, number] += counts.sum()
            self.only[side, number] += counts - spike_counts(common_bits)
        differ = bits[0] ^ bits[1]
        if (steps := np.flatnonzero(differ.any(axis=1))).size:
            step, shape = int(steps[0]), self.pair.first.layer(layer).shape
            neuron = int(np.unpackbits(differ[step]).argmax())
            channel, row, column = map(int, np.unravel_index(neuron, shape))
            fired = bool(np.unpackbits(bits[0][step])[neuron])
            self._firsts.append(Bit(layer, sample, step, (channel, row, column), fired))

    def firsts(self, layer: str | int | None = None, sample: int | None = None) -> Iterator[Bit]:
        """The bits that differ first in each layer and sample, or in those given, the earliest and
        shallowest first.
        """
        name = None
        if layer is not None:
            numbers = {
                name_in_pair: self.pair.first.layer(name_in_pair).number
                for name_in_pair in self.pair.layers
            }
            with at("layer"):
                name = find_layer(layer, numbers)
        order = {name_in_pair: place for place, name_in_pair in enumerate(self.pair.layers)}
        chosen = [
            bit
            for bit in self._firsts
            if bit.layer == (name or bit.layer) and sample in (None, bit.sample)
        ]
        yield from sorted(chosen, key=lambda bit: (bit.step, order[bit.layer], bit.sample))

    def table(self) -> pd.DataFrame:
        """A row per layer and step: layer, step, only_first, only_second (spikes, over all
        samples).
        """
        layers, steps = self.only.shape[1:]
        return pd.DataFrame(
            {
                "layer": np.repeat(self.pair.layers, steps),
                "step": np.tile(np.arange(steps), layers),
                "only_first": self.only[0].ravel(),
                "only_second": self.only[1].ravel(),
            }
        )
