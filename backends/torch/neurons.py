"""Currents -> membranes and spikes of a layer with torch, step by step and in place; maps are (B, P, C)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from spikesam.backends.network import LIF, MEMBRANE_LIMIT, THETA, FixedLIF, Input, Layer, SpikingNeuron


class TorchNeurons(ABC):
    """The neurons of a layer in some samples, of `shape` (B, P, C), and the gains of its inputs; first at rest."""

    dtype: ClassVar[torch.dtype]

    def __init__(
        self, neuron: SpikingNeuron, inputs: Sequence[Input], shape: tuple[int, int, int], device: str
    ) -> None:
        self._constant = partial(torch.tensor, dtype=self.dtype, device=device)  # of one number, or (C,) or rows of it
        self.gains = [(self._constant(each.gain), 1 << each.shift) for each in inputs]
        self.bias = self._constant(neuron.bias)
        self.to_zero = neuron.reset == "zero"
        self.fires_above, self.subtracted = self._constant(neuron.fires_above), self._constant(neuron.subtracted)
        self.membrane = torch.zeros(shape, dtype=self.dtype, device=device)
        self.spikes = torch.zeros_like(self.membrane)
        self.driven = torch.zeros_like(self.membrane)  # i[t]
        self.lowest = None if neuron.min_v_mem is None else self._constant(neuron.min_v_mem)
        self.outlasts = bool(np.any(np.asarray(neuron.synaptic_leak) > 0))
        self.current = torch.empty_like(self.membrane) if self.outlasts else self.driven
        self.product = torch.empty_like(self.membrane) if len(inputs) > 1 else self.current

    def rest(self) -> None:
        """Return to rest."""
        self.membrane.zero_()
        self.driven.zero_()
        self.spikes.zero_()

    def step(self, currents: Sequence[Tensor], t: int, out: Tensor | None = None) -> Tensor:
        """Advance to t ≥ 1: a[t] of each input, (B, P, C), to s[t] as 0 and 1, `out` or valid until the next step."""
        if self.to_zero:
            self.membrane.addcmul_(self.membrane, self.spikes, value=-1)
        for number, (current, (rows, scale)) in enumerate(zip(currents, self.gains, strict=True)):
            self._weigh(current, rows[(t - 1) % len(rows)], scale, self.product if number else self.current)
            if number:
                self.current.add_(self.product)
        self.current.add_(self.bias[(t - 1) % len(self.bias)])
        self._drive()
        self._integrate()
        if self.lowest is not None:
            torch.maximum(self.membrane, self.lowest, out=self.membrane)
        self.spikes = torch.gt(self.membrane, self.fires_above, out=self.spikes if out is None else out)
        return self.spikes

    @abstractmethod
    def _weigh(self, current: Tensor, gain: Tensor, scale: int, out: Tensor) -> None:
        """An input's part of i[t], written to `out`."""

    @abstractmethod
    def _drive(self) -> None:
        """`driven` from i[t-1] to i[t]; `current` is what all inputs and the bias add to it."""

    @abstractmethod
    def _integrate(self) -> None:
        """`membrane` from v[t-1] to v[t]; `spikes` are s[t-1]."""

    def _subtract(self) -> None:
        """Subtract from the membranes of the neurons that fired."""
        if not self.to_zero:
            self.membrane.addcmul_(self.spikes, self.subtracted, value=-1)


class FloatNeurons(TorchNeurons):
    """v ← leak·v + (g·a + b) - ρ·s in float32, operation by operation as snnTorch's Leaky."""

    dtype = torch.float32

    def __init__(self, neuron: LIF, inputs: Sequence[Input], shape: tuple[int, int, int], device: str) -> None:
        super().__init__(neuron, inputs, shape, device)
        self.leak, self.synaptic_leak = self._constant(neuron.leak), self._constant(neuron.synaptic_leak)

    def _weigh(self, current: Tensor, gain: Tensor, scale: int, out: Tensor) -> None:
        torch.mul(current, gain, out=out)

    def _drive(self) -> None:
        if self.outlasts:
            self.driven.mul_(self.synaptic_leak).add_(self.current)

    def _integrate(self) -> None:
        self.membrane.mul_(self.leak).add_(self.driven)
        self._subtract()


class FixedNeurons(TorchNeurons):
    """v ← sat24( rz(v·(4096 - decay), 12) + i - ρ·s ), exactly, in float64: products stay below 2³⁹."""

    dtype = torch.float64

    def __init__(self, neuron: FixedLIF, inputs: Sequence[Input], shape: tuple[int, int, int], device: str) -> None:
        super().__init__(neuron, inputs, shape, device)
        self.kept = self._constant(THETA - neuron.decay)
        self.synaptic_kept = self._constant(THETA - neuron.synaptic_decay)

    def _weigh(self, current: Tensor, gain: Tensor, scale: int, out: Tensor) -> None:
        torch.mul(current, gain, out=out).div_(scale, rounding_mode="trunc")

    def _drive(self) -> None:
        if self.outlasts:
            self.driven.mul_(self.synaptic_kept).div_(THETA, rounding_mode="trunc").add_(self.current)
        if self.outlasts or len(self.gains) > 1:
            self.driven.clamp_(-MEMBRANE_LIMIT, MEMBRANE_LIMIT)

    def _integrate(self) -> None:
        self.membrane.mul_(self.kept).div_(THETA, rounding_mode="trunc")
        self.membrane.add_(self.driven)
        self._subtract()
        self.membrane.clamp_(-MEMBRANE_LIMIT, MEMBRANE_LIMIT)


def make_neurons(layer: Layer, shape: tuple[int, int, int], device: str) -> TorchNeurons:
    """:class:`FixedNeurons` or :class:`FloatNeurons`."""
    neuron = layer.spiking_neuron
    if isinstance(neuron, FixedLIF):
        return FixedNeurons(neuron, layer.inputs, shape, device)
    return FloatNeurons(neuron, layer.inputs, shape, device)
