"""The trainable spiking network: snnTorch neurons and BNTT layers, described by one VGG-like list."""

from __future__ import annotations

from typing import Any

import snntorch
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config import NetworkSection
from recordings.errors import InputError

from .fused import bntt_lif
from .plan import LayerPlan, count_inputs, plan_layers

SURROGATE_SLOPE = 0.3  # Kim & Panda 2021, Eq. 8
BNTT_EPSILON = 1e-4


class Surrogate(torch.autograd.Function):
    """Heaviside forward, piecewise-linear backward: ∂s/∂u = 0.3·max(0, 1 - |u|), with u = v/θ - 1 (Eq. 8)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        """Fire where u > 0."""
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Let the gradient through near the threshold."""
        (u,) = ctx.saved_tensors
        return gradients[0] * SURROGATE_SLOPE * (1 - u.abs()).clamp(min=0)


class SpikingLayer(nn.Module):
    """Average pooling, synapses without bias, BNTT and leaky integrate-and-fire neurons, over all steps at once.

    A spike takes one step through the synapses, so what arrives at step t left at t-1, and layer number `depth` is
    silent for its first `depth` steps, which are not computed.
    """

    def __init__(self, plan: LayerPlan, inputs: int, depth: int, network: NetworkSection, fused: bool) -> None:
        super().__init__()
        self.pool = plan.pool
        self.depth = depth
        self.leak, self.threshold = network.leak, network.threshold
        self.fused = fused
        self.synapses: nn.Conv2d | nn.Linear
        if plan.kind == "conv":
            self.synapses = nn.Conv2d(inputs, plan.outputs, 3, padding=1, bias=False)
            normalise = snntorch.BatchNormTT2d
        else:
            self.synapses = nn.Linear(inputs, plan.outputs, bias=False)
            normalise = snntorch.BatchNormTT1d
        nn.init.kaiming_normal_(self.synapses.weight)
        self.bntt = normalise(plan.outputs, network.timesteps, eps=BNTT_EPSILON) if network.normalise else None
        threshold = network.threshold
        self.neuron = snntorch.Leaky(
            beta=network.leak,
            threshold=threshold,
            spike_grad=lambda distance: Surrogate.apply(distance / threshold),
            reset_mechanism="subtract",
            reset_delay=True,
        )

    def forward(self, spikes: Tensor) -> Tensor:
        """(T', B, …) spikes that arrive at steps depth … T-1 -> (T', B, …) spikes of those steps."""
        steps, batch = spikes.shape[:2]
        x = spikes.flatten(0, 1)
        if self.pool > 1:
            x = functional.avg_pool2d(x, self.pool)
        dense = isinstance(self.synapses, nn.Linear)
        x = x.flatten(1) if dense else x.contiguous(memory_format=torch.channels_last)  # by far the fastest on CPUs
        current = self.synapses(x).unflatten(0, (steps, batch))
        if self.fused and self.training and self.bntt is not None and current.device.type == "cpu":
            return self._fused(current)
        membrane = torch.zeros_like(current[0], dtype=torch.float32)
        output = []
        for t in range(steps):
            driven = current[t].float()
            if self.bntt is not None:
                driven = self.bntt[self.depth - 1 + t](driven)  # BNTT's statistics go by the step of the input
            spike, membrane = self.neuron(driven, membrane)
            output.append(spike)
        return torch.stack(output)

    def _fused(self, current: Tensor) -> Tensor:
        assert self.bntt is not None
        steps = len(current)
        norms = [self.bntt[self.depth - 1 + t] for t in range(steps)]
        channels_last = current.movedim(2, -1)
        rows = channels_last.reshape(steps, -1, channels_last.shape[-1])
        scale = torch.stack([norm.weight for norm in norms])
        spikes, mean, variance = bntt_lif(rows, scale, BNTT_EPSILON, self.leak, self.threshold, SURROGATE_SLOPE)
        count = rows.shape[1]
        for t, norm in enumerate(norms):
            norm.running_mean.lerp_(mean[t], norm.momentum)
            norm.running_var.lerp_(variance[t] * count / (count - 1), norm.momentum)
            norm.num_batches_tracked += 1
        return spikes.reshape(channels_last.shape).movedim(-1, 2)


class SpikingNetwork(nn.Module):
    """Layers as planned and an accumulating readout.

    Parameters
    ----------
    network : the description
    channels, height, width : of the images
    classes : number of outputs
    dropout : share of features dropped in front of dense layers and the readout, the same ones at every step
    fused : see `TrainingSection.fused`

    Raises
    ------
    InputError : if pooling does not divide a map, or T is too short for the depth
    """

    def __init__(
        self,
        network: NetworkSection,
        channels: int,
        height: int,
        width: int,
        classes: int,
        dropout: float = 0.0,
        fused: bool = False,
    ) -> None:
        super().__init__()
        plans = plan_layers(network.layers)
        if network.timesteps <= len(plans):
            raise InputError(
                f"network.timesteps is {network.timesteps}, but {len(plans)} layers delay the image by as many steps; "
                f"expected at least {len(plans) + 1}, better twice that"
            )
        self.plans = plans
        self.timesteps = network.timesteps
        self.input_shape = (channels, height, width)
        self.dropout = dropout
        inputs = count_inputs(plans, channels, height, width)
        self.layers = nn.ModuleList(
            SpikingLayer(plan, count, depth, network, fused)
            for depth, (plan, count) in enumerate(zip(plans, inputs, strict=True), 1)
        )
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """Signed input spikes (T, B, C, H, W) in {-1, 0, 1} -> logits (B, classes)."""
        for plan, layer in zip(self.plans, self.layers, strict=True):
            spikes = layer(self._drop(spikes[:-1], plan.kind))
        return self.readout(self._drop(spikes, "dense").float().sum(0)) / self.timesteps

    def _drop(self, spikes: Tensor, kind: str) -> Tensor:
        if kind == "conv" or not self.training or not self.dropout:
            return spikes
        return spikes * functional.dropout(torch.ones_like(spikes[0]), self.dropout)


def poisson(images: Tensor, timesteps: int, generator: torch.Generator | None = None) -> Tensor:
    """Signed Poisson spikes for training, on the images' device: (B, C, H, W) -> (T, B, C, H, W) in {-1, 0, 1}.

    The law is that of :mod:`pipeline.encoding`, the random numbers are torch's.
    """
    random = torch.rand((timesteps, *images.shape), device=images.device, generator=generator)
    return (random < images.abs() / 2).to(images.dtype) * images.sign()
