"""The torch backend: batches of samples, layer by layer over all steps, on a CPU or a CUDA GPU.

Why fixed point is exact here. A current is a sum of products of int8 weights and small non-negative integers whose
magnitudes add up to less than 2²³ (checked when the network is built), so every partial sum, in whatever order it is
formed, is an integer below 2²⁴ and a float32 holds it exactly. That is true of direct and matrix-multiplication
algorithms; Winograd and FFT transforms leave the integers, and TF32 drops bits, so :func:`exact_sums` switches to
libraries and modes that use neither. The membrane update stays below 2³⁹ and is done in float64, where multiplying by
a power of two and truncating is Loihi's shift towards zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recordings.batch import RasterBatch, pack

from .base import BackendError, InputBatch
from .constant_current import constant_currents
from .network import LIF, MEMBRANE_LIMIT, THETA, FixedLIF, Layer, Network

CHUNK_BYTES = 256 << 20  # of currents computed at a time, so that memory does not grow with T


class TorchBackend:
    """Runs a network with torch.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1", or "auto" for CUDA where there is one

    Raises
    ------
    BackendError : if the device is not there
    """

    name = "torch"

    def __init__(self, device: str = "auto") -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise BackendError(f"device {device!r}: {reason}; expected auto, cpu, cuda or cuda:N") from None
        self.device = device

    def run(self, network: Network, inputs: Iterable[InputBatch], n_samples: int) -> Iterator[RasterBatch]:
        """Simulate batches; see :class:`backends.base.Backend`."""
        with torch.inference_mode(), exact_sums():
            for batch in inputs:
                yield self._run_batch(network, batch)

    def _run_batch(self, network: Network, inputs: InputBatch) -> RasterBatch:
        packed = {}
        for name, raster in zip(network.raster_names, _rasters(network, inputs, self.device), strict=True):
            packed[name] = pack(raster.cpu().numpy())
        counts = raster.sum(0).flatten(1).to(torch.float64)
        weight = torch.from_numpy(network.readout.weight.astype(np.float64)).to(self.device)
        readout = (counts @ weight.T).cpu().numpy()  # integers below 2³¹, or real numbers rounded once
        fixed = network.precision == "fixed"
        return RasterBatch(packed, readout.astype(np.int32) if fixed else readout.astype(np.float32))


def _rasters(network: Network, inputs: InputBatch, device: str) -> Iterator[Tensor]:
    """The recorded rasters in order, each (T, B, C, H, W) bool."""
    layers = iter(network.layers)
    if network.encoder == "constant-current":
        current = torch.from_numpy(constant_currents(network, inputs)).to(device, torch.float32)
        fired = torch.zeros((network.timesteps, *current.shape), dtype=torch.bool, device=device)
        raster = _run_neurons(next(layers), repeat(current, network.timesteps - 1), fired)
    else:
        raster = torch.from_numpy(np.ascontiguousarray(inputs)).to(device)
    yield raster
    for layer in layers:
        shape = layer.output_shape((raster.shape[2], raster.shape[3], raster.shape[4]))
        fired = torch.zeros((*raster.shape[:2], *shape), dtype=torch.bool, device=device)
        raster = _run_neurons(layer, _currents(layer, raster, fired), fired)
        yield raster


def _run_neurons(layer: Layer, currents: Iterable[Tensor], fired: Tensor) -> Tensor:
    """Drive the neurons with a[1] … a[T-1], each (B, C, H, W), and return `fired`, (T, B, C, H, W) bool, filled."""
    neuron: _FixedState | _FloatState
    neuron = _FixedState(layer.neuron) if isinstance(layer.neuron, FixedLIF) else _FloatState(layer.neuron)
    neuron.step(torch.zeros(fired.shape[1:], device=fired.device), None, fired[0])
    for t, current in enumerate(currents):
        neuron.step(current, t, fired[t + 1])
    return fired


def _currents(layer: Layer, spikes: Tensor, fired: Tensor) -> Iterator[Tensor]:
    """a[1] … a[T-1] of the spikes of the layer before, as many steps at a time as memory allows."""
    weight = torch.from_numpy(layer.weight.astype(np.float32)).to(spikes.device)
    steps = len(spikes)
    chunk = max(1, CHUNK_BYTES // (4 * max(spikes[0].numel(), fired[0].numel())))
    for start in range(0, steps - 1, chunk):
        arrived = spikes[start : min(start + chunk, steps - 1)]
        current = synapses(layer, weight, arrived.flatten(0, 1).to(torch.float32))
        yield from current.reshape(len(arrived), *fired.shape[1:])


def synapses(layer: Layer, weight: Tensor, spikes: Tensor) -> Tensor:
    """a = W ⊛ pool(s) for (samples, C, H, W) float32; pooling averages, in fixed point it sums."""
    if layer.pool > 1:
        fixed = isinstance(layer.neuron, FixedLIF)
        spikes = functional.avg_pool2d(spikes, layer.pool, divisor_override=1 if fixed else None)
    if layer.kind == "dense":
        return functional.linear(spikes.flatten(1), weight)
    return functional.conv2d(spikes, weight, stride=layer.stride, padding=layer.padding)


class _FloatState:
    """v ← leak·v + g·a + b - θ·s in float32, operation by operation as snnTorch's Leaky."""

    def __init__(self, neuron: LIF) -> None:
        self.neuron = neuron
        self.membrane: Tensor | None = None

    def step(self, current: Tensor, gain_step: int | None, fired: Tensor) -> None:
        """Advance by one step, write the spikes into `fired`; at a sample's first step there is no current."""
        neuron = self.neuron
        if self.membrane is None:
            self.membrane = torch.zeros_like(current, dtype=torch.float32)
        reset = (self.membrane > neuron.threshold) * neuron.threshold
        self.membrane = neuron.leak * self.membrane
        if gain_step is not None:
            self.membrane += constants_at(neuron.gain, gain_step, current) * current + constants_at(
                neuron.bias, gain_step, current
            )
        self.membrane -= reset
        torch.gt(self.membrane, neuron.threshold, out=fired)


