"""Spikes that arrive some steps after they were fired, and their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.lava.magma import AbstractProcess, OutPort, PyLoihiProcessModel, add_in_ports, model_of, sends
from spikesam.backends.network import Source


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


class SpikeSum(AbstractProcess):
    """The spikes that arrive at an input at a step: those of its sources, added or subtracted.

    `ahead` is 1 in front of synapses, which take a step themselves, so that it sends what arrives at the next step; 0
    if it sends what arrives at this step, before it receives this step's spikes. Ports: `in_0`, `in_1`, …, bool, one
    for each source, and `x_out`, int8, all of `shape`.
    """

    def __init__(
        self, *, sources: Sequence[Source], shape: tuple[int, ...], timesteps: int, ahead: int, name: str
    ) -> None:
        super().__init__(sources=sources, shape=shape, timesteps=timesteps, ahead=ahead, name=name)
        add_in_ports(self, {f"in_{number}": (np.bool_, shape) for number in range(len(sources))})
        self.x_out = OutPort(shape=shape)


@model_of(SpikeSum)
class SpikeSumModel(PyLoihiProcessModel):
    """Keeps as many steps of each source as it is late."""

    x_out = sends(np.int8)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.sources, self.ahead = proc_params["sources"], proc_params["ahead"]
        self.late = [LateSpikes(source.delay, proc_params["shape"]) for source in self.sources]

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
        total = np.zeros(self.proc_params["shape"], np.int8)
        for source, late in zip(self.sources, self.late, strict=True):
            total += source.sign * late.at(t - source.delay)
        self.x_out.send(total)
