"""The recorder, which sends what was requested of each finished sample over a socket to who started
the simulation.
"""

from __future__ import annotations

import os
import socket
from math import prod
from typing import Any

import numpy as np

from spikesam.backends.lava._magma import AbstractProcess, PyLoihiProcessModel, add_ports, model_of
from spikesam.backends.lava._transfer import MessageLayout

MESSAGE_STEPS = (
    16  # of packed spikes in one message: Lava takes longer to pass a message on than to fill it
)


def ends_message(t: int, timesteps: int) -> bool:
    """True where the packed spikes up to step t of a sample are sent: every few steps, and where
    the sample ends.
    """
    return t % MESSAGE_STEPS == MESSAGE_STEPS - 1 or t == timesteps - 1


def due(time_step: int, timesteps: int, stepped: int) -> tuple[int, bool, bool]:
    """Number t of the step before, in its sample; whether the maps up to it are sent, and whether
    their sum is.
    """
    sample, t = divmod(time_step - 2, timesteps)
    return (
        t,
        0 <= sample < stepped and ends_message(t, timesteps),
        sample >= 0 and t == timesteps - 1,
    )


class RecorderProcess(AbstractProcess):
    """Collects the arrays of each sample, and sends them over a socket when it is complete.

    `layout` has the arrays of a first sample, in order; see
    :func:`spikesam.backends.lava._transfer.sent_arrays`. Ports: `in_0`, `in_1`, …, one for each
    array. Bits and maps come as messages of (MESSAGE_STEPS, bytes or H·W) where
    :func:`ends_message` and :func:`due`; sums (H·W,) where :func:`due`; and the readout (classes,)
    of a sample at the first step of the next.
    """

    def __init__(
        self, *, layout: MessageLayout, stepped: int, timesteps: int, socket_fd: int, name: str
    ) -> None:
        super().__init__(
            layout=layout, stepped=stepped, timesteps=timesteps, socket_fd=socket_fd, name=name
        )
        ports = {}
        for number, ((kind, _), (dtype, shape)) in enumerate(layout.items()):
            step_by_step = kind in ("bits", "maps")
            ports[f"in_{number}"] = (
                dtype,
                (MESSAGE_STEPS, prod(shape[1:])) if step_by_step else (prod(shape),),
            )
        add_ports(self, ports, {})


@model_of(RecorderProcess)
class RecorderModel(PyLoihiProcessModel):
    """Receives arrays and messages of arrays."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.timesteps, self.stepped = proc_params["timesteps"], proc_params["stepped"]
        self.arrays = {
            key: np.zeros(shape, dtype) for key, (dtype, shape) in proc_params["layout"].items()
        }
        self.socket = socket.socket(fileno=os.dup(proc_params["socket_fd"]))

    def run_spk(self) -> None:
        """Receive the messages of this step; at a sample's first step, send the sample before, now
        complete.
        """
        t = (self.time_step - 1) % self.timesteps
        first_step, steps, total = due(self.time_step, self.timesteps, self.stepped)
        if steps:
            self._receive("maps", first_step)
        if total:
            self._receive("sum")
        if t == 0:
            self._receive("readout")
            if self.time_step > 1:
                self._send()
        if ends_message(t, self.timesteps):
            self._receive("bits", t)

    def _receive(self, kind: str, t: int | None = None) -> None:
        """Receive all arrays of a kind, or a message of their steps up to t."""
        for number, (key, array) in enumerate(self.arrays.items()):
            if key[0] == kind:
                part = array if t is None else array[t - t % MESSAGE_STEPS : t + 1]
                message = getattr(self, f"in_{number}").recv().reshape(-1, *array.shape[1:])
                part[:] = message[: len(part)]

    def _send(self) -> None:
        """Send the sample that has just been completed."""
        with_steps = (self.time_step - 2) // self.timesteps < self.stepped
        for (kind, _), array in self.arrays.items():
            if kind != "maps" or with_steps:
                self.socket.sendall(array.data)
