"""Network -> Lava process graph: stock Conv and Dense between this project's neurons, source, readout and recorder.

With constant-current input, the source takes the place of the first synapses.

Layouts change here and nowhere else: Lava's own is (H, W, C). Average pooling is folded into the weights: pool 2, then
a 3×3 kernel, is a 6×6 kernel of stride 2 and padding 2 (which sums in fixed point; the neuron's gain absorbs the k²).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_configs import Loihi1SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from numpy.typing import NDArray

from backends.network import FixedLIF, Layer, Network, Shape

from .process.endpoints import Readout, Recorder, recorder_model
from .process.neuron import SoftResetLIF
from .process.sources import CurrentSource, SpikeSource
from .process.synapses import (
    EventConvModelFixed,
    EventConvModelFloat,
    EventDenseModelFixed,
    EventDenseModelFloat,
)


def build_graph(network: Network, n_samples: int, socket_fd: int) -> AbstractProcess:
    """Build and connect every Process; returns the source, from which Lava finds the others.

    It runs for `n_samples · timesteps + 1` steps: the last sample's readout current needs one more.
    """
    timesteps = network.timesteps
    socket = {"n_samples": n_samples, "socket_fd": socket_fd, "name": "input"}
    recorded: list[OutPort] = []
    source: AbstractProcess
    spikes: OutPort | None = None
    if network.encoder == "constant-current":
        source = CurrentSource(shape=_layout(network.layers[0], network.shapes[1]), timesteps=timesteps, **socket)
    else:
        channels, height, width = network.input_shape
        source = SpikeSource(shape=(height, width, channels), timesteps=timesteps, **socket)
        recorded.append(source.bits_out)
        spikes = source.s_out
    for layer, before, shape in zip(network.layers, network.shapes[:-1], network.shapes[1:], strict=True):
        current = source.a_out if spikes is None else _through_synapses(spikes, layer, before)
        neurons = _neurons(layer, shape, timesteps)
        current.connect(neurons.a_in)
        recorded.append(neurons.bits_out)
        spikes = neurons.s_out
    recorder = Recorder(
        sizes=tuple(port.shape[0] for port in recorded),
        classes=network.classes,
        timesteps=timesteps,
        socket_fd=socket_fd,
        name="recorder",
    )
    for number, port in enumerate(recorded):
        port.connect(getattr(recorder, f"bits_{number}"))
    weight = _fold(network.readout.weight, network.shapes[-1], pool=1)
    synapses = _stock_dense(weight, "readout_synapses")
    readout = Readout(shape=(network.classes,), timesteps=timesteps, name="readout")
    assert spikes is not None
    _connect(spikes, synapses)
    synapses.a_out.connect(readout.a_in)
    readout.r_out.connect(recorder.r_in)
    return source


def run_config(network: Network, models: str) -> Loihi1SimCfg:
    """Choose ProcessModels: event-driven ones for the synapses ("event"), or those Lava comes with ("stock")."""
    fixed = network.precision == "fixed"
    chosen: dict[type, type] = {Recorder: recorder_model(len(network.raster_names), np.int32 if fixed else np.float32)}
    if models == "event":
        chosen |= {
            Conv: EventConvModelFixed if fixed else EventConvModelFloat,
            Dense: EventDenseModelFixed if fixed else EventDenseModelFloat,
        }
    return Loihi1SimCfg(select_tag="fixed_pt" if fixed else "floating_pt", exception_proc_model_map=chosen)


def _through_synapses(spikes: OutPort, layer: Layer, before: Shape) -> OutPort:
    """Connect spikes to new synapses; returns the port of their current."""
    synapses = _conv(layer, before) if layer.kind == "conv" else _dense(layer, before)
    _connect(spikes, synapses)
    return synapses.a_out


def _connect(spikes: OutPort, synapses: Conv | Dense) -> None:
    spikes.reshape(synapses.s_in.shape).connect(synapses.s_in)


def _conv(layer: Layer, before: Shape) -> Conv:
    channels, height, width = before
    # Lava's Conv is a true convolution: flip. Its weights are (O, H, W, C).
    kernel = layer.averaged_weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)
    kernel = kernel.repeat(layer.pool, axis=1).repeat(layer.pool, axis=2)
    return Conv(
        weight=kernel,
        input_shape=(height, width, channels),
        padding=layer.padding * layer.pool,
        stride=layer.stride * layer.pool,
        name=f"{layer.name}_synapses",
    )


def _dense(layer: Layer, before: Shape) -> Dense:
    return _stock_dense(_fold(layer.averaged_weight, before, layer.pool), f"{layer.name}_synapses")


def _fold(weight: NDArray[Any], before: Shape, pool: int) -> NDArray[Any]:
    """(O, pooled C·h·w) weights -> (O, H·W·C) weights on the unpooled map in Lava's layout."""
    channels, height, width = before
    tensor = weight.reshape(-1, channels, height // pool, width // pool)
    tensor = tensor.repeat(pool, axis=2).repeat(pool, axis=3).transpose(0, 2, 3, 1)
    return tensor.reshape(len(weight), -1)


def _stock_dense(weight: NDArray[Any], name: str) -> Dense:
    if weight.dtype == np.int8:
        # Stock fixed-point Dense drops the lowest bit of mixed-sign weights; doubled and halved again, none is lost.
        return Dense(weights=weight.astype(np.int16) * 2, weight_exp=-1, name=name)
    return Dense(weights=weight, name=name)


def _neurons(layer: Layer, shape: Shape, timesteps: int) -> SoftResetLIF:
    neuron = layer.neuron
    constants: tuple[Any, Any] = (
        (neuron.decay, neuron.shift)
        if isinstance(neuron, FixedLIF)
        else (np.float32(neuron.leak), np.float32(neuron.threshold))
    )
    return SoftResetLIF(
        shape=_layout(layer, shape),
        timesteps=timesteps,
        gain=neuron.gain,
        bias=neuron.bias,
        constants=constants,
        name=layer.name,
    )


def _layout(layer: Layer, shape: Shape) -> tuple[int, ...]:
    """(C, H, W) of a layer's neurons -> their shape in Lava."""
    channels, height, width = shape
    return (height, width, channels) if layer.kind == "conv" else (channels,)
