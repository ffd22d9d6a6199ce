"""Network -> Lava process graph: layers between this project's source, readout and recorder; maps
are (H, W, C).
"""

from __future__ import annotations

from typing import Any

from spikesam.backends.base import MapRequest
from spikesam.backends.lava._magma import AbstractProcess, OutPort, RunConfig
from spikesam.backends.lava._transfer import maps_of_layer, sent_arrays
from spikesam.backends.lava.process.layer import EventLayer, LayerProcess, channels_last
from spikesam.backends.lava.process.readout import EventReadout, ReadoutProcess, StockReadout
from spikesam.backends.lava.process.recorder import RecorderProcess
from spikesam.backends.lava.process.sources import CurrentSource, SpikeSource
from spikesam.backends.lava.process.stock import StockLayer
from spikesam.backends.network import Network


def build_graph(
    network: Network, n_samples: int, socket_fd: int, request: MapRequest | None
) -> AbstractProcess:
    """Build and connect every Process, for `n_samples · timesteps + 1` steps; returns the source,
    that leads to all.
    """
    timesteps = network.timesteps
    shapes = dict(zip(network.names, network.shapes, strict=True))
    layers = [
        LayerProcess(
            layer=layer,
            shapes=shapes,
            timesteps=timesteps,
            driven=tuple(
                number for place, number in network.driven if network.layers[place] is layer
            ),
            maps=maps_of_layer(network, request, layer.name),
        )
        for layer in network.layers
    ]
    readout = ReadoutProcess(readout=network.readout, shape=network.shapes[-1], timesteps=timesteps)
    leaving: dict[tuple[str, str], OutPort] = {("readout", ""): readout.r_out}
    source_options: dict[str, Any] = {
        "n_samples": n_samples,
        "socket_fd": socket_fd,
        "name": "input",
    }
    source: AbstractProcess
    if network.spiking_input:
        source = SpikeSource(
            shape=channels_last(network.input_shape), timesteps=timesteps, **source_options
        )
        leaving["bits", "input"] = source.bits_out
    else:
        source = CurrentSource(network=network, **source_options)
        for i, (place, number) in enumerate(network.driven):
            getattr(source, f"a_out_{i}").connect(getattr(layers[place], f"a_in_{number}"))
    senders = {process.name: process for process in (source, *layers)}
    for layer in layers:
        for name in layer.reads:
            senders[name].s_out.connect(layer.port_of(name))
    layers[-1].s_out.flatten().connect(readout.s_in)
    for layer in layers:
        leaving["bits", layer.name] = layer.bits_out
        leaving["maps", layer.name], leaving["sum", layer.name] = layer.maps_out, layer.sum_out
    layout = sent_arrays(network, request, 0)
    stepped = request.stepped if request else 0
    recorder = RecorderProcess(
        layout=layout, stepped=stepped, timesteps=timesteps, socket_fd=socket_fd, name="recorder"
    )
    for number, key in enumerate(layout):
        leaving[key].connect(getattr(recorder, f"in_{number}"))
    return source


def run_config(network: Network, models: str) -> RunConfig:
    """Choose models: event-driven ones, or graphs of the Processes and models that Lava comes with
    ("stock").
    """
    event = models == "event"
    chosen: dict[type, type] = {
        LayerProcess: EventLayer if event else StockLayer,
        ReadoutProcess: EventReadout if event else StockReadout,
    }
    tag = "fixed_pt" if network.precision == "fixed" else "floating_pt"  # of Lava's own models
    return RunConfig(select_tag=tag, exception_proc_model_map=chosen)
