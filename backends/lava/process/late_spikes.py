"""Spikes that arrive some steps after they were fired, and what an input makes of them without weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.lava.magma import AbstractProcess, OutPort, PyLoihiProcessModel, add_in_ports, model_of, sends
from spikesam.backends.network import Input, Source
from spikesam.backends.network.step import attended, repeated


class LateSpikes:
    """The last `steps` spikes of a layer of some `shape`."""

    def __init__(self, steps: int, shape: tuple[int, ...]) -> None:
        self._silence = np.zeros(shape, np.bool_)
        self._kept = [self._silence] * steps

    def add(self, t: int, spikes: NDArray[np.bool_]) -> None:
        """Take the spikes of step t of a sample; those of t - steps are forgotten."""
        self._kept[t % len(self._kept)] = spikes

    def at(self, t: int) -> NDArray[np.bool_]:
        """The spikes of one of the last steps of this sample; silence before its first step."""
        return self._kept[t % len(self._kept)] if t >= 0 else self._silence

    def arriving(self, source: Source, t: int) -> NDArray[np.bool_]:
        """The spikes of a source that arrive at a step."""
        found: NDArray[np.bool_] = source.arriving(lambda delay: self.at(t - delay), -1)
        return found


class SpikeSum(AbstractProcess):
    """The spikes that arrive at an input at a step: those of its sources, added or subtracted, then spread.

    `ahead` is 1 in front of synapses, which take a step themselves, so that it sends what arrives at the next step; 0
    if it sends what arrives at this step, before it receives this step's spikes. Ports: `in_0`, `in_1`, …, bool, one
    for each source, of `shapes` (H, W, C), and `x_out`, int8, of the shape that the input sees.
    """

    def __init__(
        self, *, given: Input, shapes: Sequence[tuple[int, int, int]], timesteps: int, ahead: int, name: str
    ) -> None:
        super().__init__(given=given, shapes=shapes, timesteps=timesteps, ahead=ahead, name=name)
        add_in_ports(self, {f"in_{number}": (np.bool_, shape) for number, shape in enumerate(shapes)})
        height, width, channels = shapes[0]
        seen = given.arriving((channels, height, width))
        self.x_out = OutPort(shape=(*seen[1:], given.values(seen[0]) if given.heads else seen[0]))


class SpikeProducts(SpikeSum):
    """The attention that acts at a step, q · kᵀ · v; `x_out` is float32, which holds these integers."""


class _LateModel(PyLoihiProcessModel):
    """Keeps as many steps of each source as it is late."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.given, self.ahead = proc_params["given"], proc_params["ahead"]
        sources = zip(self.given.sources, proc_params["shapes"], strict=True)
        self.late = [LateSpikes(source.longest, shape) for source, shape in sources]

    def run_spk(self) -> None:
        """Receive a step and send the next, or the other way round."""
        t = (self.time_step - 1) % self.proc_params["timesteps"]
        if not self.ahead:
            self._send(t)
        for number, late in enumerate(self.late):
            late.add(t, getattr(self, f"in_{number}").recv())
        if self.ahead:
            self._send(t + 1)

    def _send(self, t: int) -> None:
        """Send what arrives at step t of the sample."""
        fired = zip(self.given.sources, self.late, strict=True)
        maps = [np.moveaxis(np.int8(source.sign) * late.arriving(source, t), -1, 0) for source, late in fired]
        self.x_out.send(np.ascontiguousarray(np.moveaxis(self.made_of(maps), 0, -1)))

    def made_of(self, maps: list[NDArray[np.int8]]) -> NDArray[Any]:
        """What is sent of the spikes of each source: (C, H, W) -> (C', H', W')."""
        raise NotImplementedError


@model_of(SpikeSum)
class SpikeSumModel(_LateModel):
    """int8 output."""

    x_out = sends(np.int8)

    def made_of(self, maps: list[NDArray[np.int8]]) -> NDArray[np.int8]:
        """Their sum, spread."""
        return repeated(sum(maps[1:], maps[0]), self.given.spread)


@model_of(SpikeProducts)
class SpikeProductsModel(_LateModel):
    """float32 output."""

    x_out = sends(np.float32)

    def made_of(self, maps: list[NDArray[np.int8]]) -> NDArray[np.float32]:
        """Their products."""
        sums = [sum(more, first) for first, *more in self.given.summands(maps)]
        return attended(self.given, np.concatenate(sums)).astype(np.float32)
