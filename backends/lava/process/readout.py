"""Where spikes become an answer: the accumulating readout, with a stock and an event-driven model as a layer has."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from backends.lava.process.layer import channels_last, exact_dense
from backends.network import Shape


class Readout(AbstractProcess):
    """W_out times the spikes of a sample.

    Parameters
    ----------
    weight : (classes, C·H·W) int8 or float32
    shape : (C, H, W) of the last layer
    timesteps : steps of a sample

    Ports: `s_in` (H·W·C,) bool; `r_out` (classes,), sent at a sample's first step: the sum of the sample before.
    """

    def __init__(self, *, weight: NDArray[Any], shape: Shape, timesteps: int) -> None:
        flat = channels_last(weight, shape, pool=1)
        super().__init__(weight=flat, timesteps=timesteps, name="readout")
        self.s_in = InPort(shape=(flat.shape[1],))
        self.r_out = OutPort(shape=(len(flat),))


@implements(proc=Readout, protocol=LoihiProtocol)
class StockReadout(AbstractSubProcessModel):
    """Lava's `Dense`, then an accumulator."""

    def __init__(self, process: Readout) -> None:
        self.synapses = exact_dense(process.proc_params["weight"], "readout_synapses")
        self.accumulator = Accumulator(
            shape=process.r_out.shape, timesteps=process.proc_params["timesteps"], name="accumulator"
        )
        process.s_in.connect(self.synapses.s_in)
        self.synapses.a_out.connect(self.accumulator.a_in)
        self.accumulator.r_out.connect(process.r_out)


@implements(proc=Readout, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class EventReadoutFixed(PyLoihiProcessModel):
    """Counts the spikes of a sample and multiplies once, in float64, which holds every sum exactly."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool)
    r_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    result_type: Any = np.int32

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.timesteps = proc_params["timesteps"]
        self.weight = proc_params["weight"].astype(np.float64)
        self.counts = np.zeros(self.weight.shape[1], np.int64)

    def run_spk(self) -> None:
        """Send the sums of the sample before where a sample begins; count this step's spikes."""
        if (self.time_step - 1) % self.timesteps == 0:
            self.r_out.send((self.weight @ self.counts).astype(self.result_type))
            self.counts[:] = 0
        self.counts += self.s_in.recv()


@implements(proc=Readout, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class EventReadoutFloat(EventReadoutFixed):
    """The readout in float32: sums in float64, rounded once."""

    r_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.float32)
    result_type = np.float32


class Accumulator(AbstractProcess):
    """Sums its input over a sample. The current in flight at a sample's first step still belongs to the sample before.

    Ports: `a_in` of `shape`; `r_out` of `shape`, sent at a sample's first step.
    """

    def __init__(self, *, shape: tuple[int, ...], timesteps: int, name: str) -> None:
        super().__init__(timesteps=timesteps, name=name)
        self.a_in = InPort(shape=shape)
        self.r_out = OutPort(shape=shape)
        self.total = Var(shape=shape, init=0)


@implements(proc=Accumulator, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class AccumulatorFixed(PyLoihiProcessModel):
    """int32 sums."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    r_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    total: NDArray[Any] = LavaPyType(np.ndarray, np.int32)

    def run_spk(self) -> None:
        """Add; where a sample begins, send and begin again."""
        self.total += self.a_in.recv().astype(self.total.dtype, copy=False)
        if (self.time_step - 1) % self.proc_params["timesteps"] == 0:
            self.r_out.send(self.total)
            self.total[:] = 0


@implements(proc=Accumulator, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class AccumulatorFloat(AccumulatorFixed):
    """float32 sums."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.float32)
    r_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.float32)
    total: NDArray[Any] = LavaPyType(np.ndarray, np.float32)
