"""The neurons of a network, as a Lava Process.

Stock Lava `LIF` can neither reset by subtraction nor change its gain with the steps, so this is a neuron of our own. It
is a simulation: a gain that changes with every step is nothing Loihi silicon offers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from backends.event.kernels.layer import advance
from backends.event.kernels.neurons import dynamics_of
from backends.lava.process.recorder import MESSAGE_STEPS, ends_message
from backends.network import Layer, Shape, SpikingNeuron
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
        trace: SpikeTrace | None = None,
        name: str,
    ) -> None:
        super().__init__(timesteps=timesteps, neuron=neuron, trace=trace, name=name)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.p_out = OutPort(shape=shape)
        self.bits_out = OutPort(shape=(MESSAGE_STEPS, -(-int(np.prod(shape)) // 8)))
        self.membrane = Var(shape=shape, init=0)
        self.synaptic = Var(shape=shape, init=0)
        self.spikes = Var(shape=shape, init=0)
        self.bits = Var(shape=self.bits_out.shape, init=0)


class AbstractLIFNeuronsModel(PyLoihiProcessModel):
    """Base of both precisions: the kernel of all backends, one step at a time."""

    current_type: type

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.dynamics = dynamics_of(proc_params["neuron"])
        self.graded = GradedSpikes(proc_params["trace"]) if proc_params["trace"] else None

    def run_spk(self) -> None:
        """Receive currents, advance, send spikes."""
        current = self.a_in.recv().astype(self.current_type, copy=False)
        t = (self.time_step - 1) % self.proc_params["timesteps"]
        channels = self.dynamics.neurons.gain.shape[1]
        maps = (array.reshape(-1, 1, channels) for array in (current, self.membrane, self.synaptic, self.spikes))
        advance(t, self.dynamics, *maps, self.bits[t % MESSAGE_STEPS])
        self.s_out.send(self.spikes)
        if self.graded:
            self.p_out.send(self.graded.step(t, self.spikes))
        if ends_message(t, self.proc_params["timesteps"]):
            self.bits_out.send(self.bits)


@implements(proc=LIFNeurons, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class LIFNeuronsModelFixed(AbstractLIFNeuronsModel):
    """Integers only."""

    current_type = np.int32
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool)
    p_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    bits_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8)
    synaptic: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    membrane: NDArray[np.int32] = LavaPyType(np.ndarray, np.int32)
    spikes: NDArray[np.bool_] = LavaPyType(np.ndarray, bool)
    bits: NDArray[np.uint8] = LavaPyType(np.ndarray, np.uint8)


@implements(proc=LIFNeurons, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class LIFNeuronsModelFloat(AbstractLIFNeuronsModel):
    """float32 throughout."""

    current_type = np.float32
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.float32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool)
    p_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    bits_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8)
    synaptic: NDArray[np.float32] = LavaPyType(np.ndarray, np.float32)
    membrane: NDArray[np.float32] = LavaPyType(np.ndarray, np.float32)
    spikes: NDArray[np.bool_] = LavaPyType(np.ndarray, bool)
    bits: NDArray[np.uint8] = LavaPyType(np.ndarray, np.uint8)


def neurons_of(layer: Layer, shape: Shape, timesteps: int, trace: SpikeTrace | None = None) -> LIFNeurons:
    """The neurons of a layer whose input is (C, H, W)."""
    neuron, form = layer.spiking_neuron, layout(layer, shape)
    return LIFNeurons(shape=form, timesteps=timesteps, neuron=neuron, trace=trace, name=layer.name)


def layout(layer: Layer, shape: Shape) -> tuple[int, ...]:
    """(H', W', C') of a layer's neurons, (C',) of a dense one's, for an input of (C, H, W)."""
    channels, height, width = layer.output_shape(shape)
    return (height, width, channels) if layer.kind == "conv" else (channels,)
