"""Where a simulation ends: the recorder.

It holds the same stream socket as the source. Its other end sends input samples of known size, one after the
other, and receives the packed rasters and the readout of each finished sample. Nothing else leaves the graph.
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

MESSAGE_STEPS = 16  # of packed spikes in one message: Lava takes longer to pass a message on than to fill it


def ends_message(t: int, timesteps: int) -> bool:
    """Whether the packed spikes up to step t of a sample are sent: every few steps, and where the sample ends."""
    return t % MESSAGE_STEPS == MESSAGE_STEPS - 1 or t == timesteps - 1


class Recorder(AbstractProcess):
    """Collects the packed spikes of every layer and sends each finished sample over a socket.

    Parameters
    ----------
    sizes : bytes per step of each raster
    classes : size of the readout
    timesteps : steps of a sample
    socket_fd : file descriptor, inherited

    Ports: `bits_0`, `bits_1`, … of (MESSAGE_STEPS, size), a message where :func:`ends_message`; `r_in` of (classes,),
    the readout of a sample at the first step of the next.

    The bytes of a sample are those of raster 0 (timesteps, size), of raster 1, …, then the readout.
    """

    def __init__(self, *, sizes: tuple[int, ...], classes: int, timesteps: int, socket_fd: int, name: str) -> None:
        super().__init__(sizes=sizes, timesteps=timesteps, socket_fd=socket_fd, name=name)
        for number, size in enumerate(sizes):
            setattr(self, f"bits_{number}", InPort(shape=(MESSAGE_STEPS, size)))
        self.r_in = InPort(shape=(classes,))


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
class RecorderModel(PyLoihiProcessModel):
    """Base of :func:`recorder_model`: a model declares its ports as class attributes, here one per layer."""

    r_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.timesteps = proc_params["timesteps"]
        self.rasters = [np.zeros((self.timesteps, size), np.uint8) for size in proc_params["sizes"]]
        self.socket = socket.socket(fileno=os.dup(proc_params["socket_fd"]))

    def run_spk(self) -> None:
        """Receive what is sent at this step; at a sample's first step the sample before is complete."""
        t = (self.time_step - 1) % self.timesteps
        if t == 0:
            readout = self.r_in.recv()
            if self.time_step > 1:
                for raster in self.rasters:
                    self.socket.sendall(raster.data)
                self.socket.sendall(readout.data)
        if ends_message(t, self.timesteps):
            place = t % MESSAGE_STEPS
            for number, raster in enumerate(self.rasters):
                raster[t - place : t + 1] = getattr(self, f"bits_{number}").recv()[: place + 1]


def recorder_model(rasters: int, readout_type: type) -> type[RecorderModel]:
    """The model of a :class:`Recorder` of so many rasters, with a readout of this dtype."""
    ports = {f"bits_{number}": LavaPyType(PyInPort.VEC_DENSE, np.uint8) for number in range(rasters)}
    ports["r_in"] = LavaPyType(PyInPort.VEC_DENSE, readout_type)
    return type("RecorderModel", (RecorderModel,), ports)
