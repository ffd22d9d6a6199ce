"""Maximum pooling, which Lava's own `Conv` and `Dense` lack. It adds no delay."""

from __future__ import annotations

from math import prod

import numpy as np

from backends.event.kernels.pooling import pool_currents, pool_spikes
from backends.lava.magma import AbstractProcess, InPort, OutPort, PyLoihiProcessModel, model_of, receives, sends


class SpikePooling(AbstractProcess):
    """Whether any neuron of a window fired.

    Parameters
    ----------
    shape : (H, W, C) of the map
    pool : (y, x) of a window
    flat : whether the ports are flat, as in front of a dense layer

    Ports: `s_in` of `shape` and `s_out` of (H/y, W/x, C), or flat; bool.
    """

    def __init__(self, *, shape: tuple[int, int, int], pool: tuple[int, int], flat: bool, name: str) -> None:
        height, width, channels = shape
        pooled = (height // pool[0], width // pool[1], channels)
        super().__init__(shape=shape, pooled=pooled, pool=pool, name=name)
        self.s_in = InPort(shape=(prod(shape),) if flat else shape)
        self.s_out = OutPort(shape=(prod(pooled),) if flat else pooled)


@model_of(SpikePooling)
class SpikePoolingModel(PyLoihiProcessModel):
    """The kernel of the event backend."""

    s_in = receives(bool)
    s_out = sends(bool)

    def run_spk(self) -> None:
        """Receive a step, pool it, send it on."""
        spikes = np.ascontiguousarray(self.s_in.recv()).reshape(self.proc_params["shape"])
        pooled = np.empty(self.proc_params["pooled"], np.bool_)
        pool_spikes(spikes, self.proc_params["pool"], pooled)
        self.s_out.send(pooled.reshape(self.s_out.shape))


class CurrentPooling(AbstractProcess):
    """The largest current of a window.

    Parameters
    ----------
    shape : (H, W, C) of the currents
    pool : (y, x) of a window

    Ports: `a_in` of `shape`, `a_out` of (H/y, W/x, C).
    """

    def __init__(self, *, shape: tuple[int, ...], pool: tuple[int, int], name: str) -> None:
        height, width, channels = shape
        super().__init__(pool=pool, name=name)
        self.a_in = InPort(shape=shape)
        self.a_out = OutPort(shape=(height // pool[0], width // pool[1], channels))


@model_of(CurrentPooling)
class CurrentPoolingModel(PyLoihiProcessModel):
    """The kernel of the event backend; in fixed point currents are integers that float32 holds."""

    a_in = receives(np.float32)
    a_out = sends(np.float32)

    def run_spk(self) -> None:
        """Receive a step, pool it, send it on."""
        pooled = np.empty(self.a_out.shape, np.float32)
        pool_currents(np.ascontiguousarray(self.a_in.recv(), np.float32), self.proc_params["pool"], pooled)
        self.a_out.send(pooled)
