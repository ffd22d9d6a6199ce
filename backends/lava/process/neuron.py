"""The neurons of a network, as a Lava Process.

Stock Lava `LIF` can neither reset by subtraction nor change its gain with the steps, so this is a neuron of our own. It
is a simulation: a gain that changes with every step is nothing Loihi silicon offers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from backends.event.kernels.layer import advance
from backends.event.kernels.neurons import dynamics_of
from backends.lava.process.recorder import MESSAGE_STEPS, ends_message
from backends.network import FixedLIF, SpikingNeuron
from backends.trace import GradedSpikes, SpikeTrace


class LIFNeurons(AbstractProcess):
    """A layer of neurons; the equations are those of :class:`backends.network.LIF` and `FixedLIF`.

    Parameters
    ----------
    shape : (H, W, C) or (C,) — channels last
    timesteps : steps of a sample; at the first one the state is zeroed and `a_in`, which belongs to the sample before,
        is ignored
    neuron : type and constants of the neurons
    trace : constants of the traces that spikes carry, if any; in fixed point only

    Ports: `a_in` of `shape`; `s_out` of `shape`, bool; `p_out` of `shape`, the same spikes graded, sent if there is a
    trace; `bits_out`, spikes packed to bits in C-order (C, H, W), a message where :func:`~.recorder.ends_message`.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        timesteps: int,
        neuron: SpikingNeuron,
        trace: SpikeTrace | None,
        name: str,
    ) -> None:
        super().__init__(shape=shape, timesteps=timesteps, neuron=neuron, trace=trace, name=name)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.p_out = OutPort(shape=shape)
        self.bits_out = OutPort(shape=(MESSAGE_STEPS, -(-int(np.prod(shape)) // 8)))


@implements(proc=LIFNeurons, protocol=LoihiProtocol)
@requires(CPU)
class LIFNeuronsModel(PyLoihiProcessModel):
    """The kernel of all backends, one step at a time; in fixed point currents are integers that float32 holds."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.float32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool)
    p_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    bits_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        neuron, trace, shape = proc_params["neuron"], proc_params["trace"], proc_params["shape"]
        self.dynamics = dynamics_of(neuron)
        self.graded = GradedSpikes(trace) if trace else None
        dtype = np.int32 if isinstance(neuron, FixedLIF) else np.float32
        maps = (-1, 1, shape[-1])
        self.membrane, self.synaptic = np.zeros(shape, dtype).reshape(maps), np.zeros(shape, dtype).reshape(maps)
        self.spikes = np.zeros(shape, np.bool_)
        self.bits = np.zeros((MESSAGE_STEPS, -(-self.spikes.size // 8)), np.uint8)

    def run_spk(self) -> None:
        """Receive currents, advance, send spikes."""
        t, timesteps = (self.time_step - 1) % self.proc_params["timesteps"], self.proc_params["timesteps"]
        current = self.a_in.recv().astype(self.membrane.dtype, copy=False).reshape(self.membrane.shape)
        fired = self.spikes.reshape(self.membrane.shape)
        advance(t, self.dynamics, current, self.membrane, self.synaptic, fired, self.bits[t % MESSAGE_STEPS])
        self.s_out.send(self.spikes)
        if self.graded:
            self.p_out.send(self.graded.step(t, self.spikes))
        if ends_message(t, timesteps):
            self.bits_out.send(self.bits)
