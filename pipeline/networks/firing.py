"""Currents -> spikes of one layer over many steps, with Eq. 8's gradient back through time, as one operation.

    ∂s/∂v = 0.3·max(0, 1 - |u|) / θ, with u = (v - θ)/θ; no gradient through the reset

Autograd would keep and copy a dozen arrays a step. Here one is kept, u, and the loop backward is written out. Forward,
every number is rounded as in :mod:`backends.torch.neurons`, so the spikes are that backend's.

References
----------
Kim & Panda 2021, Eq. 2-5 and 8.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from backends.network import LIF, Layer

from .train.spiking_network import SURROGATE_SLOPE


def fire(layer: Layer, early: Tensor, late: Tensor | None = None) -> Tensor:
    """Spikes of a layer's neurons, which start at rest.

    Parameters
    ----------
    layer : in float32
    early : (S, B, C, H, W) — what the synapses hand to the neurons at steps 1 … S
    late : (S', B, C, H, W) — at the steps after those; no gradient comes back from their spikes

    Returns
    -------
    (1 + S + S', B, C, H, W) float32 of 0 and 1, channels last in memory, as convolutions like it best
    """
    return _Fire.apply(early, early[:0].detach() if late is None else late, layer.spiking_neuron)


class _Constants:
    """A layer's numbers as tensors that fit (B, C, H, W)."""

    def __init__(self, neuron: LIF, like: Tensor) -> None:
        self.gains, self.biases = (_tensor(rows, like) for rows in (neuron.gain, neuron.bias))
        self.leak, self.synaptic_leak = _tensor(neuron.leak, like), _tensor(neuron.synaptic_leak, like)
        self.threshold, self.subtracted = _tensor(neuron.threshold, like), _tensor(neuron.subtracted, like)
        self.fires_above = _tensor(neuron.fires_above, like)
        self.steepness = SURROGATE_SLOPE / self.threshold
        self.to_zero = neuron.reset == "zero"
        self.outlasts = bool(self.synaptic_leak.any())

    def at(self, t: int) -> tuple[Tensor, Tensor]:
        """Gain and bias of the current number t, which arrives at step t + 1."""
        return self.gains[t % len(self.gains)], self.biases[t % len(self.biases)]


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, early: Tensor, late: Tensor, neuron: LIF) -> Tensor:
        constants, steps = _Constants(neuron, early), len(early) + len(late)
        spikes = _channels_last(early, 1 + steps)
        spikes[0] = 0
        kept = len(early) if ctx.needs_input_grad[0] else 0
        distances = _channels_last(early, kept)  # u
        membrane, driven, arrived = (torch.zeros_like(spikes[0]) for _ in range(3))
        for t in range(steps):
            gain, bias = constants.at(t)
            if constants.to_zero:
                membrane.addcmul_(membrane, spikes[t], value=-1)
            torch.mul(early[t] if t < len(early) else late[t - len(early)], gain, out=arrived).add_(bias)
            if constants.outlasts:
                driven.mul_(constants.synaptic_leak).add_(arrived)
            membrane.mul_(constants.leak).add_(driven if constants.outlasts else arrived)
            if not constants.to_zero:
                membrane.addcmul_(spikes[t], constants.subtracted, value=-1)
            distance = distances[t] if t < kept else arrived
            torch.sub(membrane, constants.fires_above, out=distance).div_(constants.threshold)
            torch.gt(distance, 0, out=spikes[t + 1])
        ctx.save_for_backward(distances)
        ctx.constants = constants
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (distances,), constants = ctx.saved_tensors, ctx.constants
        result = torch.empty_like(distances)
        membrane, driven, surrogate = (torch.zeros_like(gradient[0]) for _ in range(3))
        for t in range(len(distances) - 1, -1, -1):
            if constants.to_zero:
                membrane.mul_(distances[t] <= 0)
            torch.abs(distances[t], out=surrogate).neg_().add_(1).clamp_(min=0).mul_(constants.steepness)
            membrane.mul_(constants.leak).addcmul_(gradient[t + 1], surrogate)
            if constants.outlasts:
                driven.mul_(constants.synaptic_leak).add_(membrane)
            torch.mul(driven if constants.outlasts else membrane, constants.at(t)[0], out=result[t])
        return result, None, None


def _channels_last(like: Tensor, steps: int) -> Tensor:
    """Uninitialised (steps, B, C, H, W), channels last in memory, for currents like these: (S, B, C, H, W)."""
    batch, channels, height, width = like.shape[1:]
    return like.new_empty((steps, batch, height, width, channels)).movedim(-1, 2)


def _tensor(numbers: Any, like: Tensor) -> Tensor:
    """A number as it is, (…, C) as (…, C, 1, 1)."""
    tensor = torch.tensor(numbers, dtype=like.dtype, device=like.device)
    return tensor[..., None, None] if tensor.ndim else tensor
