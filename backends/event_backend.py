"""The event backend: work is done where there are spikes, on the CPU; one sample per thread.

A convolution multiplies every weight by every 0; here each spike adds the weights it reaches, and nothing else happens
(see kernels.py, which the Lava models share). Samples go step by step through all layers, a few steps of one layer at a
time, so memory grows with T only by the packed bits that are handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.batch import RasterBatch, pack
from recordings.parallel import cores, in_order

from .base import InputBatch
from .constant_current import constant_currents
from .kernels import add_conv, compile_kernels, step_fixed, step_float
from .network import FixedLIF, Layer, Network, Shape

CHUNK = 16  # steps of one layer at a time: its weights stay in the cache, its spikes are few


class EventBackend:
    """Simulates a network event by event.

    Parameters
    ----------
    threads : samples simulated at a time; all cores this process may use if not given
    """

    name = "event"
    device = "cpu"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or cores()

    def run(self, network: Network, inputs: Iterable[InputBatch], n_samples: int) -> Iterator[RasterBatch]:
        """Simulate samples; see :class:`backends.base.Backend`. In float32, sums are formed in another order."""
        compile_kernels(network.precision)
        synapses = [Synapses(layer, shape) for layer, shape in zip(network.layers, network.shapes, strict=False)]
        samples = _samples(network, inputs)
        yield from in_order(lambda sample: _run_sample(network, synapses, sample), samples, self.threads)


def first_currents(network: Network, inputs: Iterable[InputBatch]) -> Iterator[NDArray[Any]]:
    """What drives the neurons of a network's first layer: a[1] … a[T-1] of every sample; a constant current once.

    Yields
    ------
    (S, H, W, C) float32, or int32 in fixed point: some steps of one sample
    """
    synapses = Synapses(network.layers[0], network.shapes[0])
    for sample in _samples(network, inputs):
        if network.encoder == "constant-current":
            yield np.moveaxis(sample, 0, -1)[None]
            continue
        effective = np.moveaxis(sample[:-1], 1, -1)
        for start in range(0, len(effective), CHUNK):
            arrived = np.ascontiguousarray(effective[start : start + CHUNK])
            currents = np.stack([synapses.no_current() for _ in arrived])
            for spikes, current in zip(arrived, currents, strict=True):
                synapses.add(spikes, current)
            yield currents


class Synapses:
    """A layer's weights side by side as :func:`backends.kernels.add_conv` wants them.

    A dense layer is a kernel as large as its pooled map.

    Parameters
    ----------
    layer : whose weights they are
    shape : (C, H, W) of its input
    """

    def __init__(self, layer: Layer, shape: Shape) -> None:
        channels, height, width = shape
        kernel = layer.averaged_weight
        if layer.kind == "dense":
            kernel = kernel.reshape(-1, channels, height // layer.pool, width // layer.pool)
        self.blocks = np.ascontiguousarray(kernel.transpose(1, 2, 3, 0))
        self.geometry = layer.stride, layer.padding, layer.pool
        outputs, rows, columns = layer.output_shape(shape)
        self.current_shape = rows, columns, outputs

    def no_current(self) -> NDArray[Any]:
        """(H, W, C) int32 in fixed point, float32 otherwise; zero."""
        return np.zeros(self.current_shape, np.int32 if self.blocks.dtype == np.int8 else np.float32)

    def add(self, spikes: NDArray[np.bool_], current: NDArray[Any]) -> None:
        """Add to `current` what one step's `spikes`, (H, W, C) bool, cause."""
        add_conv(spikes, self.blocks, *self.geometry, current)


class _Neurons:
    """The neurons of one layer in one sample; `current` is what the last step's spikes added up to."""

    def __init__(self, layer: Layer, current: NDArray[Any]) -> None:
        neuron = layer.neuron
        self.current = current
        self.gain, self.bias = neuron.gain.astype(current.dtype), neuron.bias.astype(current.dtype)
        self.membrane = np.zeros((current[..., 0].size, current.shape[-1]), current.dtype)
        self.spikes = np.zeros(self.membrane.shape, np.bool_)
        if isinstance(neuron, FixedLIF):
            self._step: Callable[..., None] = step_fixed
            self._constants: tuple[Any, Any] = neuron.decay, neuron.shift
        else:
            self._step = step_float
            self._constants = np.float32(neuron.leak), np.float32(neuron.threshold)

    def step(self, t: int) -> NDArray[np.bool_]:
        """Advance to step t; its spikes, (H, W, C) bool, valid until the next step."""
        if t > 0:  # at the first one nothing can have arrived
            gain, bias = (rows[(t - 1) % len(rows)] for rows in (self.gain, self.bias))
            current = self.current.reshape(self.membrane.shape)
            self._step(current, gain, bias, *self._constants, self.membrane, self.spikes)
        return self.spikes.reshape(self.current.shape)


def _samples(network: Network, inputs: Iterable[InputBatch]) -> Iterator[NDArray[Any]]:
    """One by one: spikes (T, C, H, W) bool, or the constant current of the first layer (C', H', W')."""
    for batch in inputs:
        if network.encoder == "constant-current":
            yield from constant_currents(network, batch)
        else:
            yield from np.moveaxis(batch, 1, 0)


def _run_sample(network: Network, synapses: list[Synapses], sample: NDArray[Any]) -> RasterBatch:
    """All steps of one sample."""
    timesteps = network.timesteps
    neurons = [_Neurons(layer, synapse.no_current()) for layer, synapse in zip(network.layers, synapses, strict=True)]
    spiking = network.encoder == "poisson"
    if not spiking:
        neurons[0].current[:] = np.moveaxis(sample, 0, -1)
    packed = [np.empty((timesteps, -(-int(np.prod(shape)) // 8)), np.uint8) for shape in network.raster_shapes]
    counts = np.zeros(synapses[-1].current_shape, np.int64)
    for start in range(0, timesteps, CHUNK):
        steps = range(start, min(start + CHUNK, timesteps))
        bits = iter(packed)
        if spiking:
            arrived = np.ascontiguousarray(np.moveaxis(sample[start : steps.stop], 1, -1))
            next(bits)[start : steps.stop] = _pack(arrived)
        for number, (synapse, layer) in enumerate(zip(synapses, neurons, strict=True)):
            fired = np.empty((len(steps), *synapse.current_shape), np.bool_)
            for i, t in enumerate(steps):
                fired[i] = layer.step(t)
                if spiking or number > 0:
                    layer.current[:] = 0
                    synapse.add(arrived[i], layer.current)
            next(bits)[start : steps.stop] = _pack(fired)
            arrived = fired
        counts += arrived.sum(axis=0)
    # In fixed point every sum is an integer below 2³¹, which float64 holds; in float32 it is rounded once.
    sums = np.moveaxis(counts, -1, 0).reshape(1, -1) @ network.readout.weight.T.astype(np.float64)
    spikes = dict(zip(network.raster_names, (bits[None] for bits in packed), strict=True))
    return RasterBatch(spikes, sums.astype(np.int32) if network.precision == "fixed" else sums.astype(np.float32))


def _pack(fired: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(S, H, W, C) bool of one sample to bits in the file's order, (S, bytes) uint8."""
    return pack(np.moveaxis(fired, -1, 1)[:, None])[0]
