"""BNTT, leaky integration, threshold and surrogate gradient of one layer over many steps, as one CPU operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikesam.pipeline.networks.firing import SURROGATE_SLOPE
from spikesam.pipeline.training.fused_kernels import (
    backward_through_normalisation,
    backward_through_time,
    fire_all_steps,
    moments,
)


def bntt_lif(
    current: Tensor,
    scale: Tensor,
    epsilon: float,
    leak: float,
    threshold: float,
    membrane: Tensor | None = None,
) -> Any:
    """Normalise over the batch at each step, integrate, fire; differentiable.

        i[t] = scale[t]·(a[t] - μ[t]) / √(σ²[t] + ε)
        v[t] = leak·v[t-1] + i[t] - threshold·s[t-1]        s[t] = v[t] > threshold
        ∂s/∂v = 0.3·max(0, 1 - |v/threshold - 1|) / threshold, no gradient through the reset

    Parameters
    ----------
    current : (T, rows, C) float32 or bfloat16, contiguous — a, with samples and pixels as rows
    scale : (T, C) float32 — γ of BNTT
    epsilon, leak, threshold : floats
    membrane : (rows, C) float32 — v before the first step, a constant; zero if None

    Returns
    -------
    spikes : (T, rows, C), dtype of `current`, 0 or 1
    membrane : (rows, C) float32 — v after the last step; not differentiable
    mean, variance : (T, C) float32 — biased batch statistics, for the running ones; not differentiable

    References
    ----------
    Kim & Panda 2021, Eq. 2-4 and 8
    """
    return _BnttLif.apply(current, scale, epsilon, leak, threshold, membrane)


def compile_bntt_lif(dtype: torch.dtype) -> None:
    """Compile the operation for currents of one dtype, or load it from numba's cache: ten seconds the first time."""
    current = torch.ones(1, 2, 1, dtype=dtype, requires_grad=True)
    for membrane in (None, torch.zeros(2, 1)):
        spikes, *_ = bntt_lif(current, torch.ones(1, 1), 1e-4, 0.9, 1.0, membrane)
        spikes.sum().backward()


class _BnttLif(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        scale: Tensor,
        epsilon: float,
        leak: float,
        threshold: float,
        membrane: Tensor | None,
    ) -> tuple[Tensor, ...]:
        a = _as_numpy(current)
        rows = a.shape[1]
        sums, squares = moments(a)
        mean = sums.sum(axis=0) / rows
        variance = np.maximum(squares.sum(axis=0) / rows - mean**2, 0)
        inverse = 1 / np.sqrt(variance + epsilon)
        gain = (scale.detach().numpy() * inverse).astype(np.float32)
        bias = (-gain * mean).astype(np.float32)
        spikes = torch.empty_like(current)
        end = torch.zeros(current.shape[1:]) if membrane is None else membrane.clone()
        fire_all_steps(a, gain, bias, np.float32(leak), np.float32(threshold), end.numpy(), _as_numpy(spikes))
        batch_mean, batch_variance = (torch.from_numpy(array.astype(np.float32)) for array in (mean, variance))
        ctx.save_for_backward(current, membrane)
        ctx.constants = (mean.astype(np.float32), inverse.astype(np.float32), gain, bias, leak, threshold)
        ctx.mark_non_differentiable(end, batch_mean, batch_variance)
        ctx.set_materialize_grads(False)  # no zeros in the place of their gradients
        return spikes, end, batch_mean, batch_variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        current, membrane = ctx.saved_tensors
        mean, inverse, gain, bias, leak, threshold = ctx.constants
        a = _as_numpy(current)
        through_spikes = _as_numpy(gradients[0].to(current.dtype).contiguous())
        through_membrane = np.empty(a.shape, np.float32)
        sums, products = backward_through_time(
            a,
            through_spikes,
            gain,
            bias,
            mean,
            inverse,
            np.float32(leak),
            np.float32(threshold),
            np.float32(SURROGATE_SLOPE),
            None if membrane is None else _as_numpy(membrane),
            through_membrane,
        )
        total, scale_gradient = (part.sum(axis=0).astype(np.float32) for part in (sums, products))
        result = torch.empty_like(current)
        rows = np.float32(a.shape[1])
        backward_through_normalisation(
            a, through_membrane, gain, mean, inverse, total / rows, scale_gradient / rows, _as_numpy(result)
        )
        return result, torch.from_numpy(scale_gradient), None, None, None, None


def _as_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
