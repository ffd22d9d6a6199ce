"""The torch backend: layer by layer over many steps and samples at a time, on a CPU or a CUDA GPU.

A chunk of steps goes through all layers before the next one, so with T only the packed result grows. Maps are channels
last, (T, B, H, W, C). That fixed point is exact is argued in synapses.py and neurons.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from backends.base import BackendError, InputBatch
from backends.constant_current import drive
from backends.network import Network, Readout, Shape
from backends.readout import integrate, rounded, summed_bias
from recordings.raster.batch import RasterBatch

from .neurons import TorchNeurons, make_neurons
from .synapses import FixedSynapses, FloatSynapses, Workspace, exact_sums

CPU_BYTES, GPU_BYTES = 24 << 20, 1 << 30  # a chunk's inputs and currents in its largest layer: on CPUs, half a cache
CHUNK_STEPS = 8  # of a chunk, at least: rather fewer samples, whose membranes then stay in that cache


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
        # torch knows more names; "meta" computes nothing.
        if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", str(device)):
            raise BackendError(f"torch: device is {device!r}, expected auto, cpu, cuda or cuda:N")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].partition(". ")[0]
            raise BackendError(
                f"torch: device is {device!r}, which is not here ({reason}); expected auto, cpu, cuda or cuda:N"
            ) from None
        self.device = device

    def prepare(self, network: Network) -> None:
        """Do nothing: :meth:`run` prepares all it needs."""

    def run(self, network: Network, inputs: Iterable[InputBatch], n_samples: int) -> Iterator[RasterBatch]:
        """Simulate samples; see :class:`backends.base.Backend`."""
        network.check_spiking(self.name)
        network.check_chain(self.name)
        with torch.inference_mode(), exact_sums():
            simulation = _Simulation(network, self.device)
            for batch in inputs:
                source = drive(self.name, network, batch)
                for start in range(0, len(source), simulation.samples):
                    yield simulation.run(source[start : start + simulation.samples])


class _Simulation:
    """A network on a device; `samples` is how many it should run at a time."""

    def __init__(self, network: Network, device: str) -> None:
        self.network, self.device = network, device
        workspace = Workspace(device)
        self.synapses = [
            FixedSynapses(layer, shape, workspace)
            if network.precision == "fixed"
            else FloatSynapses(layer, shape, device)
            for layer, shape in zip(network.layers, network.shapes, strict=False)
        ]
        self.neurons: list[TorchNeurons] = []
        largest = max(synapses.bytes_per_map for synapses in self.synapses)
        self.maps = (CPU_BYTES if device == "cpu" else GPU_BYTES) // largest  # steps times samples
        self.samples = max(1, self.maps // min(CHUNK_STEPS, network.timesteps))

    def run(self, inputs: NDArray[Any]) -> RasterBatch:
        """All steps of some samples: packed spikes (B, T, bytes), or constant currents (B, C, H, W)."""
        network, samples = self.network, len(inputs)
        source = torch.tensor(inputs, device=self.device)
        self._rest(samples)
        packed = [
            torch.zeros((samples, network.timesteps, -(-prod(shape) // 8)), dtype=torch.uint8, device=self.device)
            for shape in network.shapes[1:]
        ]
        integrator = _DeviceIntegrator(network.readout, self.neurons[-1].spikes)
        chunk = max(1, self.maps // samples)
        for start in range(1, network.timesteps, chunk):  # at step 0 nothing has arrived anywhere
            steps = range(start, min(start + chunk, network.timesteps))
            currents = self._first_currents(source, steps)
            for neurons, bits, following in zip(self.neurons, packed, [*self.synapses[1:], None], strict=True):
                fired = _fire(neurons, currents, steps)
                bits[:, start : steps.stop] = pack_bits(fired[1:])
                if following:
                    currents = following(fired[:-1].flatten(0, 1))
            integrator.add(fired[1:])
        rasters = [*([inputs] if network.spiking_input else []), *(bits.cpu().numpy() for bits in packed)]
        spikes = dict(zip(network.raster_names, rasters, strict=True))
        return RasterBatch(spikes, integrator.result(network.timesteps))

    def _rest(self, samples: int) -> None:
        """Bring the neurons of so many samples to rest; new ones, unless there are as many from the last run."""
        if not self.neurons or len(self.neurons[0].membrane) != samples:
            self.neurons = [
                make_neurons(layer.spiking_neuron, (samples, height * width, channels), self.device)
                for layer, (channels, height, width) in zip(self.network.layers, self.network.shapes[1:], strict=True)
            ]
        for neurons in self.neurons:
            neurons.rest()

    def _first_currents(self, source: Tensor, steps: range) -> Tensor:
        """What drives the first layer: its constant current, or a[t] of the input spikes, at S steps."""
        if not self.network.spiking_input:
            return source.flatten(2).mT.expand(len(steps), -1, -1, -1)
        arrived = unpack_bits(source[:, steps.start - 1 : steps.stop - 1], self.network.input_shape)
        return self.synapses[0](arrived.flatten(0, 1))


class _DeviceIntegrator:
    """:class:`backends.readout.ReadoutIntegrator` for several samples on a device; nothing happens at step 0.

    `spikes` are (B, P, C), those of the last layer at rest.
    """

    def __init__(self, readout: Readout, spikes: Tensor) -> None:
        self.readout = readout
        self.weight = torch.tensor(readout.weight, dtype=torch.float64, device=spikes.device)
        self.counts = torch.zeros_like(spikes)
        self.sums = integrate(readout, np.zeros((1, len(spikes), len(readout.weight))), np.zeros(1), 0)
        self.t = 1

    def add(self, spikes: Tensor) -> None:
        """Take the next steps: (S, B, P, C) int8 of 0 and 1."""
        if self.readout.leak == 1:
            self.counts += spikes.sum(0)
        else:
            driven = spikes.mT.flatten(2).to(torch.float64) @ self.weight.T
            self.sums = integrate(self.readout, driven.cpu().numpy(), self.sums, self.t)
            self.t += len(spikes)

    def result(self, timesteps: int) -> NDArray[Any]:
        """(B, K) int32 in fixed point, float32 otherwise."""
        if self.readout.leak == 1:
            counted = self.counts.mT.flatten(1).to(torch.float64) @ self.weight.T
            return rounded(self.readout, counted.cpu().numpy() + summed_bias(self.readout, timesteps))
        return rounded(self.readout, self.sums)


def _fire(neurons: TorchNeurons, currents: Tensor, steps: range) -> Tensor:
    """Drive neurons with a[t] at S steps; s at the step before them, then at each: (1 + S, B, P, C) int8."""
    currents = currents.view(-1, *neurons.spikes.shape)
    fired = torch.empty((1 + len(steps), *neurons.spikes.shape), dtype=torch.int8, device=currents.device)
    fired[0] = neurons.spikes
    for t, current, spikes in zip(steps, currents, fired[1:], strict=True):
        spikes.copy_(neurons.step(current, t))
    return fired


def pack_bits(spikes: Tensor) -> Tensor:
    """Pack spikes on the device, from maps that are channels last, to what :func:`recordings.raster.batch.pack` gives.

    Parameters
    ----------
    spikes : (S, B, P, C) int8 of 0 and 1, at P positions of C channels

    Returns
    -------
    (B, S, ⌈C·P/8⌉) uint8
    """
    spikes = spikes.view(torch.uint8)
    positions, channels = spikes.shape[2:]
    if positions % 8:  # then a byte may hold bits of two channels
        spikes = functional.pad(spikes.mT.flatten(2), (0, -positions * channels % 8))[..., None]
    first, *others = spikes.unflatten(2, (-1, 8)).unbind(3)
    packed = first.clone()
    for bit in others:
        packed.mul_(2).add_(bit)
    return packed.mT.flatten(2).transpose(0, 1)


def unpack_bits(packed: Tensor, shape: Shape) -> Tensor:
    """Undo :func:`pack_bits`: (B, S, ⌈C·P/8⌉) uint8 -> (S, B, P, C) int8 of 0 and 1, of maps of (C, H, W)."""
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    bits = (packed[..., None] >> places & 1).flatten(2)[..., : prod(shape)]
    return bits.unflatten(2, (shape[0], -1)).transpose(0, 1).mT.contiguous().view(torch.int8)
