"""Networks of random weights that fire as often as asked, random input for them, and what
simulating them takes.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import bisect

from spikesam import LIF, Conv, Dense, Input, Layer, Network, Readout, simulate
from spikesam.data import Samples, SampleTable
from spikesam.simulators import Backend, RasterBatch, make_backend, unpack

Shape = tuple[int, int, int]  # (C, H, W)


class LayerSize(NamedTuple):
    """A layer of a design: its name, its channels or neurons, and the average pooling before it."""

    name: str
    outputs: int
    pool: int
    dense: bool


def layer_sizes(layers: Sequence[int | str]) -> list[LayerSize]:
    """The layers that a list such as ``[64, "P", 128, "P4", "D256"]`` describes."""
    sizes: list[LayerSize] = []
    pool = 1
    for entry in map(str, layers):
        if entry.startswith("P"):
            pool *= int(entry[1:] or 2)
            continue
        dense = entry.startswith("D")
        number = 1 + sum(size.dense == dense for size in sizes)
        name = f"fc{number}" if dense else f"conv{number}"
        sizes.append(LayerSize(name, int(entry.removeprefix("D")), pool, dense))
        pool = 1
    return sizes


class Design(NamedTuple):
    """Layers as :func:`layer_sizes` reads them, height and width of the input, and T."""

    layers: tuple[int | str, ...]
    size: int
    timesteps: int

    def widened(self, factor: int) -> Design:
        """So many times the channels, and dense neurons, in every layer."""
        layers = (
            re.sub(r"^(D?)(\d+)$", lambda m: f"{m[1]}{factor * int(m[2])}", str(layer))
            for layer in self.layers
        )
        return self._replace(layers=tuple(layers))


VGG11 = Design(
    (64, "P", 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P4", "D4096"), 64, 30
)  # the paper's
SMALL = Design((16, "P", 32, "P", 64, "P4", "D64"), 32, 30)
TINY = Design((4, "P", 8, "P4", "D8"), 16, 12)
CLASSES = 200
PLANES = 6  # ON and OFF of an RGB image
LEAK = 0.95
SIGMA = 0.5  # of the current of a step, where the threshold is 1
SAMPLED = 8  # rows and columns of a map whose neurons the bias is tuned on


@lru_cache(maxsize=4)
def random_network(design: Design, rate: float, seed: int) -> Network:
    """A float32 network of random weights in which each layer fires at about `rate`, given input
    that does.

    The weights of a neuron add up to zero, so the current it receives fluctuates around zero, and
    when it fires is chance. The gain gives currents one size in every layer; then the bias, one per
    layer, sets the rate. At the first step none can fire.
    """
    rng = np.random.default_rng(seed)
    timesteps, backend = design.timesteps, make_backend("event", threads=1)
    input_shape = shape = (PLANES, design.size, design.size)
    spikes = random_spikes(shape, timesteps, 1, rate, seed)
    built: list[Layer] = []
    for size in layer_sizes(design.layers):
        channels, height, width = shape[0], shape[1] // size.pool, shape[2] // size.pool
        inputs = (channels * height * width,) if size.dense else (channels, 3, 3)
        weight = rng.standard_normal((size.outputs, *inputs), np.float32)
        weight -= weight.mean(axis=tuple(range(1, weight.ndim)), keepdims=True)
        gain = SIGMA * size.pool / math.sqrt(rate * weight[0].size)
        synapse = (
            Dense(weight, pool=size.pool) if size.dense else Conv(weight, pool=size.pool, padding=1)
        )
        layer = Layer(size.name, Input(synapse, gain=gain), LIF(LEAK))
        currents = sampled_currents(spikes[:-1, 0], weight, size.pool)
        layer = replace(layer, neuron=LIF(LEAK, bias=tuned_bias(gain * currents, rate)))
        (batch,) = backend.run(_alone(layer, shape, timesteps), [spikes], 1)
        shape = layer.inputs[0].output_shape(shape)
        spikes = unpack(batch.spikes[layer.name], shape)
        built.append(layer)
    readout = Readout(rng.standard_normal((CLASSES, math.prod(shape)), np.float32))
    return Network(input_shape, timesteps, tuple(built), readout)


def driven(
    design: Design, rate: float, samples: int, seed: int
) -> tuple[Network, NDArray[np.bool_]]:
    """A network of :func:`random_network`, and input for so many samples."""
    network = random_network(design, rate, seed)
    return network, random_spikes(network.input_shape, network.timesteps, samples, rate, seed)


def random_spikes(
    shape: Shape, timesteps: int, samples: int, rate: float, seed: int
) -> NDArray[np.bool_]:
    """(T, B, C, H, W) bool, each spike with probability `rate`."""
    return np.random.default_rng(seed).random((timesteps, samples, *shape), np.float32) < rate


def sampled_currents(
    spikes: NDArray[np.bool_], weight: NDArray[np.float32], pool: int
) -> NDArray[np.float32]:
    """Currents of some neurons, without gain and bias: about SAMPLED rows and columns of them.

    Parameters
    ----------
    spikes : (T, C, H, W) that arrive
    weight : (outputs, C, 3, 3), padded by one place; or (outputs, inputs) of a dense layer
    pool : side of the squares whose mean is taken before

    Returns
    -------
    (T, rows, columns, outputs), or (T, outputs) of a dense layer
    """
    steps, channels, height, width = spikes.shape
    squares = spikes.reshape(steps, channels, height // pool, pool, width // pool, pool)
    maps = squares.mean(axis=(3, 5), dtype=np.float32)
    if weight.ndim == 2:
        return maps.reshape(steps, -1) @ weight.T
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    rows, columns = (-(-side // SAMPLED) for side in maps.shape[2:])
    return np.einsum("tcyxij,ocij->tyxo", windows[:, :, ::rows, ::columns], weight, optimize=True)


def tuned_bias(currents: NDArray[np.floating[Any]], rate: float) -> float:
    """Offset of (T - 1, …) currents by which neurons fire at `rate`."""
    return float(
        bisect(lambda bias: firing_rate(currents + np.float32(bias)) - rate, -10, 10, xtol=1e-3)
    )


def firing_rate(currents: NDArray[np.floating[Any]]) -> float:
    """Share of neurons that spike in a step, driven by (T - 1, …) currents i[1] … i[T-1]."""
    membrane = spikes = np.zeros(currents.shape[1:], currents.dtype)
    fired = 0.0
    for current in currents:
        membrane = LEAK * membrane + current - spikes
        spikes = (membrane > 1).astype(currents.dtype)
        fired += spikes.mean()
    return float(fired) / len(currents)


def spike_rates(network: Network, batches: Sequence[RasterBatch]) -> dict[str, float]:
    """Name of each raster -> share of its neurons that spike in a step."""
    rates = {}
    for name, shape in zip(network.raster_names, network.raster_shapes, strict=True):
        spikes = sum(int(np.unpackbits(batch.spikes[name]).sum()) for batch in batches)
        rates[name] = spikes / (sum(map(len, batches)) * network.timesteps * math.prod(shape))
    return rates


def firing(rates: Mapping[str, float]) -> str:
    """ "layers fire at 4.8%–5.1%" """
    return f"layers fire at {min(rates.values()):.1%}–{max(rates.values()):.1%}"


def sides(value: int | tuple[int, int]) -> tuple[int, int]:
    """(y, x) of a size of a synapse, which is one number where both are equal."""
    return value if isinstance(value, tuple) else (value, value)


def additions(network: Network, rates: Mapping[str, float]) -> float:
    """Weights that the spikes of one sample add to currents, the readout's left out.

    Parameters
    ----------
    network : a chain of dense layers and of convolutions as in :func:`random_network`
    rates : name of a raster -> share of its neurons that spike in a step, see :func:`spike_rates`
    """
    per_step = 0.0
    for source, shape, layer in zip(
        network.raster_names, network.shapes, network.layers, strict=False
    ):
        (layer_input,) = layer.inputs
        weight, pool = layer_input.weight, sides(layer_input.synapse.pool)[0]
        channels, height, width = shape[0], shape[1] // pool, shape[2] // pool
        # Of a pooled map, a neuron on a border is within a row or column fewer of the kernels.
        rows, columns = (3 * height - 2, 3 * width - 2) if weight.ndim == 4 else (height, width)
        reached = pool**2 * len(weight) * channels * rows * columns
        per_step += rates[source] * reached
    return network.timesteps * per_step


def _alone(layer: Layer, shape: Shape, timesteps: int) -> Network:
    """A network of one layer, whose readout is of no interest."""
    nothing = np.zeros((1, math.prod(layer.inputs[0].output_shape(shape))), np.float32)
    return Network(shape, timesteps, (layer,), Readout(nothing))


BATCH_SIZE = 16  # the most that spikesam run hands over at a time


class Repeated(Samples):
    """Spikes (T, B, C, H, W) as if they were those of any number of images: after the last comes
    the first again.
    """

    name = "random"

    def __init__(self, spikes: NDArray[np.bool_], samples: range) -> None:
        self.spikes = spikes
        self.table = SampleTable(np.array(samples), np.full(len(samples), -1))

    def part(self, positions: range) -> Repeated:
        """See :class:`Samples`."""
        return Repeated(self.spikes, positions)

    def batch(self, chosen: list[int], network: Network, seed: int) -> NDArray[np.bool_]:
        """See :class:`Samples`."""
        return self.spikes.take(self.table.index[chosen], axis=1, mode="wrap")


def simulate_only(
    network: Network, backend: Backend, spikes: NDArray[np.bool_], samples: int
) -> None:
    """Simulate so many samples and keep nothing: what :func:`simulate_and_record` takes beyond this
    is recording.
    """
    for _ in backend.run(
        network,
        Repeated(spikes, range(samples)).encoded(range(samples), network, 0, BATCH_SIZE),
        samples,
    ):
        pass


def simulate_and_record(
    network: Network,
    backend: Backend,
    spikes: NDArray[np.bool_],
    samples: int,
    folder: Path,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Simulate so many samples, and keep all spikes in a raster file under `folder`, which is
    removed.
    """
    with tempfile.TemporaryDirectory(dir=folder) as out:
        about: Any = {"backend": backend, "precision": network.precision, "batch_size": batch_size}
        simulate(network, Repeated(spikes, range(samples)), out=out, **about).close()
