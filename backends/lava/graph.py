"""Network -> Lava process graph: layers between this project's source, readout and recorder.

With constant-current input, the source takes the place of the first synapses.

Layouts change in this folder and nowhere else: Lava's own is (H, W, C).
"""

from __future__ import annotations

from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_configs import Loihi1SimCfg

from backends.formed_maps import MapRequest
from backends.network import Network

from .process.layer import EventLayer, LayerProcess, StockLayer
from .process.readout import EventReadout, ReadoutProcess, StockReadout
from .process.recorder import RecorderProcess, recorder_model
from .process.sources import CurrentSource, SpikeSource
from .transfer import layers_with_maps, maps_of_layer, readout_type


def build_graph(network: Network, n_samples: int, socket_fd: int, request: MapRequest | None) -> AbstractProcess:
    """Build and connect every Process; returns the source, from which Lava finds the others.

    It runs for `n_samples · timesteps + 1` steps: the last sample's readout needs one more.

    Parameters
    ----------
    request : which maps leave the graph; without it, every spike does
    """
    timesteps = network.timesteps
    layers = [
        LayerProcess(
            layer=layer,
            shape=shape,
            timesteps=timesteps,
            constant=layer is network.layers[0] and not network.spiking_input,
            maps=maps_of_layer(network, request, layer.name) if request else None,
        )
        for layer, shape in zip(network.layers, network.shapes, strict=False)
    ]
    readout = ReadoutProcess(readout=network.readout, shape=network.shapes[-1], timesteps=timesteps)
    receivers = [*(layer.s_in for layer in layers), readout.s_in]
    recorded: list[OutPort] = [layer.bits_out for layer in layers]
    about = {"timesteps": timesteps, "n_samples": n_samples, "socket_fd": socket_fd, "name": "input"}
    source: AbstractProcess
    if network.spiking_input:
        channels, height, width = network.input_shape
        source = SpikeSource(shape=(height, width, channels), **about)
        source.s_out.reshape(receivers[0].shape).connect(receivers[0])
        recorded.insert(0, source.bits_out)
    else:
        source = CurrentSource(shape=layers[0].a_in.shape, **about)
        source.a_out.connect(layers[0].a_in)
    for layer, receiver in zip(layers, receivers[1:], strict=True):
        layer.s_out.reshape(receiver.shape).connect(receiver)
    explained = [layer for layer in layers if layer.proc_params["maps"]]
    recorded = recorded if request is None or request.spikes else []
    recorder = RecorderProcess(
        sizes=tuple(port.shape[1] for port in recorded),
        pixels=tuple(layer.sum_out.shape[0] for layer in explained),
        stepped=request.stepped if request else 0,
        classes=network.classes,
        readout_type=readout_type(network),
        timesteps=timesteps,
        socket_fd=socket_fd,
        name="recorder",
    )
    for number, port in enumerate(recorded):
        port.connect(getattr(recorder, f"bits_{number}"))
    for number, layer in enumerate(explained):
        layer.maps_out.connect(getattr(recorder, f"maps_{number}"))
        layer.sum_out.connect(getattr(recorder, f"sum_{number}"))
    readout.r_out.connect(recorder.r_in)
    return source


def run_config(network: Network, models: str, request: MapRequest | None) -> Loihi1SimCfg:
    """Choose models: event-driven ones, or graphs of the Processes and models that Lava comes with ("stock")."""
    event = models == "event"
    rasters = len(network.raster_names) if request is None or request.spikes else 0
    maps = len(layers_with_maps(network, request)) if request else 0
    chosen: dict[type, type] = {
        RecorderProcess: recorder_model(rasters, maps),
        LayerProcess: EventLayer if event else StockLayer,
        ReadoutProcess: EventReadout if event else StockReadout,
    }
    tag = "fixed_pt" if network.precision == "fixed" else "floating_pt"  # of Lava's own models
    return Loihi1SimCfg(select_tag=tag, exception_proc_model_map=chosen)
