"""The recorder, which sends the results of a simulation to the process that started it.

Recorder and source hold one end of a stream socket. The starting process holds the other end: it sends input samples
of known size, and receives of each finished sample the packed rasters, maps and readout that were requested. Nothing
else leaves the graph.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from backends.trace import STEP_TYPE, SUM_TYPE

MESSAGE_STEPS = 16  # of packed spikes in one message: Lava takes longer to pass a message on than to fill it


def ends_message(t: int, timesteps: int) -> bool:
    """Whether the packed spikes up to step t of a sample are sent: every few steps, and where the sample ends."""
    return t % MESSAGE_STEPS == MESSAGE_STEPS - 1 or t == timesteps - 1


def due(time_step: int, timesteps: int, stepped: int) -> tuple[int, bool, bool]:
    """Which messages of maps are sent at one of Lava's steps, counted from 1; they end with the step before.

    Parameters
    ----------
    stepped : how many first samples' maps leave step by step

    Returns
    -------
    number t of the step before in its sample; whether the maps up to it are sent; whether their sum is
    """
    sample, t = divmod(time_step - 2, timesteps)
    return t, 0 <= sample < stepped and ends_message(t, timesteps), sample >= 0 and t == timesteps - 1


class RecorderProcess(AbstractProcess):
    """Collects the packed spikes, and the maps, of layers, and sends each finished sample over a socket.

    Parameters
    ----------
    sizes : bytes per step of each raster
    pixels : H·W of each layer whose maps leave
    stepped : how many first samples' maps leave step by step
    classes, readout_type : size and dtype of the readout
    timesteps : steps of a sample
    socket_fd : file descriptor, inherited

    Ports: `bits_0`, `bits_1`, … of (MESSAGE_STEPS, size), a message where :func:`ends_message`; `maps_0`, … of
    (MESSAGE_STEPS, H·W) and `sum_0`, … of (H·W,), where :func:`due`; `r_in` of (classes,), the readout of a sample at
    the first step of the next.

    The bytes of a sample: raster 0 (timesteps, size), raster 1, …; then layer by layer the maps (timesteps, H·W)
    uint16, of the first `stepped` samples alone, and their sum (H·W,) int32; then the readout.
    """

    def __init__(
        self,
        *,
        sizes: tuple[int, ...],
        pixels: tuple[int, ...],
        stepped: int,
        classes: int,
        readout_type: type,
        timesteps: int,
        socket_fd: int,
        name: str,
    ) -> None:
        super().__init__(
            sizes=sizes,
            pixels=pixels,
            stepped=stepped,
            readout_type=readout_type,
            timesteps=timesteps,
            socket_fd=socket_fd,
            name=name,
        )
        for number, size in enumerate(sizes):
            setattr(self, f"bits_{number}", InPort(shape=(MESSAGE_STEPS, size)))
        for number, size in enumerate(pixels):
            setattr(self, f"maps_{number}", InPort(shape=(MESSAGE_STEPS, size)))
            setattr(self, f"sum_{number}", InPort(shape=(size,)))
        self.r_in = InPort(shape=(classes,))


@implements(proc=RecorderProcess, protocol=LoihiProtocol)
@requires(CPU)
class RecorderModel(PyLoihiProcessModel):
    """Base of :func:`recorder_model`: a model declares its ports as class attributes, here some per layer."""

    r_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.float64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.timesteps, self.stepped = proc_params["timesteps"], proc_params["stepped"]
        self.rasters = [np.zeros((self.timesteps, size), np.uint8) for size in proc_params["sizes"]]
        self.maps = [np.zeros((self.timesteps, size), STEP_TYPE) for size in proc_params["pixels"]]
        self.sums = [np.zeros(size, SUM_TYPE) for size in proc_params["pixels"]]
        self.socket = socket.socket(fileno=os.dup(proc_params["socket_fd"]))

    def run_spk(self) -> None:
        """Receive the messages of this step; at a sample's first step, send the sample before, now complete."""
        t = (self.time_step - 1) % self.timesteps
        self._receive_maps()
        if t == 0:
            readout = self.r_in.recv()
            if self.time_step > 1:
                self._send(readout)
        if ends_message(t, self.timesteps):
            self._receive("bits", self.rasters, t)

    def _receive_maps(self) -> None:
        t, steps, total = due(self.time_step, self.timesteps, self.stepped)
        if steps:
            self._receive("maps", self.maps, t)
        if total:
            for number, of_layer in enumerate(self.sums):
                of_layer[:] = getattr(self, f"sum_{number}").recv()

    def _receive(self, ports: str, into: list[NDArray[Any]], t: int) -> None:
        """Receive a message of the steps up to t of every layer."""
        place = t % MESSAGE_STEPS
        for number, of_layer in enumerate(into):
            of_layer[t - place : t + 1] = getattr(self, f"{ports}_{number}").recv()[: place + 1]

    def _send(self, readout: NDArray[Any]) -> None:
        """Send the sample that has just been completed."""
        for raster in self.rasters:
            self.socket.sendall(raster.data)
        with_steps = (self.time_step - 2) // self.timesteps < self.stepped
        for maps, total in zip(self.maps, self.sums, strict=True):
            if with_steps:
                self.socket.sendall(maps.data)
            self.socket.sendall(total.data)
        self.socket.sendall(readout.astype(self.proc_params["readout_type"]).data)


def recorder_model(rasters: int, maps: int) -> type[RecorderModel]:
    """The model of a :class:`RecorderProcess` of so many rasters and layers with maps."""
    ports = {f"bits_{number}": LavaPyType(PyInPort.VEC_DENSE, np.uint8) for number in range(rasters)}
    ports |= {f"maps_{number}": LavaPyType(PyInPort.VEC_DENSE, STEP_TYPE.type) for number in range(maps)}
    ports |= {f"sum_{number}": LavaPyType(PyInPort.VEC_DENSE, SUM_TYPE.type) for number in range(maps)}
    return type("RecorderModel", (RecorderModel,), ports)
