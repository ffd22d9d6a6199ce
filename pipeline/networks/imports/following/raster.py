"""What neurons of a model were driven by and fired, put together from the calls of their module."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backends.network import NetworkError
from pipeline.networks.libraries.library import SpikingModule

from .stream import Path, Stream


class NotTakenError(NetworkError):
    """The model does not take its input in the way it was called."""


@dataclass(frozen=True, eq=False)
class FollowedLayer:
    """The neurons of a module, as they were driven and as they fired.

    Parameters
    ----------
    name, label : of the module, and for messages
    about : its equation
    path : what led to it
    spikes : (T, B, N) bool
    currents : (T, B, N) float32, what drove it; None where its synapses are part of it
    """

    name: str
    label: str
    about: SpikingModule
    path: Path
    spikes: Tensor
    currents: Tensor | None


class Raster:
    """Spikes of one module of neurons, call by call.

    Parameters
    ----------
    name, label, about : of the module
    samples, timesteps : B and T
    first : what reaches the module; it must stay the same at every step
    """

    def __init__(
        self, name: str, label: str, about: SpikingModule, samples: int, timesteps: int, first: Stream
    ) -> None:
        self.name, self.label, self.about, self.path = name, label, about, first.path
        self.shape = (timesteps, samples, first.size)
        self.calls = 0
        self.spikes = torch.zeros(timesteps * samples * first.size, dtype=torch.bool, device=first.where.device)
        self.currents = torch.zeros(self.spikes.shape, device=first.where.device)
        self.seen = torch.zeros_like(self.spikes)

    def timed(self, stream: Stream) -> Stream:
        """What reaches the module, with its steps; NotTakenError if these are not those that the module takes."""
        timesteps, samples, size = self.shape
        if stream.path != self.path:
            raise NetworkError(
                f"{self.label}: gets what {stream.path.last} gives, and in another call what {self.path.last} gives; "
                "expected one input, and one call per step"
            )
        where, takes = stream.where, self.about.takes
        if where.min() < 0:
            raise NetworkError(f"{self.label}: gets a tensor that was written in part, expected all of it")
        if stream.static and takes not in (None, "B..."):
            axis = next((a for a, side in enumerate(where.shape) if side == timesteps and _constant(where, a)), None)
            if axis is None:
                raise NotTakenError(f"{self.label}: takes all steps in one call, got {tuple(where.shape)} of one step")
            steps = torch.arange(timesteps, device=where.device).view(-1, *[1] * (where.ndim - axis - 1))
            where = where + steps * (samples * size)
        elif stream.static:
            where = where + self.calls * samples * size
        elif takes == "B..." and (stream.steps(samples) != self.calls).any():
            raise NotTakenError(f"{self.label}: takes one step in each call, got others than step {self.calls}")
        self.calls += 1
        if where.max() >= len(self.spikes) or self.seen[where.flatten()].any():
            raise NotTakenError(f"{self.label}: ran more often than once in each of {timesteps} timesteps")
        self.seen[where.flatten()] = True
        return Stream(where, size, stream.path)

    def add(self, where: Tensor, fired: Tensor, current: Tensor | None) -> None:
        """Take what the module gave, which must be bits, and what drove it."""
        if ((fired != 0) & (fired != 1)).any():
            raise NetworkError(
                f"{self.label}: gave values in {fired.min():g} … {fired.max():g}, expected spikes of 0 and 1; graded "
                "spikes and counts cannot be imported"
            )
        self.spikes[where.flatten()] = fired.flatten().bool()
        if current is not None:
            self.currents[where.flatten()] = current.flatten()

    def finished(self) -> FollowedLayer:
        """All steps; NotTakenError if some are missing."""
        if not self.seen.all():
            raise NotTakenError(f"{self.label}: ran for fewer than {self.shape[0]} timesteps, in {self.calls} calls")
        currents = None if self.about.synapse else self.currents.view(self.shape)
        return FollowedLayer(self.name, self.label, self.about, self.path, self.spikes.view(self.shape), currents)


def _constant(where: Tensor, axis: int) -> bool:
    return bool((where == where.narrow(axis, 0, 1)).all())
