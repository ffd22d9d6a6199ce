"""Currents -> spikes of one layer over many steps, with Eq. 8's gradient back through time, as one
operation.

    ∂s/∂v = 0.3·max(0, 1 - |u|) / θ, with u = (v - θ)/(w θ) and the width w = 1; no gradient through
    the reset, nor from a membrane that stands at `min_v_mem`

Forward, each step is that of `backends/torch/neurons.py`, so the spikes are that backend's.
Autograd would keep and copy a dozen arrays a step. Here one is kept, u, and the loop backward is
written out.

References
----------
Kim & Panda 2021, Eq. 2-5 and 8.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikesam.backends.network import Identity, Input, SpikingNeuron
from spikesam.backends.torch.neurons import TorchNeurons

SURROGATE_SLOPE = 0.3  # Kim & Panda 2021, Eq. 8

Rows = NDArray[np.float64]  # (1 or T, C)


def fire(
    neuron: SpikingNeuron, gain: Rows, early: Tensor, late: Tensor | None = None, width: float = 1.0
) -> Tensor:
    """Spikes (1 + S + S', B, C, …) from rest, of `early` (S, …) and `late` currents (S', …), which
    have no gradient.
    """
    late = early[:0] if late is None else late
    space = early.shape[3:]
    positions = (part.reshape(*part.shape[:3], prod(space)).mT for part in (early, late.detach()))
    spikes: Tensor = _Fire.apply(*positions, neuron, gain, width)
    return spikes.mT.reshape(*spikes.shape[:2], early.shape[2], *space)


def fire_step(
    neuron: SpikingNeuron,
    gain: Rows,
    driven: Tensor,
    t: int,
    fired_before: Tensor,
    state: Any,
    width: float = 1.0,
) -> tuple[Tensor, Any]:
    """One step t ≥ 1 of a layer that reads itself, of currents `driven` (B, C, H, W); its spikes
    and `state`.
    """

    def by_channel(numbers: Any) -> Tensor:
        return torch.tensor(numbers, dtype=driven.dtype, device=driven.device).reshape(-1, 1, 1)

    membrane, current = (
        state if state is not None else (torch.zeros_like(driven), torch.zeros_like(driven))
    )
    factor, bias = (by_channel(rows[(t - 1) % len(rows)]) for rows in (gain, neuron.bias))
    current = current * by_channel(neuron.synaptic_leak) + (driven * factor + bias)
    fired_before = fired_before.detach()  # no gradient through the reset
    if neuron.reset == "zero":
        membrane = membrane - membrane * fired_before
    membrane = membrane * by_channel(neuron.leak) + current
    if neuron.reset != "zero":
        membrane = membrane - fired_before * by_channel(neuron.subtracted)
    if neuron.min_v_mem is not None:
        membrane = torch.maximum(membrane, by_channel(neuron.min_v_mem))
    fires_above, threshold = by_channel(neuron.fires_above), by_channel(neuron.threshold)
    return _Spike.apply(membrane, fires_above, threshold, width), (membrane, current)


class _Spike(torch.autograd.Function):
    """Membranes -> spikes, with Eq. 8's gradient."""

    @staticmethod
    def forward(
        ctx: Any, membrane: Tensor, fires_above: Tensor, threshold: Tensor, width: float
    ) -> Tensor:
        ctx.save_for_backward((membrane - fires_above) / (width * threshold), threshold)
        return (membrane > fires_above).to(membrane.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        distances, threshold = ctx.saved_tensors
        return (
            gradient * (1 - distances.abs()).clamp(min=0) * SURROGATE_SLOPE / threshold,
            None,
            None,
            None,
        )


class _Fire(torch.autograd.Function):
    """Currents and spikes are (S, B, P, C), of P positions."""

    @staticmethod
    def forward(
        ctx: Any, early: Tensor, late: Tensor, neuron: Any, gain: Rows, width: float
    ) -> Tensor:
        steps = len(early) + len(late)
        samples, positions, channels = shape = early.shape[1:]
        neurons = TorchNeurons(
            neuron,
            [Input(Identity(), gain=gain)],
            (samples, positions, channels),
            str(early.device),
        )
        threshold = early.new_tensor(neuron.threshold)
        spikes = early.new_empty((1 + steps, *shape))
        spikes[0] = 0
        n_steps_with_gradient = len(early) if ctx.needs_input_grad[0] else 0
        distances = early.new_empty((n_steps_with_gradient, *shape))  # u
        for t in range(steps):
            current = early[t] if t < len(early) else late[t - len(early)]
            neurons.step([current], t + 1, out=spikes[t + 1])
            if t < n_steps_with_gradient:
                torch.sub(neurons.membrane, neurons.fires_above, out=distances[t]).div_(
                    width * threshold
                )
        lowest = (
            None
            if neurons.lowest is None
            else (neurons.lowest - neurons.fires_above).div_(width * threshold)
        )
        constants = (
            neurons.gains[0][0],
            neurons.leak,
            neurons.synaptic_leak,
            SURROGATE_SLOPE / threshold,
            lowest,
        )
        ctx.save_for_backward(distances, *constants)
        ctx.to_zero, ctx.outlasts = neurons.to_zero, neurons.outlasts
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        distances, gains, leak, synaptic_leak, steepness, lowest = ctx.saved_tensors
        result = torch.empty_like(distances)
        membrane, driven, surrogate = (torch.zeros_like(gradient[0]) for _ in range(3))
        for t in range(len(distances) - 1, -1, -1):
            if ctx.to_zero:
                membrane.mul_(distances[t] <= 0)
            torch.abs(distances[t], out=surrogate).neg_().add_(1).clamp_(min=0).mul_(steepness)
            membrane.mul_(leak).addcmul_(gradient[t + 1], surrogate)
            if lowest is not None:
                membrane.mul_(distances[t] > lowest)
            if ctx.outlasts:
                driven.mul_(synaptic_leak).add_(membrane)
            torch.mul(driven if ctx.outlasts else membrane, gains[t % len(gains)], out=result[t])
        return result, None, None, None, None
