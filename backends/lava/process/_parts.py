"""Parts between Lava's own Processes in a layer that is made of them: sums, poolings, neurons
and maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spikesam.backends.event.kernels import pooling, steps
from spikesam.backends.event.kernels.compiled import entry
from spikesam.backends.event.kernels.neurons import dynamics_of
from spikesam.backends.lava._magma import AbstractProcess, PyLoihiProcessModel, add_ports, model_of
from spikesam.backends.lava._transfer import LayerMapRequest
from spikesam.backends.lava.process.layer import LateSpikes, MapMessages, map_ports, spike_ports
from spikesam.backends.lava.process.recorder import MESSAGE_STEPS, ends_message
from spikesam.backends.network import FixedLIF, Input, LinearSynapse, SpikingNeuron, Windows
from spikesam.backends.trace import GradedSpikes, SpikeTrace
from spikesam.recordings.raster.batch import packed_bytes

advance = entry(steps.advance)
pool_currents, pool_spikes = entry(pooling.pool_currents), entry(pooling.pool_spikes)


class Arriving(AbstractProcess):
    """The spikes that arrive at an input at a step: those of its sources, added or subtracted, then
    spread; or multiplied.

    `ahead` is 1 in front of synapses, which take a step themselves, so that it sends what arrives
    at the next step; 0 if it sends what arrives at this step, before it receives this step's
    spikes. Ports: `in_0`, `in_1`, …, bool, one for each source, of `shapes` (H, W, C), and `x_out`,
    of the shape that the input sees: int8; or where spikes are multiplied the currents, float32,
    which holds these integers.
    """

    def __init__(
        self,
        *,
        layer_input: Input,
        shapes: Sequence[tuple[int, int, int]],
        timesteps: int,
        ahead: int,
        name: str,
    ) -> None:
        super().__init__(
            layer_input=layer_input, shapes=shapes, timesteps=timesteps, ahead=ahead, name=name
        )
        height, width, channels = shapes[0]
        shape, adds = (channels, height, width), isinstance(layer_input.synapse, LinearSynapse)
        channels, *sides = (
            layer_input.arriving(shape) if adds else layer_input.unpooled_shape(shape)
        )
        add_ports(
            self,
            {f"in_{number}": (bool, shape) for number, shape in enumerate(shapes)},
            {"x_out": (np.int8 if adds else np.float32, (*sides, channels))},
        )


@model_of(Arriving)
class ArrivingModel(PyLoihiProcessModel):
    """Keeps as many steps of each source as it is late."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.layer_input, self.ahead = proc_params["layer_input"], proc_params["ahead"]
        sources = zip(self.layer_input.sources, proc_params["shapes"], strict=True)
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
        layer_input = self.layer_input
        fired = zip(layer_input.sources, self.late, strict=True)
        maps = [
            np.moveaxis(np.int8(source.sign) * late.arriving(source, t), -1, 0)
            for source, late in fired
        ]
        sums = np.concatenate(
            [sum(further, first) for first, *further in layer_input.summands(maps)]
        )
        sent = layer_input.synapse.arranged(sums)
        if not isinstance(layer_input.synapse, LinearSynapse):
            sent = layer_input.synapse.currents(layer_input, sent).astype(np.float32)
        self.x_out.send(np.ascontiguousarray(np.moveaxis(sent, 0, -1)))


