"""Maps of a layer, formed from graded spikes by a 1×1 convolution of ones, which takes a step; and their sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.proc.conv.process import Conv

from spikesam.backends.lava.magma import (
    AbstractProcess,
    InPort,
    OutPort,
    PyLoihiProcessModel,
    model_of,
    receives,
    sends,
)
from spikesam.backends.lava.process.recorder import MESSAGE_STEPS, due
from spikesam.backends.lava.transfer import LayerMapRequest
from spikesam.backends.trace import StoredMaps

PAYLOAD_MESSAGE_BITS = 24  # of a graded spike


class MapMessages:
    """Gathers maps of H·W `pixels` and sends them through the ports `maps_out` and `sum_out` of a model."""

    def __init__(self, maps: LayerMapRequest, pixels: int, timesteps: int) -> None:
        self._stepped, self._timesteps = maps.stepped, timesteps
        self.leaving = StoredMaps(maps.trace, pixels, maps.steps_that_matter, MESSAGE_STEPS)

    def send(self, model: Any) -> None:
        """Send the maps that the step before this one completed."""
        _, steps, total = due(model.time_step, self._timesteps, self._stepped)
        if steps:
            model.maps_out.send(self.leaving.steps)
        if total:
            model.sum_out.send(self.leaving.sum)


def map_ports(shape: tuple[int, ...]) -> tuple[OutPort, OutPort]:
    """`maps_out` and `sum_out` of neurons of a shape (H, W, C); of dense ones, (C,), they are never used."""
    pixels = int(np.prod(shape[:-1]))
    return OutPort(shape=(MESSAGE_STEPS, pixels)), OutPort(shape=(pixels,))


def sum_over_channels(shape: tuple[int, int, int], name: str) -> Conv:
    """Lava's `Conv` that sums the graded spikes of neurons of a shape (H, W, C)."""
    ones = np.ones((1, 1, 1, shape[-1]), np.int8)
    return Conv(weight=ones, input_shape=shape, num_message_bits=PAYLOAD_MESSAGE_BITS, name=name)


class MapGatherer(AbstractProcess):
    """Gathers maps of `shape` (H, W, 1).

    The sums that arrive at a step are those of the spikes one step before. Ports: `a_in` of `shape`; `maps_out` of
    (MESSAGE_STEPS, H·W), maps of single steps, and `sum_out` of (H·W,), a message each where :func:`~.recorder.due`.
    """

    def __init__(self, *, shape: tuple[int, int, int], maps: LayerMapRequest, timesteps: int, name: str) -> None:
        super().__init__(maps=maps, timesteps=timesteps, pixels=int(np.prod(shape)), name=name)
        self.a_in = InPort(shape=shape)
        self.maps_out, self.sum_out = map_ports(shape)


@model_of(MapGatherer)
class MapGathererModel(PyLoihiProcessModel):
    """int32 input."""

    a_in = receives(np.int32)
    maps_out = sends(np.uint16)
    sum_out = sends(np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.messages = MapMessages(proc_params["maps"], proc_params["pixels"], proc_params["timesteps"])

    def run_spk(self) -> None:
        """Take the sums of the step before, and send what it completed."""
        sums = self.a_in.recv().astype(np.int32, copy=False)
        if self.time_step > 1:
            self.messages.leaving.add((self.time_step - 2) % self.proc_params["timesteps"], sums.ravel())
        self.messages.send(self)
