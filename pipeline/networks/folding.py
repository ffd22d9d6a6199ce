"""A trained model as a plain `Network`: BNTT folded into one gain and bias per channel and step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.network.graph import LIF, Layer, Network, Readout

from .architecture import BNTT_EPSILON, SpikingLayer, SpikingNetwork


def export_network(model: SpikingNetwork) -> Network:
    """The float32 :class:`Network` that behaves as `model` does in evaluation.

    The first layer gets the input's ON and OFF planes with weights [W, -W]. BNTT becomes g = γ/√(σ²+ε), b = -g·μ per
    channel and step (Eq. 4).
    """
    channels, height, width = model.input_shape
    layers: list[Layer] = []
    for plan, layer in zip(model.plans, model.layers, strict=True):
        assert isinstance(layer, SpikingLayer)
        weight = _numpy(layer.synapses.weight)
        if not layers:
            weight = np.concatenate([weight, -weight], axis=1)  # a dense layer's inputs are channel-major too
        gain, bias = _fold(layer.bntt) if layer.bntt is not None else (1.0, 0.0)
        neuron = LIF(layer.leak, layer.threshold, gain, bias)
        layers.append(Layer(plan.name, weight, neuron, pool=plan.pool, padding=1 if plan.kind == "conv" else 0))
    return Network(
        input_shape=(2 * channels, height, width),
        timesteps=model.timesteps,
        layers=tuple(layers),
        readout=Readout(_numpy(model.readout.weight)),
    )


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
