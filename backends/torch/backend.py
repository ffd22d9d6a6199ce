"""The torch backend: layer by layer over chunks of steps, on a CPU or a CUDA GPU; maps are (T, B,
H, W, C).
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

from spikesam.backends.base import Backend, BackendError, InputBatch
from spikesam.backends.input_currents import arriving, backend_input, by_input
from spikesam.backends.network import Network, Readout, Shape
from spikesam.backends.network.acting import ActingSteps
from spikesam.backends.readout import integrate, rounded, summed_bias
from spikesam.backends.torch._history import History
from spikesam.backends.torch.neurons import TorchNeurons
from spikesam.backends.torch.synapses import Workspace, exact_sums, make_synapses, repeat_spikes
from spikesam.common.errors import at
from spikesam.recordings.raster.batch import RasterBatch

CPU_BYTES, GPU_BYTES = (
    24 << 20,
    1 << 30,
)  # a chunk's inputs and currents in its largest layer: on CPUs, half a cache
CHUNK_STEPS = (
    8  # of a chunk, at least: rather fewer samples, whose membranes then stay in that cache
)


class TorchBackend(Backend):
    """Runs a network with torch on "cpu", "cuda", "cuda:1", or "auto" for CUDA if there is one."""

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
                f"torch: device is {device!r}, which is not here ({reason}); expected auto, cpu, "
                "cuda or cuda:N"
            ) from None
        self.device = device

    def run(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[RasterBatch]:
        """Simulate samples; see :class:`spikesam.backends.base.Backend`."""
        with at(self.name):
            network.check_spiking()
        with torch.inference_mode(), exact_sums():
            simulation = _Simulation(network, self.device)
            for batch in inputs:
                source = backend_input(self.name, network, batch)
                for start in range(0, len(source), simulation.samples):
                    yield simulation.run(source[start : start + simulation.samples])


class _Simulation:
    """A network on a device; `samples` is how many it should run at a time."""

    def __init__(self, network: Network, device: str) -> None:
        self.network, self.device = network, device
        workspace = Workspace(device)
        self.history, self.acting = History(network, workspace), ActingSteps(network).of()
        self.synapses = [
            [
                make_synapses(layer_input, network.shape_read(layer_input), workspace, f"a{number}")
                for number, layer_input in enumerate(layer.inputs)
            ]
            for layer in network.layers
        ]
        self.neurons: list[TorchNeurons] = []
        self.given: dict[
            tuple[int, int], Tensor
        ] = {}  # currents (B, S, C, H, W) of the inputs that numbers drive
        largest = max(
            sum(layer_synapses.bytes_per_map for layer_synapses in synapses)
            for synapses in self.synapses
        )
        self.maps = (CPU_BYTES if device == "cpu" else GPU_BYTES) // largest  # steps times samples
        self.samples = max(1, self.maps // min(CHUNK_STEPS, self.history.longest))

    def run(self, inputs: NDArray[Any]) -> RasterBatch:
        """All steps of some samples: packed spikes (B, T, bytes), or currents (B, S, N)."""
        network, history, samples = self.network, self.history, len(inputs)
        source = torch.tensor(inputs, device=self.device)
        silent_steps = history.kept[0] - 1  # silent steps that are read before the first
        if network.spiking_input and silent_steps:
            source = functional.pad(source, (0, 0, silent_steps, 0))
        self.given = {} if network.spiking_input else dict(by_input(network, source))
        self._rest(samples)
        packed = [
            torch.zeros((samples, network.timesteps, size), dtype=torch.uint8, device=self.device)
            for size in network.raster_bytes[-len(network.layers) :]
        ]
        integrator = _DeviceIntegrator(network.readout, self.neurons[-1].spikes)
        chunk = max(1, min(self.maps // samples, history.longest))
        for start in range(1, network.timesteps, chunk):  # at step 0 nothing has arrived anywhere
            steps = range(start, min(start + chunk, network.timesteps))
            if network.spiking_input:
                history.spikes[0] = unpack_bits(
                    source[:, start - 1 : steps.stop + silent_steps - 1], network.input_shape
                )
            for place, bits in enumerate(packed, 1):
                fired, now = self._fire(place, steps)
                if now:
                    bits[:, steps[now.start] : steps[now.stop - 1] + 1] = pack_bits(
                        fired[now.start : now.stop]
                    )
                history.end(place)
            integrator.add(fired)
        rasters = [
            *([inputs] if network.spiking_input else []),
            *(bits.cpu().numpy() for bits in packed),
        ]
        spikes = dict(zip(network.raster_names, rasters, strict=True))
        return RasterBatch(spikes, integrator.result(network.timesteps))

    def _rest(self, samples: int) -> None:
        """Bring the neurons of so many samples to rest; new ones, unless there are as many from the
        last run.
        """
        if not self.neurons or len(self.neurons[0].membrane) != samples:
            self.neurons = [
                TorchNeurons(
                    layer.spiking_neuron,
                    layer.inputs,
                    (samples, height * width, channels),
                    self.device,
                )
                for layer, (channels, height, width) in zip(
                    self.network.layers, self.network.shapes[1:], strict=True
                )
            ]
        for neurons in self.neurons:
            neurons.rest()
        self.history.rest(samples)

    def _fire(self, place: int, steps: range) -> tuple[Tensor, range]:
        """Drive the layer at a place of the network at S steps: (S, B, P, C) int8, its spikes
        there; where it acts.
        """
        neurons, history, layer = (
            self.neurons[place - 1],
            self.history,
            self.network.layers[place - 1],
        )
        fired, piece, acting = (
            history.begin(place, len(steps)),
            history.pieces[place],
            self.acting[place],
        )
        now = range(max(0, acting.start - steps.start), min(len(steps), acting.stop - steps.start))
        if len(now) < len(steps):
            fired.zero_()
        early = {
            number: self._currents(place, number, now, steps.start)
            for number, layer_input in enumerate(layer.inputs)
            if now and all(read.layer != layer.name for read in layer_input.sources)
        }
        for start in range(now.start, now.stop, piece):
            part = range(start, min(start + piece, now.stop))
            currents = [
                early[number][start - now.start : part.stop - now.start]
                if number in early
                else self._currents(place, number, part, steps.start)
                for number in range(len(layer.inputs))
            ]
            each_step = zip(
                steps[start : part.stop], fired[start : part.stop], *currents, strict=True
            )
            for t, spikes, *step_currents in each_step:
                spikes.copy_(neurons.step(step_currents, t))
        return fired, now

    def _currents(self, place: int, number: int, steps: range, start: int) -> Tensor:
        """(S, B, P, C) a of a layer's input at some steps of the chunk that begins at `start`,
        counted from there.
        """
        layer_input = self.network.layers[place - 1].inputs[number]
        if (driven_currents := self.given.get((place - 1, number))) is not None:
            maps, now = (
                driven_currents.flatten(3).mT.transpose(0, 1),
                range(start + steps.start, start + steps.stop),
            )
            silent, among = arriving(now, layer_input.sources[0].longest)
            constant = self.network.encoder == "constant-current"
            maps = maps.expand(len(steps) - silent, -1, -1, -1) if constant else maps[among]
            return torch.cat([maps.new_zeros((silent, *maps.shape[1:])), maps]) if silent else maps
        arrived = self.history.arrived(layer_input, steps, f"x{number}").flatten(0, 1)
        spikes_read = repeat_spikes(arrived, layer_input, self.network.shape_read(layer_input))
        return self.synapses[place - 1][number](spikes_read).view(
            -1, *self.neurons[place - 1].spikes.shape
        )


class _DeviceIntegrator:
    """:class:`spikesam.backends.readout.ReadoutIntegrator` for spikes (B, P, C); nothing happens at
    step 0.
    """

    def __init__(self, readout: Readout, spikes: Tensor) -> None:
        self.readout = readout
        self.weight = torch.tensor(readout.weight, dtype=torch.float64, device=spikes.device)
        self.counts = torch.zeros_like(spikes)
        self.sums = integrate(
            readout, np.zeros((1, len(spikes), len(readout.weight))), np.zeros(1), 0
        )
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
            return rounded(
                self.readout, counted.cpu().numpy() + summed_bias(self.readout, timesteps)
            )
        return rounded(self.readout, self.sums)


def pack_bits(spikes: Tensor) -> Tensor:
    """Pack spikes on the device, (S, B, P, C) int8 of 0 and 1, channels last, as `pack` does: (B,
    S, ⌈C·P/8⌉) uint8.
    """
    spikes = spikes.view(torch.uint8)
    positions, channels = spikes.shape[2:]
    if positions % 8:  # then a byte may hold bits of two channels
        spikes = functional.pad(spikes.mT.flatten(2), (0, -positions * channels % 8))[..., None]
    first, *further_bits = spikes.unflatten(2, (-1, 8)).unbind(3)
    packed = first.clone()
    for bit in further_bits:
        packed.mul_(2).add_(bit)
    return packed.mT.flatten(2).transpose(0, 1)


def unpack_bits(packed: Tensor, shape: Shape) -> Tensor:
    """Undo :func:`pack_bits`: (B, S, ⌈C·P/8⌉) uint8 -> (S, B, P, C) int8 of 0 and 1, of maps of (C,
    H, W).
    """
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    bits = (packed[..., None] >> places & 1).flatten(2)[..., : prod(shape)]
    return bits.unflatten(2, (shape[0], -1)).transpose(0, 1).mT.contiguous().view(torch.int8)