class _FixedState:
    """v ← sat24( rz(v·(4096 - decay), 12) + rz(a·G, shift) + B - Θ·s ), exactly, in float64."""

    def __init__(self, neuron: FixedLIF) -> None:
        self.neuron = neuron
        self.membrane: Tensor | None = None

    def step(self, current: Tensor, gain_step: int | None, fired: Tensor) -> None:
        """Advance by one step, write the spikes into `fired`; at a sample's first step there is no current."""
        neuron = self.neuron
        if self.membrane is None:
            self.membrane = torch.zeros_like(current, dtype=torch.float64)
        reset = (self.membrane > THETA) * float(THETA)
        self.membrane = (self.membrane * ((4096 - neuron.decay) / 4096)).trunc_()
        if gain_step is not None:
            gain = constants_at(neuron.gain * 2.0**-neuron.shift, gain_step, self.membrane)
            self.membrane += (current * gain).trunc_() + constants_at(neuron.bias, gain_step, self.membrane)
        self.membrane = (self.membrane - reset).clamp_(-MEMBRANE_LIMIT, MEMBRANE_LIMIT)
        torch.gt(self.membrane, THETA, out=fired)


def constants_at(constants: NDArray[np.float64] | NDArray[np.int32], step: int, like: Tensor) -> Tensor:
    """The gain or bias of a step, one per channel, to broadcast over (B, C, H, W)."""
    row = constants[step if len(constants) > 1 else 0]
    return torch.tensor(row, dtype=like.dtype, device=like.device)[:, None, None]


@contextmanager
def exact_sums() -> Iterator[None]:
    """Only direct and matrix-multiplication algorithms, in full float32.

    cuDNN and NNPACK may choose Winograd or FFT, so they are off; torch's own CUDA convolution multiplies matrices.
    oneDNN, on CPUs, is asked by torch for its direct algorithm.
    """
    precision = torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        stack.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")
        yield
