"""Two rasters of the same samples, step beside step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader

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
class Pair:
    """Two open rasters whose layers, samples and steps are beside each other.

    Where only one of them passes spikes on a step later in each layer, its layers stand so many steps later as they are
    deep, and it has so many steps more.

    Parameters
    ----------
    first, second : the rasters
    layers : names of those that both hold, in order of depth
    steps : that both have
    shifts : of each raster, layer -> where its first of these steps stands
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


def line_up(first: RasterReader, second: RasterReader, *, same_index: bool = True) -> Pair:
    """Put two rasters beside each other.

    Parameters
    ----------
    same_index : whether samples must have the same positions in their data set

    Raises
    ------
    InputError : if they do not hold the same samples, or steps, or a layer has two shapes
    """
    one, other = first.where, second.where
    if first.n_samples != second.n_samples:
        raise InputError(f"{other}: holds {second.n_samples} samples, expected {first.n_samples}, as {one} does")
    if same_index and (wrong := np.flatnonzero(first.samples.index != second.samples.index)).size:
        at = int(wrong[0])
        raise InputError(
            f"{other}: sample {at} is number {second.samples.index[at]} of its data, in {one} it is number "
            f"{first.samples.index[at]}; expected the same samples in the same order"
        )
    layers = tuple(name for name in first if name in second)
    if not layers:
        raise InputError(
            f"{other}: holds layers {', '.join(second)}, expected some of those of {one}: {', '.join(first)}"
        )
    for name in layers:
        shapes = [raster.layer(name).shape for raster in (first, second)]
        if shapes[0] != shapes[1]:
            found, expected = ("×".join(map(str, shape)) for shape in reversed(shapes))
            raise InputError(f"{other}: layer {name!r} is {found}, expected {expected}, as in {one}")
    delays = [raster.header.layer_delay for raster in (first, second)]
    here = dict.fromkeys(layers, 0)
    if delays[0] == delays[1]:
        if first.timesteps != second.timesteps:
            raise InputError(f"{other}: has {second.timesteps} steps, expected {first.timesteps}, as {one} has")
        return Pair(first, second, layers, first.timesteps, (here, here))
    slow, quick = (first, second) if delays[0] else (second, first)
    late = arrivals(slow, quick.timesteps)
    if late is None:
        raise InputError(
            f"{slow.where}: passes spikes on a step later in each layer and has {slow.timesteps} steps, "
            f"{quick.where} in the same step and has {quick.timesteps}; expected so many more as the last layer is "
            "deep. If neither or both do, say so where they are recorded: layer_delay"
        )
    shifts = {name: late[name] for name in layers}
    return Pair(first, second, layers, quick.timesteps, (shifts, here) if slow is first else (here, shifts))


def arrivals(slow: RasterReader, steps: int) -> dict[str, int] | None:
    """Each layer -> the step at which it can first see an input of so many steps; None if these do not fit.

    Parameters
    ----------
    slow : whose layers pass spikes on a step later
    """
    last, extra = slow.layers[-1], slow.timesteps - steps
    found = {
        layer.name: extra - (last.number - layer.number if layer.to_readout is None else layer.to_readout)
        for layer in slow.layers
    }
    fits = all((at == 0) if slow.layer(name).number == 0 else at > 0 for name, at in found.items())
    chain = last.to_readout is not None or extra == last.number
    return found if fits and chain else None
