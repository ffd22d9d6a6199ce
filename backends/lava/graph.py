"""Network -> Lava process graph: layers between this project's source, readout and recorder.

With constant-current input, the source takes the place of the first synapses.

Layouts change in this folder and nowhere else: Lava's own is (H, W, C).
"""

from __future__ import annotations

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_configs import Loihi1SimCfg

from backends.formed_maps import MapRequest
from backends.network import Network

from .process.layer import EventLayer, LayerProcess, StockLayer
from .process.maps import EventMaps, Maps, StockMaps
from .process.neuron import neurons_of
from .process.readout import EventReadoutFixed, EventReadoutFloat, ReadoutProcess, StockReadout
from .process.recorder import RecorderProcess, recorder_model
from .process.sources import CurrentSource, SpikeSource
from .transfer import layers_with_maps, maps_of_layer


def build_graph(network: Network, n_samples: int, socket_fd: int, request: MapRequest | None = None) -> AbstractProcess:
    """Build and connect every Process; returns the source, from which Lava finds the others.

    It runs for `n_samples · timesteps + 1` steps: the last sample's readout needs one more.

    Parameters
    ----------
    request : which maps leave the graph; without it, every spike does
    """
    timesteps = network.timesteps
    socket = {"n_samples": n_samples, "socket_fd": socket_fd, "name": "input"}
    layers = list(zip(network.layers, network.shapes, strict=False))
    leaving = {layer.name: maps_of_layer(network, request, layer.name) if request else None for layer, _ in layers}
    explained: list[AbstractProcess] = []
    source: AbstractProcess
    if network.encoder == "constant-current":
        layer, shape = layers.pop(0)
        maps = leaving[layer.name]
        before: AbstractProcess = neurons_of(layer, shape, timesteps, maps and maps.trace)
        source = CurrentSource(shape=before.a_in.shape, timesteps=timesteps, **socket)
        source.a_out.connect(before.a_in)
        if maps:
            gathered = Maps(shape=before.s_out.shape, maps=maps, timesteps=timesteps, name=f"{layer.name}_maps")
            before.p_out.connect(gathered.p_in)
            explained.append(gathered)
    else:
        channels, height, width = network.input_shape
        before = source = SpikeSource(shape=(height, width, channels), timesteps=timesteps, **socket)
    recorded: list[OutPort] = [before.bits_out]
    for layer, shape in layers:
        process = LayerProcess(layer=layer, shape=shape, timesteps=timesteps, maps=leaving[layer.name])
        before.s_out.reshape(process.s_in.shape).connect(process.s_in)
        recorded.append(process.bits_out)
        explained += [process] if leaving[layer.name] else []
        before = process
    readout = ReadoutProcess(readout=network.readout, shape=network.shapes[-1], timesteps=timesteps)
    before.s_out.reshape(readout.s_in.shape).connect(readout.s_in)
    recorded = recorded if request is None or request.spikes else []
    recorder = RecorderProcess(
        sizes=tuple(port.shape[1] for port in recorded),
        pixels=tuple(process.sum_out.shape[0] for process in explained),
        stepped=request.stepped if request else 0,
        classes=network.classes,
        timesteps=timesteps,
        socket_fd=socket_fd,
        name="recorder",
    )
    for number, port in enumerate(recorded):
        port.connect(getattr(recorder, f"bits_{number}"))
    for number, process in enumerate(explained):
        process.maps_out.connect(getattr(recorder, f"maps_{number}"))
        process.sum_out.connect(getattr(recorder, f"sum_{number}"))
    readout.r_out.connect(recorder.r_in)
    return source


def run_config(network: Network, models: str, request: MapRequest | None = None) -> Loihi1SimCfg:
    """Choose models: event-driven ones, or graphs of the Processes and models that Lava comes with ("stock")."""
    fixed = network.precision == "fixed"
    event = models == "event"
    rasters = len(network.raster_names) if request is None or request.spikes else 0
    maps = len(layers_with_maps(network, request)) if request else 0
    chosen: dict[type, type] = {
        RecorderProcess: recorder_model(rasters, maps, np.int32 if fixed else np.float32),
        LayerProcess: EventLayer if event else StockLayer,
        Maps: EventMaps if event else StockMaps,
        ReadoutProcess: (EventReadoutFixed if fixed else EventReadoutFloat) if event else StockReadout,
    }
    return Loihi1SimCfg(select_tag="fixed_pt" if fixed else "floating_pt", exception_proc_model_map=chosen)
