"""Currents -> membranes and spikes of a layer with torch, step by step and in place; maps are (B,
P, C).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from spikesam.backends.network import MEMBRANE_LIMIT, THETA, FixedLIF, Input, SpikingNeuron


class TorchNeurons:
    """The neurons of a layer in some samples, of `shape` (B, P, C), and the gains of its inputs;
    first at rest.

    v ← leak·v + (g·a + b) - ρ·s                       in float32, in the order of snnTorch's Leaky
    v ← sat24( rz(v·(4096 - decay), 12) + i - ρ·s )    exactly, in float64: products stay below 2³⁹
    """

    def __init__(
        self,
        neuron: SpikingNeuron,
        inputs: Sequence[Input],
        shape: tuple[int, int, int],
        device: str,
    ) -> None:
        self.fixed = isinstance(neuron, FixedLIF)
        dtype, unit = (torch.float64, THETA) if self.fixed else (torch.float32, 1)
        constant = partial(
            torch.tensor, dtype=dtype, device=device
        )  # of one number, or (C,) or rows of it
        self.gains = [
            (constant(layer_input.gain), 1 << layer_input.shift) for layer_input in inputs
        ]
        self.bias = constant(neuron.bias)
        self.to_zero = neuron.reset == "zero"
        self.fires_above, self.subtracted = (
            constant(neuron.fires_above),
            constant(neuron.subtracted),
        )
        self.leak, self.synaptic_leak = (
            constant(unit * neuron.leak),
            constant(unit * neuron.synaptic_leak),
        )
        self.membrane = torch.zeros(shape, dtype=dtype, device=device)
        self.spikes = torch.zeros_like(self.membrane)
        self.driven = torch.zeros_like(self.membrane)  # i[t]
        self.lowest = None if neuron.min_v_mem is None else constant(neuron.min_v_mem)
        self.outlasts = bool(np.any(np.asarray(neuron.synaptic_leak) > 0))
        self.limited = self.fixed and (self.outlasts or len(inputs) > 1)
        self.current = torch.empty_like(self.membrane) if self.outlasts else self.driven
        self.product = torch.empty_like(self.membrane) if len(inputs) > 1 else self.current

    def rest(self) -> None:
        """Return to rest."""
        self.membrane.zero_()
        self.driven.zero_()
        self.spikes.zero_()

    def step(self, currents: Sequence[Tensor], t: int, out: Tensor | None = None) -> Tensor:
        """Advance to t ≥ 1: a[t] of each input, (B, P, C), to s[t] as 0 and 1, `out` or valid until
        the next step.
        """
        if self.to_zero:
            self.membrane.addcmul_(self.membrane, self.spikes, value=-1)
        for number, (current, (rows, unit)) in enumerate(zip(currents, self.gains, strict=True)):
            self._scaled(
                current, rows[(t - 1) % len(rows)], unit, self.product if number else self.current
            )
            if number:
                self.current.add_(self.product)
        self.current.add_(self.bias[(t - 1) % len(self.bias)])
        if self.outlasts:
            self._scaled(self.driven, self.synaptic_leak, THETA, self.driven).add_(self.current)
        if self.limited:
            self.driven.clamp_(-MEMBRANE_LIMIT, MEMBRANE_LIMIT)
        self._scaled(self.membrane, self.leak, THETA, self.membrane).add_(self.driven)
        if not self.to_zero:
            self.membrane.addcmul_(self.spikes, self.subtracted, value=-1)
        if self.fixed:
            self.membrane.clamp_(-MEMBRANE_LIMIT, MEMBRANE_LIMIT)
        if self.lowest is not None:
            torch.maximum(self.membrane, self.lowest, out=self.membrane)
        self.spikes = torch.gt(
            self.membrane, self.fires_above, out=self.spikes if out is None else out
        )
        return self.spikes

    def _scaled(self, numbers: Tensor, factor: Tensor, unit: int, out: Tensor) -> Tensor:
        """Write products to `out`; in fixed point `factor` is in parts of `unit`, and they round
        toward zero.
        """
        torch.mul(numbers, factor, out=out)
        return out.div_(unit, rounding_mode="trunc") if self.fixed else out
