"""Sources, which read samples from a socket and send them into the graph,
as spikes or as currents.
"""

from __future__ import annotations

import os
import queue
import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.input_currents import by_input
from spikesam.backends.lava._magma import AbstractProcess, PyLoihiProcessModel, add_ports, model_of
from spikesam.backends.lava.process.layer import spike_ports
from spikesam.backends.lava.process.recorder import MESSAGE_STEPS, ends_message
from spikesam.backends.network import Network
from spikesam.recordings.raster.batch import packed_bytes


class AbstractSourceModel(PyLoihiProcessModel):
    """Sends samples without a pause between them, then zeros.

    They are read on a thread, so that their sender, which decides how far ahead, never waits for a
    step to end. The parameters of the Process are `timesteps` and `n_samples`, length and number of
    samples; `sample_shape`, of the array that is read for each, in C-order; `socket_fd`, an
    inherited file descriptor of a stream of such arrays alone.
    """

    sample_type: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.timesteps = proc_params["timesteps"]
        self.samples: queue.SimpleQueue[NDArray[Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        shape = self.proc_params["sample_shape"]
        size = int(np.prod(shape)) * np.dtype(self.sample_type).itemsize
        with open(os.dup(self.proc_params["socket_fd"]), "rb") as stream:
            for _ in range(self.proc_params["n_samples"]):
                self.samples.put(np.frombuffer(stream.read(size), self.sample_type).reshape(shape))

    def next_sample(self) -> NDArray[Any]:
        """The sample that begins at this step; zeros after the last one."""
        if (self.time_step - 1) // self.timesteps < self.proc_params["n_samples"]:
            return self.samples.get()
        return np.zeros(self.proc_params["sample_shape"], self.sample_type)


class SpikeSource(AbstractProcess):
    """Sends input spikes: (timesteps, ⌈C·H·W/8⌉) bytes per sample, bits in C-order (C, H, W).

    Ports: those of :func:`~.layer.spike_ports`; `bits_out` has the bytes as they came.
    """

    def __init__(self, *, shape: tuple[int, int, int], timesteps: int, **socket: Any) -> None:
        size = packed_bytes(prod(shape))
        super().__init__(timesteps=timesteps, sample_shape=(timesteps, size), **socket)
        add_ports(self, {}, spike_ports(shape))


@model_of(SpikeSource)
class SpikeSourceModel(AbstractSourceModel):
    """Unpacks one step at a time."""

    sample_type = np.uint8
    packed: NDArray[np.uint8]

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.bits = np.zeros((MESSAGE_STEPS, proc_params["sample_shape"][1]), np.uint8)

    def run_spk(self) -> None:
        """Send one step; the step after the last sample is silent."""
        t = (self.time_step - 1) % self.timesteps
        if t == 0:
            self.packed = self.next_sample()
        height, width, channels = self.s_out.shape
        bits = np.unpackbits(self.packed[t], count=channels * height * width)
        self.s_out.send(np.moveaxis(bits.view(np.bool_).reshape(channels, height, width), 0, -1))
        if ends_message(t, self.timesteps):
            place = t % MESSAGE_STEPS
            self.bits[: place + 1] = self.packed[t - place : t + 1]
            self.bits_out.send(self.bits)


class CurrentSource(AbstractProcess):
    """Sends currents: (S, N) float32 per sample, see
    :func:`spikesam.backends.input_currents.input_currents`.

    Ports: `a_out_0`, … of (H, W, C), one for each of `network.driven`: a[t] at step t of a sample.
    """

    def __init__(self, *, network: Network, **socket: Any) -> None:
        steps = 1 if network.encoder == "constant-current" else network.timesteps
        shapes = [network.shapes[place + 1] for place, _ in network.driven]
        neurons = sum(map(prod, shapes))
        super().__init__(
            network=network, timesteps=network.timesteps, sample_shape=(steps, neurons), **socket
        )
        sides = [(height, width, channels) for channels, height, width in shapes]
        add_ports(self, {}, {f"a_out_{i}": (np.float32, shape) for i, shape in enumerate(sides)})


@model_of(CurrentSource)
class CurrentSourceModel(AbstractSourceModel):
    """Sends maps at every step, or the same ones again and again."""

    sample_type = np.float32
    currents: list[tuple[int, NDArray[np.float32]]]  # the delay of each, and its maps, (S, H, W, C)

    def run_spk(self) -> None:
        """Send the currents of a step; before their delay they are 0."""
        t = (self.time_step - 1) % self.timesteps
        if t == 0:
            network = self.proc_params["network"]
            self.currents = [
                (
                    network.layers[place].inputs[number].sources[0].longest,
                    np.ascontiguousarray(np.moveaxis(maps, 1, -1)),
                )
                for (place, number), maps in by_input(network, self.next_sample())
            ]
        for i, (delay, maps) in enumerate(self.currents):
            current = maps[min(t - delay, len(maps) - 1)] if t >= delay else np.zeros_like(maps[0])
            getattr(self, f"a_out_{i}").send(current)
