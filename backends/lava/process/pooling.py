"""Maximum pooling, which Lava's own `Conv` and `Dense` lack. It adds no delay."""

from __future__ import annotations

import numpy as np

from spikesam.backends.event.kernels import pooling
from spikesam.backends.event.kernels.compiled import entry
from spikesam.backends.lava.magma import (
    AbstractProcess,
    InPort,
    OutPort,
    PyLoihiProcessModel,
    model_of,
    receives,
    sends,
)
from spikesam.backends.network import Windows

pool_currents, pool_spikes = entry(pooling.pool_currents), entry(pooling.pool_spikes)


class SpikePooling(AbstractProcess):
    """The OR of each window (y, x) of spikes; ports `s_in` of (H, W, C) and `s_out` of (H/y, W/x, C), bool."""

    def __init__(self, *, shape: tuple[int, int, int], pool: tuple[int, int], name: str) -> None:
        height, width, channels = shape
        pooled = (height // pool[0], width // pool[1], channels)
        super().__init__(pool=pool, name=name)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=pooled)


@model_of(SpikePooling)
class SpikePoolingModel(PyLoihiProcessModel):
    """The kernel of the event backend."""

    s_in = receives(bool)
    s_out = sends(bool)

    def run_spk(self) -> None:
        """Receive a step, pool it, send it on."""
        pooled = np.empty(self.s_out.shape, np.bool_)
        pool_spikes(np.ascontiguousarray(self.s_in.recv(), np.bool_), self.proc_params["pool"], pooled)
        self.s_out.send(pooled)


class CurrentPooling(AbstractProcess):
    """The largest current of each window; ports `a_in` of (H, W, C) and `a_out` of (H', W', C), (1, 1, C) if summed."""

    def __init__(self, *, shape: tuple[int, ...], windows: Windows, summed: bool, name: str) -> None:
        super().__init__(windows=windows, name=name)
        self.a_in = InPort(shape=shape)
        self.a_out = OutPort(shape=(*((1, 1) if summed else windows.fit(shape[:2])), shape[2]))


@model_of(CurrentPooling)
class CurrentPoolingModel(PyLoihiProcessModel):
    """The kernel of the event backend; in fixed point currents are integers that float32 holds."""

    a_in = receives(np.float32)
    a_out = sends(np.float32)

    def run_spk(self) -> None:
        """Receive a step, pool it, send it on."""
        pooled = np.empty(self.a_out.shape, np.float32)
        pool_currents(np.ascontiguousarray(self.a_in.recv(), np.float32), self.proc_params["windows"], pooled)
        self.a_out.send(pooled)