class MaximumPooling(AbstractProcess):
    """Maximum pooling, which Lava's own `Conv` and `Dense` lack; it adds no delay.

    `pool` are the sides of the windows of spikes, bool, or the windows of currents, float32. Ports:
    `a_in` of (H, W, C) and `a_out` of (H', W', C), (1, 1, C) if they are summed.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        pool: tuple[int, int] | Windows,
        summed: bool = False,
        name: str,
    ) -> None:
        super().__init__(pool=pool, name=name)
        height, width, channels = shape
        dtype: type = np.float32
        if not isinstance(pool, Windows):
            dtype, sides = np.bool_, (height // pool[0], width // pool[1])
        else:
            sides = (1, 1) if summed else pool.fit((height, width))
        add_ports(self, {"a_in": (dtype, shape)}, {"a_out": (dtype, (*sides, channels))})


@model_of(MaximumPooling)
class PoolingModel(PyLoihiProcessModel):
    """The kernels of the event backend; in fixed point currents are integers that float32 holds."""

    def run_spk(self) -> None:
        """Receive a step, pool it, send it on."""
        pool = self.proc_params["pool"]
        kernel, dtype = (
            (pool_currents, np.float32) if isinstance(pool, Windows) else (pool_spikes, np.bool_)
        )
        pooled = np.empty(self.a_out.shape, dtype)
        kernel(np.ascontiguousarray(self.a_in.recv(), dtype), pool, pooled)
        self.a_out.send(pooled)


class LIFNeurons(AbstractProcess):
    """Neurons, for stock `LIF` neither subtracts at a reset nor changes gains by step.

    Their equations are those of :class:`spikesam.backends.network.LIF` and `FixedLIF`. At a
    sample's first step the state is zeroed and currents, which belong to the sample before, are
    ignored. Spikes carry a `trace` in fixed point only. Ports: `a_in_0`, … of `shape` (H, W, C),
    the currents of each input; those of :func:`~.layer.spike_ports`; and `p_out` of `shape`, the
    same spikes graded, sent if there is a trace.
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
        super().__init__(
            shape=shape, timesteps=timesteps, neuron=neuron, inputs=inputs, trace=trace, name=name
        )
        currents = {f"a_in_{number}": (np.float32, shape) for number in range(len(inputs))}
        add_ports(self, currents, {**spike_ports(shape), "p_out": (np.int32, shape)})


@model_of(LIFNeurons)
class LIFNeuronsModel(PyLoihiProcessModel):
    """The kernel of all backends, one step at a time; in fixed point currents are integers that
    float32 holds.
    """

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
        self.bits = np.zeros((MESSAGE_STEPS, packed_bytes(self.spikes.size)), np.uint8)

    def run_spk(self) -> None:
        """Receive currents, advance, send spikes."""
        t = (self.time_step - 1) % self.timesteps
        for number, current in enumerate(self.currents):
            current[:] = getattr(self, f"a_in_{number}").recv()
        state = self.currents, self.membrane, self.synaptic
        all_rows = 0, len(self.spikes)
        advance(t, 0, self.dynamics, *state, self.spikes, all_rows, self.bits[t % MESSAGE_STEPS])
        self.s_out.send(self.spikes)
        if self.graded:
            self.p_out.send(self.graded.step(t, self.spikes))
        if ends_message(t, self.timesteps):
            self.bits_out.send(self.bits)


class MapGatherer(AbstractProcess):
    """Gathers maps of `shape` (H, W, 1), the sums of graded spikes one step before, which a 1×1
    convolution forms.

    Ports: `a_in` of `shape`, int32, and those of :func:`~.layer.map_ports`.
    """

    def __init__(
        self, *, shape: tuple[int, int, int], maps: LayerMapRequest, timesteps: int, name: str
    ) -> None:
        super().__init__(maps=maps, timesteps=timesteps, pixels=int(np.prod(shape)), name=name)
        add_ports(self, {"a_in": (np.int32, shape)}, map_ports(shape))


@model_of(MapGatherer)
class MapGathererModel(PyLoihiProcessModel):
    """Takes the sums of the step before, and sends what it completed."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.messages = MapMessages(
            proc_params["maps"], proc_params["pixels"], proc_params["timesteps"]
        )

    def run_spk(self) -> None:
        """Take a step."""
        sums = self.a_in.recv().astype(np.int32, copy=False)
        if self.time_step > 1:
            self.messages.leaving.add(
                (self.time_step - 2) % self.proc_params["timesteps"], sums.ravel()
            )
        self.messages.send(self)
