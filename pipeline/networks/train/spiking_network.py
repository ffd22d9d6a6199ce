"""The trainable spiking network: snnTorch neurons and BNTT layers, described by one VGG-like list."""

from __future__ import annotations

from typing import Any

import snntorch
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config import NetworkSection
from pipeline.networks.layer_list import LayerPlan, count_inputs, plan_layers
from recordings.errors import InputError

from .fused import bntt_lif

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
    """Average pooling, synapses without bias, BNTT and leaky integrate-and-fire neurons, over many steps at once.

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

    def forward(self, early: Tensor, late: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes that arrive -> spikes that these neurons fire in the same steps.

        Parameters
        ----------
        early : (T', B, …) — arriving from step `depth` on
        late : (T'', B, …) — arriving in the steps after those; no gradient passes them
        """
        early, membrane = self._advance(early, self.depth, None)
        if len(late):
            with torch.no_grad():
                late, _ = self._advance(late, self.depth + len(early), membrane)
        return early, late

    def _advance(self, spikes: Tensor, step: int, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        """From `step` on: spikes that arrive -> spikes fired, and the membrane at the end."""
        steps, batch = spikes.shape[:2]
        x = spikes.flatten(0, 1)
        if self.pool > 1:
            x = functional.avg_pool2d(x, self.pool)
        dense = isinstance(self.synapses, nn.Linear)
        x = x.flatten(1) if dense else x.contiguous(memory_format=torch.channels_last)  # by far the fastest on CPUs
        current = self.synapses(x).unflatten(0, (steps, batch))
        norms = None if self.bntt is None else list(self.bntt)[step - 1 : step - 1 + steps]  # by the step of the input
        if self.fused and self.training and norms is not None and current.device.type == "cpu":
            return self._fused(current, norms, membrane)
        if membrane is None:
            membrane = torch.zeros_like(current[0], dtype=torch.float32)
        output = []
        for t in range(steps):
            driven = current[t].float()
            spike, membrane = self.neuron(driven if norms is None else norms[t](driven), membrane)
            output.append(spike)
        return torch.stack(output), membrane

    def _fused(self, current: Tensor, norms: list[Any], membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        channels_last = current.movedim(2, -1)
        rows = channels_last.flatten(1, -2)
        scale = torch.stack([norm.weight for norm in norms])
        spikes, membrane, mean, variance = bntt_lif(
            rows, scale, BNTT_EPSILON, self.leak, self.threshold, SURROGATE_SLOPE, membrane
        )
        count = rows.shape[1]
        if count < 2:  # as torch's own batch normalisation
            raise ValueError("BNTT: got one value per channel and step, expected more in training")
        for norm, batch_mean, batch_variance in zip(norms, mean, variance * (count / (count - 1)), strict=True):
            norm.running_mean.lerp_(batch_mean, norm.momentum)
            norm.running_var.lerp_(batch_variance, norm.momentum)
            norm.num_batches_tracked += 1
        return spikes.reshape(channels_last.shape).movedim(-1, 2), membrane


class SpikingNetwork(nn.Module):
    """Layers as planned and an accumulating readout.

    Parameters
    ----------
    network : the description
    channels, height, width : of the images, or of input spikes
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
        self.encoder = network.encoder
        self.normalise = network.normalise
        self.input_shape = (channels, height, width)
        self.dropout = dropout
        inputs = count_inputs(plans, channels, height, width)
        self.layers = nn.ModuleList(
            SpikingLayer(plan, count, depth, network, fused)
            for depth, (plan, count) in enumerate(zip(plans, inputs, strict=True), 1)
        )
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """Input spikes (T, B, C, H, W), signed ones of images in {-1, 0, 1} or bits -> logits (B, classes).

        Each of L layers delays by a step, so only the first T - L steps of the input, and as many of every layer, reach
        the readout. Later ones are worked out in training alone, without gradient, for BNTT's statistics.
        """
        reach = self.timesteps - len(self.layers)
        early, late = spikes[:reach], spikes[reach:]
        if not (self.training and self.normalise):
            late = late[:0]
        for plan, layer in zip(self.plans, self.layers, strict=True):
            early, late = layer(*self._drop(plan.kind, early, late[:-1]))
        (early,) = self._drop("dense", early)
        return self.readout(early.float().sum(0)) / self.timesteps

    def _drop(self, kind: str, *spikes: Tensor) -> tuple[Tensor, ...]:
        if kind == "conv" or not self.training or not self.dropout:
            return spikes
        kept = functional.dropout(torch.ones_like(spikes[0][0]), self.dropout)
        return tuple(part * kept for part in spikes)


def poisson(images: Tensor, timesteps: int, generator: torch.Generator | None = None) -> Tensor:
    """Signed Poisson spikes for training, on the images' device: (B, C, H, W) -> (T, B, C, H, W) in {-1, 0, 1}.

    The law is that of :mod:`pipeline.images.encoding`, the random numbers are torch's.
    """
    random = torch.rand((timesteps, *images.shape), device=images.device, generator=generator)
    return images.sign() * (random < images.abs() / 2)
