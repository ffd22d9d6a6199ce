"""Currents and spikes of a model's neurons, put together from the calls of their module."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from spikesam.backends.network import LIF, NetworkError, ReLU, Shape
from spikesam.pipeline.imports.libraries.library import SpikingModule, Takes
from spikesam.pipeline.imports.road.operations import Junction, Operation, Path, Scale
from spikesam.pipeline.imports.torch.stream import (
    Stream,
    agreed,
    differing_weights,
    in_time,
    steps_present,
    unchanging,
)


class NotTakenError(NetworkError):
    """The model does not take its input in the way it was called."""


@dataclass(frozen=True, eq=False)
class FollowedLayer:
    """The neurons of a module, called `label` in messages, as they were driven and as they fired."""

    name: str
    label: str
    about: SpikingModule  # its equation
    path: Path  # what led to it
    shape: Shape  # (C, H, W), as its tensors say
    spikes: Tensor  # (T, B, N) bool; of ReLU, its activations in float32
    currents: Tensor | None  # (T, B, N) float32, what drove it; None where its synapses are part of it
    call: int = 0  # which call of the model gives its activations, sample by sample; 0 if none does, see `WatchedCalls`


class Raster:
    """Spikes of a module of neurons, call by call: `timesteps` T of `samples` B; `first` is what reaches it."""

    def __init__(
        self, name: str, label: str, about: SpikingModule, samples: int, timesteps: int, first: Stream
    ) -> None:
        self.name, self.label, self.about = name, label, about
        self.path, self.steps = first.path.later(0, timesteps), frozenset[int]()
        self.shape = (timesteps, samples, first.size)
        self.call = 0
        self.map = _map_shape(first, about.takes)
        self.calls = 0
        count, device = timesteps * samples * first.size, first.where.device
        self.spikes = torch.zeros(count, dtype=torch.float32 if self.rectified else torch.bool, device=device)
        self.currents: Tensor | None = torch.zeros(count, dtype=torch.float32, device=device)
        self.seen = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def rectified(self) -> bool:
        """True if it is not of spikes, but of what ReLU gives."""
        return isinstance(self.about.neuron, ReLU)

    def timed(self, stream: Stream) -> Stream:
        """The input of the module, with its steps; NotTakenError if these are not those that the module takes."""
        timesteps, samples, size = self.shape
        where, takes, late = stream.where, self.about.takes, 0
        if where.min() < 0:
            raise NetworkError(f"{self.label}: gets a tensor that was written in part, expected all of it")
        if stream.static and takes not in (None, "B..."):
            axis = next((a for a, side in enumerate(where.shape) if side == timesteps and unchanging(where, a)), None)
            if axis is None:
                raise NotTakenError(f"{self.label}: takes all steps in one call, got {tuple(where.shape)} of one step")
            where = in_time(where, axis, samples * size)
        elif stream.static:
            where = where + self.calls * samples * size
        elif takes == "B...":
            lag = self.calls - stream.steps(samples)
            if lag.min() < 0 or (lag != lag.flatten()[0]).any():
                raise NotTakenError(f"{self.label}: takes one step in each call, got others than step {self.calls}")
            late = int(lag.flatten()[0])
            where = where + late * samples * size
        steps = self.steps, steps_present(where, samples * size)
        path = agreed(self.path, stream.path.later(late, timesteps), steps)
        if path is None and agreed(self.path, stream.path, steps):
            raise NotTakenError(f"{self.label}: takes one step in each call, got others than step {self.calls}")
        if path is None and (weights := differing_weights(self.path, stream.path)):
            raise NetworkError(
                f"{self.label}: is driven through {weights[0]} at one step, and through {weights[1]} at another; "
                "expected the same weights at every step, where only gains and biases can differ"
            )
        if path is None:
            raise NetworkError(
                f"{self.label}: gets what {stream.path.last} gives, and in another call what {self.path.last} gives; "
                "expected one input, and one call per step"
            )
        self.path, self.steps = path, self.steps | steps[1]
        self.calls += 1
        if where.max() >= len(self.spikes) or self.seen[where.flatten()].any():
            raise NotTakenError(f"{self.label}: ran more often than once in each of {timesteps} timesteps")
        self.seen[where.flatten()] = True
        return Stream(where, size, path)

    def add(self, where: Tensor, fired: Tensor, current: Tensor | None) -> None:
        """Take what the module gave, which must be bits but of ReLU, and what drove it."""
        if not self.rectified and ((fired != 0) & (fired != 1)).any():
            raise NetworkError(
                f"{self.label}: gave values in {fired.min():g} … {fired.max():g}, expected spikes of 0 and 1; graded "
                "spikes and counts cannot be imported"
            )
        self.spikes[where.flatten()] = fired.flatten().to(self.spikes.dtype)
        if current is None:
            self.currents = None
        elif self.currents is not None:
            self.currents[where.flatten()] = current.flatten().float()

    def finished(self) -> FollowedLayer:
        """All steps; NotTakenError if some are missing."""
        if not self.seen.all():
            raise NotTakenError(f"{self.label}: ran for fewer than {self.shape[0]} timesteps, in {self.calls} calls")
        path, recurrent, neuron = self.path, self.about.recurrent, self.about.neuron
        if recurrent is not None:
            weights = Operation(f"{self.label}: its recurrent weights", recurrent)
            path = Path(Junction(self.label, "sum", (path, Path(self.name, (weights,), 1))), lag=None)
        if self.about.others and self.shape[0] > 1 and isinstance(neuron, LIF) and neuron.reset == "subtract":
            less = (Operation(f"{self.label}: its reset", Scale(-neuron.subtracted / self.about.gain)),)
            back = (Path(other, less, 1) for other in self.about.others)
            path = Path(Junction(self.label, "sum", (path, *back)), lag=None)
        currents = None if self.currents is None or recurrent else self.currents.view(self.shape)
        spikes = self.spikes.view(self.shape)
        return FollowedLayer(self.name, self.label, self.about, path, self.map, spikes, currents, self.call)


def _map_shape(stream: Stream, takes: Takes | None) -> Shape:
    """(C, H, W) of a sample, whose axes are the last ones of its tensors, or stand in front of the steps."""
    shape = stream.where.shape[:-1] if takes == "B...T" else stream.where.shape
    leading = [2] if takes in ("TB...", "BT...") else [1] if takes else range(len(shape) - 1, 0, -1)
    found = next((shape[axes:] for axes in leading if prod(shape[axes:]) == stream.size), ())
    channels, *sides = found if 1 <= len(found) <= 3 else (stream.size,)
    height, width = (*[1] * (2 - len(sides)), *sides) if sides else (1, 1)
    return channels, height, width
