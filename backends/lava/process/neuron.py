"""The neurons of a network as a Lava Process: stock `LIF` neither subtracts at a reset nor changes gains by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spikesam.backends.event.kernels import steps
from spikesam.backends.event.kernels.compiled import entry
from spikesam.backends.event.kernels.neurons import dynamics_of
from spikesam.backends.lava.magma import AbstractProcess, OutPort, PyLoihiProcessModel, add_in_ports, model_of, sends
from spikesam.backends.lava.process.recorder import MESSAGE_STEPS, ends_message
from spikesam.backends.network import FixedLIF, Input, SpikingNeuron
from spikesam.backends.trace import GradedSpikes, SpikeTrace

advance = entry(steps.advance)


class LIFNeurons(AbstractProcess):
    """A layer of neurons; the equations are those of :class:`spikesam.backends.network.LIF` and `FixedLIF`.

    At a sample's first step the state is zeroed and currents, which belong to the sample before, are ignored. Spikes
    carry a `trace` in fixed point only. Ports: `a_in_0`, … of `shape` (H, W, C), the currents of each input; `s_out` of
    `shape`, bool; `p_out` of `shape`, the same spikes graded, sent if there is a trace; `bits_out`, spikes packed to
    bits in C-order (C, H, W), a message where :func:`~.recorder.ends_message`.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        timesteps: int,
        neuron: SpikingNeuron,
        inputs: Sequence[Input],
        trace: SpikeTrace | None,
        name: str,
    ) -> None:
        super().__init__(shape=shape, timesteps=timesteps, neuron=neuron, inputs=inputs, trace=trace, name=name)
        add_in_ports(self, {f"a_in_{number}": (np.float32, shape) for number in range(len(inputs))})
        self.s_out = OutPort(shape=shape)
        self.p_out = OutPort(shape=shape)
        self.bits_out = OutPort(shape=(MESSAGE_STEPS, -(-int(np.prod(shape)) // 8)))


@model_of(LIFNeurons)
class LIFNeuronsModel(PyLoihiProcessModel):
    """The kernel of all backends, one step at a time; in fixed point currents are integers that float32 holds."""

    s_out = sends(bool)
    p_out = sends(np.int32)
    bits_out = sends(np.uint8)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        neuron, trace, shape = proc_params["neuron"], proc_params["trace"], proc_params["shape"]
        self.timesteps = proc_params["timesteps"]
        self.dynamics = dynamics_of(neuron, proc_params["inputs"])
        self.graded = GradedSpikes(trace) if trace else None
        self.spikes = np.zeros(shape, np.bool_)
        dtype = np.int32 if isinstance(neuron, FixedLIF) else np.float32
        self.currents = np.zeros((len(proc_params["inputs"]), *shape), dtype)
        self.membrane, self.synaptic = np.zeros((2, *shape), dtype)
        self.bits = np.zeros((MESSAGE_STEPS, -(-self.spikes.size // 8)), np.uint8)

    def run_spk(self) -> None:
        """Receive currents, advance, send spikes."""
        t = (self.time_step - 1) % self.timesteps
        for number, current in enumerate(self.currents):
            current[:] = getattr(self, f"a_in_{number}").recv()
        state = self.currents, self.membrane, self.synaptic
        whole = 0, len(self.spikes)
        advance(t, 0, self.dynamics, *state, self.spikes, whole, self.bits[t % MESSAGE_STEPS])
        self.s_out.send(self.spikes)
        if self.graded:
            self.p_out.send(self.graded.step(t, self.spikes))
        if ends_message(t, self.timesteps):
            self.bits_out.send(self.bits)
