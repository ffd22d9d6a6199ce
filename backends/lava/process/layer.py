"""A layer as a Lava Process: as a graph of Lava's own Processes ("stock"), or in one with the
kernels ("event").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.layer import LayerKernel
from spikesam.backends.lava._magma import (
    AbstractProcess,
    InPort,
    Ports,
    PyLoihiProcessModel,
    add_ports,
    model_of,
)
from spikesam.backends.lava._transfer import LayerMapRequest
from spikesam.backends.lava.process.recorder import MESSAGE_STEPS, due, ends_message
from spikesam.backends.network import Input, Layer, Shape, Source
from spikesam.backends.trace import STEP_TYPE, SUM_TYPE, StepMaps, StoredMaps
from spikesam.recordings.raster.batch import packed_bytes


class LayerProcess(AbstractProcess):
    """Synapses, which take one step, and the neurons they drive.

    At a sample's first step the neurons are at rest, and currents from the sample before are
    dropped. `driven` numbers the inputs at which a current comes in place of spikes. Ports:
    `s_in_0`, … of (H, W, C), bool, one for each layer that it reads (:meth:`port_of`); `a_in_0`, …
    of (H', W', C'), float32, for each of `driven`; and those of
    :func:`spike_ports` and :func:`map_ports`.
    """

    def __init__(
        self,
        *,
        layer: Layer,
        shapes: Mapping[str, Shape],
        timesteps: int,
        driven: tuple[int, ...],
        maps: LayerMapRequest | None,
    ) -> None:
        process_options: dict[str, Any] = {
            "layer": layer,
            "shapes": shapes,
            "maps": maps,
            "name": layer.name,
        }
        super().__init__(**process_options, timesteps=timesteps, driven=driven)
        self.reads = list(
            longest_delays(
                layer_input
                for number, layer_input in enumerate(layer.inputs)
                if number not in driven
            )
        )
        neurons = channels_last(shapes[layer.name])
        add_ports(
            self,
            {f"s_in_{i}": (bool, channels_last(shapes[name])) for i, name in enumerate(self.reads)}
            | {f"a_in_{number}": (np.float32, neurons) for number in driven},
            {**spike_ports(neurons), **map_ports(neurons)},
        )

    def port_of(self, name: str) -> InPort:
        """The port for the spikes of a layer that this one reads."""
        return getattr(self, f"s_in_{self.reads.index(name)}")


@model_of(LayerProcess)
class EventLayer(PyLoihiProcessModel):
    """The kernels of the event backend, one step at a time."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.timesteps, shapes, layer = (
            proc_params["timesteps"],
            proc_params["shapes"],
            proc_params["layer"],
        )
        self.driven = proc_params["driven"]
        read = (shapes[layer_input.sources[0].layer] for layer_input in layer.inputs)
        self.kernel = LayerKernel(layer, *read, driven=self.driven)
        of_spikes = [
            None if number in self.driven else layer_input
            for number, layer_input in enumerate(layer.inputs)
        ]
        self.sources = [
            source
            for layer_input in of_spikes
            for source in (layer_input.sources if layer_input else (None,))
        ]
        delays = longest_delays(layer_input for layer_input in of_spikes if layer_input)
        self.late = {
            name: LateSpikes(delay, channels_last(shapes[name])) for name, delay in delays.items()
        }
        self.state = self.kernel.rest()
        self.fired = np.zeros(self.kernel.output_shape, np.bool_)
        self.bits = np.zeros((MESSAGE_STEPS, packed_bytes(self.fired.size)), np.uint8)
        if maps := proc_params["maps"]:
            height, width, _ = self.fired.shape
            self.step_maps = StepMaps(maps.trace, self.fired.shape)
            self.messages = MapMessages(maps, height * width, self.timesteps)

    def run_spk(self) -> None:
        """Send what the last step's input causes, so that the next layer need not wait; then
        receive input.
        """
        t = (self.time_step - 1) % self.timesteps
        for number in self.driven:
            self.state.current[number] = getattr(self, f"a_in_{number}").recv()
        self.kernel.advance(t, self.state, self.fired, self.bits[t % MESSAGE_STEPS])
        self.s_out.send(self.fired)
        if ends_message(t, self.timesteps):
            self.bits_out.send(self.bits)
        if self.proc_params["maps"]:
            self.messages.send(self)
            self.messages.leaving.add(t, self.step_maps.step(t, self.fired))
        for number, late in enumerate(self.late.values()):
            late.add(t, getattr(self, f"s_in_{number}").recv())
        self.kernel.add(
            [source and self.late[source.layer].arriving(source, t + 1) for source in self.sources],
            self.state,
        )


class LateSpikes:
    """The last `steps` spikes of a layer of some `shape`."""

    def __init__(self, steps: int, shape: tuple[int, ...]) -> None:
        self._silence = np.zeros(shape, np.bool_)
        self._kept = [self._silence] * steps

    def add(self, t: int, spikes: NDArray[np.bool_]) -> None:
        """Take the spikes of step t of a sample; those of t - steps are forgotten."""
        self._kept[t % len(self._kept)] = spikes

    def at(self, t: int) -> NDArray[np.bool_]:
        """The spikes of one of the last steps of this sample; silence before its first step."""
        return self._kept[t % len(self._kept)] if t >= 0 else self._silence

    def arriving(self, source: Source, t: int) -> NDArray[np.bool_]:
        """The spikes of a source that arrive at a step."""
        arriving_spikes: NDArray[np.bool_] = source.arriving(lambda delay: self.at(t - delay), -1)
        return arriving_spikes


class MapMessages:
    """Gathers maps of H·W `pixels` and sends them through the :func:`map_ports` of a model."""

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


def spike_ports(shape: tuple[int, ...]) -> Ports:
    """`s_out`, spikes of neurons (H, W, C); `bits_out`, packed to bits in C-order (C, H, W), where
    messages end.
    """
    return {
        "s_out": (bool, shape),
        "bits_out": (np.uint8, (MESSAGE_STEPS, packed_bytes(prod(shape)))),
    }


def map_ports(shape: tuple[int, ...]) -> Ports:
    """Of neurons (H, W, C): `maps_out`, maps of single steps, and `sum_out`, a message each where
    they are due.

    See :func:`~.recorder.due`; of dense neurons, (C,), they are never used.
    """
    pixels = prod(shape[:-1])
    return {"maps_out": (STEP_TYPE, (MESSAGE_STEPS, pixels)), "sum_out": (SUM_TYPE, (pixels,))}


def longest_delays(inputs: Iterable[Input]) -> dict[str, int]:
    """Each layer that inputs read, in order -> its longest delay."""
    delays: dict[str, int] = {}
    for source in (source for layer_input in inputs for source in layer_input.sources):
        delays[source.layer] = max(source.longest, delays.get(source.layer, 1))
    return delays


def channels_last(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) -> (H, W, C), Lava's layout."""
    channels, height, width = shape
    return height, width, channels
