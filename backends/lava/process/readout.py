"""The readout, which accumulates spikes into an answer, with a stock and an event-driven model as a
layer has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.lava._magma import (
    AbstractProcess,
    AbstractSubProcessModel,
    PyLoihiProcessModel,
    add_ports,
    model_of,
)
from spikesam.backends.lava.process.stock import dense_weights, exact_dense
from spikesam.backends.network import Readout, Shape
from spikesam.backends.readout import ReadoutIntegrator, integrate, rounded


class ReadoutProcess(AbstractProcess):
    """Integrates a sample's spikes of the last layer, (C, H, W); see
    :class:`spikesam.backends.network.Readout`.

    Ports: `s_in` (H·W·C,) bool; `r_out` (classes,), sent at a sample's first step: the sum of the
    sample before, in float64, which holds the int32 of fixed point and the float32 of other
    networks.
    """

    def __init__(self, *, readout: Readout, shape: Shape, timesteps: int) -> None:
        flat = replace(readout, weight=dense_weights(readout.weight, shape, pool=(1, 1)))
        super().__init__(readout=flat, timesteps=timesteps, name="readout")
        classes, neurons = flat.weight.shape
        add_ports(self, {"s_in": (bool, (neurons,))}, {"r_out": (np.float64, (classes,))})


@model_of(ReadoutProcess)
class StockReadout(AbstractSubProcessModel):
    """Lava's `Dense`, then an accumulator."""

    def __init__(self, process: ReadoutProcess) -> None:
        readout, timesteps = process.proc_params["readout"], process.proc_params["timesteps"]
        self.synapses = exact_dense(readout.weight, 0, "readout_synapses")
        self.accumulator = Accumulator(readout=readout, timesteps=timesteps, name="accumulator")
        process.s_in.connect(self.synapses.s_in)
        self.synapses.a_out.connect(self.accumulator.a_in)
        self.accumulator.r_out.connect(process.r_out)


@model_of(ReadoutProcess)
class EventReadout(PyLoihiProcessModel):
    """:class:`spikesam.backends.readout.ReadoutIntegrator`, one step at a time."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.integrator = ReadoutIntegrator(proc_params["readout"], proc_params["timesteps"])

    def run_spk(self) -> None:
        """Send the sums of the sample before where a sample begins; take this step's spikes."""
        if (self.time_step - 1) % self.proc_params["timesteps"] == 0:
            self.r_out.send(self.integrator.result())
            self.integrator.rest()
        self.integrator.add(self.s_in.recv()[None])


class Accumulator(AbstractProcess):
    """Integrates `a_in` (classes,) with leak and bias; `r_out` is sent at the first step of the
    next sample.
    """

    def __init__(self, *, readout: Readout, timesteps: int, name: str) -> None:
        super().__init__(readout=readout, timesteps=timesteps, name=name)
        sums = np.float64, (len(readout.weight),)
        add_ports(self, {"a_in": sums}, {"r_out": sums})


@model_of(Accumulator)
class AccumulatorModel(PyLoihiProcessModel):
    """Sums in float64, rounded once."""

    sums: NDArray[Any] = np.zeros(())

    def run_spk(self) -> None:
        """Integrate; where a sample begins, send and begin again."""
        readout, timesteps = self.proc_params["readout"], self.proc_params["timesteps"]
        self.sums = integrate(
            readout, self.a_in.recv()[None], self.sums, (self.time_step - 2) % timesteps
        )
        if (self.time_step - 1) % timesteps == 0:
            self.r_out.send(rounded(readout, self.sums))
            self.sums = np.zeros(())
