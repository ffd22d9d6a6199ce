"""Sources, which read samples from a socket and send them into the graph, as spikes or as currents."""

from __future__ import annotations

import os
import queue
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.lava.magma import AbstractProcess, OutPort, PyLoihiProcessModel, model_of, sends
from backends.lava.process.recorder import MESSAGE_STEPS, ends_message


class AbstractSourceModel(PyLoihiProcessModel):
    """Sends samples without a pause between them, then zeros.

    They are read on a thread, so that their sender, which decides how far ahead, never waits for a step to end. The
    parameters of the Process are `timesteps` and `n_samples`, length and number of samples; `sample_shape`, of the
    array that is read for each, in C-order; `socket_fd`, an inherited file descriptor of a stream of such arrays alone.
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

    Parameters
    ----------
    shape : (H, W, C)
    timesteps, socket : see :class:`AbstractSourceModel`

    Ports: `s_out` of `shape`, bool; `bits_out`, the bytes as they came, a message where
    :func:`~.recorder.ends_message`.
    """

    def __init__(self, *, shape: tuple[int, int, int], timesteps: int, **socket: Any) -> None:
        size = -(-int(np.prod(shape)) // 8)
        super().__init__(timesteps=timesteps, sample_shape=(timesteps, size), **socket)
        self.s_out = OutPort(shape=shape)
        self.bits_out = OutPort(shape=(MESSAGE_STEPS, size))


@model_of(SpikeSource)
class SpikeSourceModel(AbstractSourceModel):
    """Unpacks one step at a time."""

    sample_type = np.uint8
    s_out = sends(bool)
    bits_out = sends(np.uint8)
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
    """Sends currents: (S, C, H, W) or (S, C) float32 per sample; in fixed point, of integers.

    Parameters
    ----------
    shape : (H, W, C) or (C,), of the neurons it drives
    steps : S, 1 of a constant current, else T: a[1] … a[T]
    socket : see :class:`AbstractSourceModel`

    Ports: `a_out` of `shape`: a[t] at step t of a sample; at the first one, neurons ignore it.
    """

    def __init__(self, *, shape: tuple[int, ...], steps: int, **socket: Any) -> None:
        super().__init__(sample_shape=(steps, shape[-1], *shape[:-1]), **socket)
        self.a_out = OutPort(shape=shape)


@model_of(CurrentSource)
class CurrentSourceModel(AbstractSourceModel):
    """Sends a map at every step, or one again and again."""

    sample_type = np.float32
    a_out = sends(np.float32)
    currents: NDArray[np.float32]

    def run_spk(self) -> None:
        """Send the current of a step."""
        t = (self.time_step - 1) % self.timesteps
        if t == 0:
            self.currents = np.ascontiguousarray(np.moveaxis(self.next_sample(), 1, -1))
        self.a_out.send(self.currents[min(max(0, t - 1), len(self.currents) - 1)])
