"""Simulation: this project's backends beside other libraries, on one network and the same spikes.

This project simulates in fixed point, its default, and hands over every spike; the peers compute in float32, or a loop
in PyTorch alone in the type that the CPU convolves fastest, and hand over the readout. Ratios are those to the fastest
peer. Peers run where glibc keeps freed memory, without which SpikingJelly takes 20 % longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.environment import COMPILED, INT8, LOOP, MISSING_PEERS, NEEDS, ONNX
from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    Case,
    MeasuredRow,
    Options,
    Timed,
    ends,
    first_call,
    first_calls,
    many_images,
    race,
    ratio,
    timings,
)
from benchmarks.common.networks import (
    BATCH_SIZE,
    PLANES,
    SMALL,
    TINY,
    VGG11,
    Design,
    additions,
    driven,
    firing,
    multiplications,
    random_spikes,
    simulate_and_record,
    spike_rates,
)
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.images.encoding import poisson_batch, poisson_spikes
from spikesam.recordings.parallel import cores
from spikesam.recordings.raster.batch import PackedSpikes, RasterBatch, pack

PEERS = MISSING_PEERS
SWEPT = "snnTorch", "SpikingJelly", LOOP  # peers in curves
RATE = 0.1  # of firing, where it is not what varies
BATCH = 8


@dataclass(frozen=True)
class Sizes:
    """Sizes that are simulated."""

    design: Design = VGG11
    small: Design = SMALL
    batches: tuple[tuple[int, int], ...] = ((BATCH, BATCH), (BATCH, 1), (1, 1))  # images, and how many at a time
    densities: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    widths: tuple[int, ...] = (1, 2, 4, 8)
    timesteps: tuple[int, ...] = (30, 60, 120, 250, 500)
    images: tuple[int, ...] = (10, 30, 100, 300, 1000)


TINY_SIZES = Sizes(TINY, TINY, ((2, 1),), (0.1, 1.0), (1, 2), (12, 24), (2, 4))
FLAT = 1.1  # the most that the end of a sweep may cost relative to its beginning


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    sizes = TINY_SIZES if options.tiny else Sizes()
    yield from first_calls(first, options, scratch, KEEP_FREED_MEMORY)
    measured: dict[str, Callable[[], Iterator[MeasuredRow]]] = {}
    for rate in (0.1, 0.2):
        for images, batch in sizes.batches:
            measured[f"{rate:.0%}, {images} images, batch {batch}"] = partial(
                compare, sizes, rate, images, batch, options
            )
    for images in (BATCH, 1):
        measured[f"cores, {images} images"] = partial(compare_cores, sizes.design, images, options)
    measured["Poisson input"] = partial(encoding, sizes.design, options)
    for density in sizes.densities:
        measured[f"density {density:.0%}"] = partial(point, "density", density, sizes.design, density, 2, options)
    for factor in sizes.widths:
        design = sizes.small.widened(factor)
        measured[f"width × {factor}"] = partial(point, "width", factor, design, RATE, BATCH, options)
    measured["T"] = partial(many_steps, sizes, options)
    for name, rows in measured.items():
        yield Case(name, rows, KEEP_FREED_MEMORY)
    yield Case("images", partial(flat, sizes, options, scratch))


def first(how: str) -> Iterator[MeasuredRow]:
    """The first call of the event backend, on a network in which there is hardly anything to compute."""
    layers = (
        Layer("conv1", Input(np.ones((8, 6, 3, 3), np.float32), padding=1), LIF(0.9)),
        Layer("fc1", Input(np.ones((8, 32), np.float32), pool=2), LIF(0.9)),
    )
    network = quantise(Network((6, 4, 4), 4, layers, Readout(np.ones((2, 8), np.float32))))
    spikes = random_spikes(network.input_shape, network.timesteps, 2, 0.5, seed=0)
    yield first_call("event", how, simulating(EventBackend(), network, spikes))


def compare(sizes: Sizes, rate: float, images: int, batch: int, options: Options) -> Iterator[MeasuredRow]:
    """Every way to simulate some images, handed over in batches."""
    case = f"{rate:.0%}, {images} images, batch {batch}" if images > 1 else f"{rate:.0%}, one image alone"
    network, spikes = driven(sizes.design, rate, images, options.seed)
    fixed, peers = quantise(network), theirs(network, spikes, some(options), batch)
    ways = ours(fixed, spikes, batch) | peers
    ways["event, float32"] = simulating(EventBackend(), network, spikes, batch)
    timed = race(ways, options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    rates = spike_rates(fixed, timed["event"].result)
    speeds = {way: images / median(found.seconds) for way, found in timed.items()}
    work = additions(fixed, rates) / 1e9, multiplications(network) / 1e9
    notes = {
        "event": f"{firing(rates)}; {work[0] * speeds['event']:.0f} G additions/s",
        "event, float32": "real weights, as the peers have",
        "torch": "the same bits as event",
    } | {peer: f"{precision(peer)}; {work[1] * speeds[peer]:.0f} G multiplications/s" for peer in peers}
    yield from timings(case, timed, "images/s", images, notes)
    yield against_fastest(case, "event", timed, peers)


def some(options: Options, names: Iterable[str] = NEEDS) -> list[str]:
    """Those of these peers that are quick to make, where sizes are tiny; else all."""
    return [name for name in names if not (options.tiny and "g++" in NEEDS[name])]


def against_fastest(
    case: str, way: str, timed: Mapping[str, Timed], peers: Iterable[str], wanted: float | None = None
) -> MeasuredRow:
    """How many times the speed of the fastest peer, which was given as many images."""
    best = min(peers, key=lambda peer: median(timed[peer].seconds))
    speeds, note = timed[best].seconds / timed[way].seconds, f"{best}, {precision(best)}"
    return MeasuredRow(case, f"{way} ÷ the fastest peer", "×", speeds, at_least=wanted, note=note)


def precision(peer: str) -> str:
    """Number type of a peer."""
    from spikesam.pipeline.training.precision import convolution_type  # torch is slow to import, and large

    if peer in (LOOP, COMPILED):
        return str(convolution_type("auto")).removeprefix("torch.")
    return "int8" if peer in (INT8, ONNX) else "float32"


def compare_cores(design: Design, images: int, options: Options) -> Iterator[MeasuredRow]:
    """The event backend on one core and on all."""
    case = f"{RATE:.0%}, batch {images}" if images > 1 else f"{RATE:.0%}, one image on several cores"
    network, spikes = driven(design, RATE, images, options.seed)
    network = quantise(network)
    one, every = "event, 1 core", f"event, {cores()} cores"
    ways = {one: simulating(EventBackend(1), network, spikes), every: simulating(EventBackend(), network, spikes)}
    timed = race(ways, options.repeats)
    yield from timings(case, timed, "images/s", images)
    yield ratio(case, timed, one, every, note=f"at most {cores()}")


def encoding(design: Design, options: Options) -> Iterator[MeasuredRow]:
    """Drawing the Poisson spikes of an image, on one core: the kernel, and its definition in NumPy."""
    channels = PLANES // 2
    image = np.random.default_rng(options.seed).normal(0, 1, (channels, design.size, design.size)).astype(np.float32)
    key = design.timesteps, options.seed
    ways = {
        "compiled": lambda: poisson_batch(image[None], *key, [0]).bits,
        "NumPy": lambda: pack(poisson_spikes(image, *key, 0)[:, None]),
    }
    timed = race(ways, options.repeats, time.process_time)
    if not np.array_equal(*(found.result for found in timed.values())):
        raise RuntimeError("Poisson input: the kernel and NumPy gave different bits")
    for row in timings("Poisson input", timed, "ns/draw", 1e9 / image.size / design.timesteps):
        yield replace(row, at_most=1.2 if row.way == "compiled" else None, note="packed")


def point(sweep: str, x: float, design: Design, rate: float, batch: int, options: Options) -> Iterator[MeasuredRow]:
    """Every way to simulate one batch, as a point of a curve."""
    network, spikes = driven(design, rate, batch, options.seed)
    timed = race(ours(quantise(network), spikes) | theirs(network, spikes, SWEPT), options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    yield from timings(f"{sweep} {x:g}", timed, "ms/image", 1000 / batch, sweep=sweep, x=x)


def many_steps(sizes: Sizes, options: Options) -> Iterator[MeasuredRow]:
    """From few to many steps; the last row compares what one step costs at either end."""
    rows: list[MeasuredRow] = []
    for timesteps in sizes.timesteps:
        rows += point("T", timesteps, sizes.small._replace(timesteps=timesteps), RATE, BATCH, options)
    yield from rows
    steps = sizes.timesteps[0] / sizes.timesteps[-1]
    yield ends([row for row in rows if row.way == "event"], "× per step", FLAT, steps)


def flat(sizes: Sizes, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """From few to many images, simulated and recorded."""
    network, spikes = driven(sizes.small, RATE, BATCH_SIZE, options.seed)
    way = partial(simulate_and_record, quantise(network), EventBackend(), spikes, folder=scratch)
    yield from many_images("event, recorded", way, sizes.images, options.repeats, FLAT)


def simulating(backend: Any, network: Network, spikes: NDArray[np.bool_], batch: int = BATCH) -> Callable[[], Any]:
    """A way to simulate (T, B, C, H, W) spikes, so many images at a time; given packed, as encoders give them."""
    packed = [PackedSpikes.of(part) for part in batches(spikes, batch)]
    return lambda: list(backend.run(network, packed, spikes.shape[1]))


def batches(spikes: NDArray[np.bool_], batch: int) -> list[NDArray[np.bool_]]:
    """(T, B, C, H, W) -> parts of `batch` images each."""
    return np.split(spikes, range(batch, spikes.shape[1], batch), axis=1)


def ours(network: Network, spikes: NDArray[np.bool_], batch: int = BATCH) -> dict[str, Callable[[], Any]]:
    """This project's backends."""
    from spikesam.backends.torch.backend import TorchBackend  # torch is slow to import, and large

    return {
        "event": simulating(EventBackend(), network, spikes, batch),
        "torch": simulating(TorchBackend("cpu"), network, spikes, batch),
    }


def theirs(
    network: Network, spikes: NDArray[np.bool_], names: Iterable[str], batch: int = BATCH
) -> dict[str, Callable[[], Any]]:
    """Those of these peers that are installed, given the spikes as they like them best."""
    from benchmarks.common.peers import as_tensor, peers

    tensors = [as_tensor(part) for part in batches(spikes, batch)]

    def way(peer: Callable[[Any], Any]) -> Callable[[], Any]:
        return lambda: [peer(tensor) for tensor in tensors]

    return {name: way(peer) for name, peer in peers(network, names).items()}


def check_same_bits(found: list[RasterBatch], expected: list[RasterBatch]) -> None:
    """Refuse to compare the speed of two backends that do not compute the same."""
    for name in expected[0].spikes:
        bits, others = (np.concatenate([batch.spikes[name] for batch in batches]) for batches in (found, expected))
        if not np.array_equal(bits, others):
            raise RuntimeError(f"{name}: two backends gave different bits for the same network and input")
