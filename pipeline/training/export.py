"""A trained model as a plain `Network`: BNTT folded into one gain and bias per channel and step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.network import LIF, Input, Layer, Network, Neuron, Readout, ReLU, Source
from spikesam.pipeline.networks.layer_list import LayerPlan
from spikesam.pipeline.training.relu_network import ReluNetwork
from spikesam.pipeline.training.spiking_network import ATTENTION_GAIN, BNTT_EPSILON, SpikingNetwork, TrainableLayer


def export_network(model: SpikingNetwork | ReluNetwork) -> Network:
    """The float32 :class:`Network` that behaves as `model` does in evaluation.

    The first layer of a spiking network for images gets their ON and OFF planes with weights [W, -W]. BNTT becomes
    g = γ/√(σ²+ε), b = -g·μ per channel and step (Eq. 4).
    """
    shape, readout = model.input_shape, Readout(_numpy(model.readout.weight))
    if isinstance(model, ReluNetwork):
        layers = [_layer(plan, each.weight, ReLU()) for plan, each in zip(model.plans, model.synapses, strict=True)]
        return Network(shape, 1, tuple(layers), readout, "image")
    layers = [_spiking_layer(plan, layer, model.depths) for plan, layer in zip(model.plans, model.layers, strict=True)]
    if model.encoder == "spikes":
        return Network(shape, model.timesteps, tuple(layers), readout, "spikes")
    first, *back = layers[0].inputs
    first = replace(first, weight=with_off_planes(first.weight))
    layers[0] = Layer(layers[0].name, (first, *back), layers[0].neuron)
    return Network((2 * shape[0], *shape[1:]), model.timesteps, tuple(layers), readout)


def with_off_planes(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """W on signed input -> [W, -W] on its ON and OFF planes; a dense layer's inputs are channel-major too."""
    return np.concatenate([weight, -weight], axis=1)


def _layer(plan: LayerPlan, weight: Any, neuron: Neuron, gain: Any = 1, source: tuple[Source, ...] = ()) -> Layer:
    if plan.heads:
        return Layer(plan.name, Input(None, source, gain, heads=plan.heads), neuron)
    padding = plan.side // 2 if plan.kind == "conv" else 0
    return Layer(plan.name, Input(_numpy(weight), source, gain, pool=plan.pool, padding=padding), neuron)


def _spiking_layer(plan: LayerPlan, layer: nn.Module, depths: Mapping[str, int]) -> Layer:
    assert isinstance(layer, TrainableLayer)
    gain, bias = (ATTENTION_GAIN if plan.heads else 1.0, 0.0) if layer.bntt is None else _fold(layer.bntt)
    source = tuple(Source(name, depths[plan.name] - depths[name]) for name in plan.reads)
    weight = None if plan.heads else layer.synapses.weight
    made = _layer(plan, weight, LIF(layer.neuron.leak, layer.neuron.threshold, bias=bias), gain, source)
    if layer.back is None:
        return made
    return replace(made, inputs=(*made.inputs, Input(_numpy(layer.back.weight), Source(plan.name))))


def _fold(bntt: nn.ModuleList) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T, C) gain and bias of a BNTT layer, in double precision."""
    scale, mean, variance = (
        np.stack([_numpy(getattr(norm, name)).astype(np.float64) for norm in bntt])
        for name in ("weight", "running_mean", "running_var")
    )
    gain = scale / np.sqrt(variance + BNTT_EPSILON)
    return gain, -gain * mean


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().float().numpy()
