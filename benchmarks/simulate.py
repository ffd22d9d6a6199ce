"""Simulation: this project's backends beside other libraries, on one network and the same spikes.

This project simulates in fixed point, its default, and hands over every spike; the peers compute in
float32, or a loop in PyTorch alone in the type that the CPU convolves fastest, and hand over the
readout. Ratios are those to the fastest peer. Peers run where glibc keeps freed memory, without
which SpikingJelly takes 20 % longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
    timings,
)
from benchmarks.common.networks import (
    BATCH_SIZE,
    SMALL,
    TINY,
    VGG11,
    Design,
    additions,
    driven,
    firing,
    random_spikes,
    simulate_and_record,
    spike_rates,
)
from spikesam import LIF, Conv, Dense, Layer, Network, Readout, quantise
from spikesam.simulators import Backend, PackedSpikes, RasterBatch, make_backend

PEERS = MISSING_PEERS
SWEPT = "snnTorch", "SpikingJelly", LOOP  # peers in curves
RATE = 0.1  # of firing, where it is not what varies
BATCH = 8
FLAT = 1.1  # the most that the end of a sweep may cost relative to its beginning


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    yield from first_calls(first, options, scratch, KEEP_FREED_MEMORY)
    design = options.pick(VGG11, TINY)
    for rate in (0.1, 0.2):
        for images, batch in options.pick(((BATCH, BATCH), (BATCH, 1), (1, 1)), ((2, 1),)):
            name = (
                f"{rate:.0%}, {images} images, batch {batch}"
                if images > 1
                else f"{rate:.0%}, one image alone"
            )
            yield Case(
                name,
                partial(compare, name, design, rate, images, batch, options),
                KEEP_FREED_MEMORY,
            )
    for density in options.pick((0.01, 0.03, 0.1, 0.3, 1.0), (0.1, 1.0)):
        rows = partial(point, "density", density, design, density, 2, options)
        yield Case(f"density {density:.0%}", rows, KEEP_FREED_MEMORY)
    yield Case(
        "T",
        partial(many_steps, options.pick((30, 60, 120, 250, 500), (12, 24)), options),
        KEEP_FREED_MEMORY,
    )
    yield Case(
        "images", partial(flat, options.pick((10, 30, 100, 300, 1000), (2, 4)), options, scratch)
    )


def first(how: str) -> Iterator[MeasuredRow]:
    """The first call of the event backend, on a network in which there is hardly anything to
    compute.
    """
    layers = (
        Layer("conv1", Conv(np.ones((8, 6, 3, 3), np.float32), padding=1), LIF(0.9)),
        Layer("fc1", Dense(np.ones((8, 32), np.float32), pool=2), LIF(0.9)),
    )
    network = quantise(Network((6, 4, 4), 4, layers, Readout(np.ones((2, 8), np.float32))))
    spikes = random_spikes(network.input_shape, network.timesteps, 2, 0.5, seed=0)
    yield first_call("event", how, simulating(make_backend("event"), network, spikes))


def compare(
    case: str, design: Design, rate: float, images: int, batch: int, options: Options
) -> Iterator[MeasuredRow]:
    """Every way to simulate some images, handed over in batches."""
    network, spikes = driven(design, rate, images, options.seed)
    fixed, peers = quantise(network), theirs(network, spikes, some(options), batch)
    ways = ours(fixed, spikes, batch) | peers
    ways["event, float32"] = simulating(make_backend("event"), network, spikes, batch)
    timed = race(ways, options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    rates = spike_rates(fixed, timed["event"].result)
    work = additions(fixed, rates) * images / median(timed["event"].seconds)
    notes = {
        "event": f"{firing(rates)}; {work / 1e9:.0f} G additions/s",
        "event, float32": "real weights, as the peers have",
        "torch": "the same bits as event",
    } | {peer: precision(peer) for peer in peers}
    yield from timings(case, timed, "images/s", images, notes)
    yield against_fastest(case, "event", timed, peers)


def beside_peers(
    case: str,
    design: Design,
    images: int,
    options: Options,
    names: Iterable[str] = NEEDS,
    wanted: float | None = None,
    by_library: bool = False,
) -> Iterator[MeasuredRow]:
    """The event backend and peers, the fastest first, or each library at its fastest; and the ratio
    to the fastest.
    """
    network, spikes = driven(options.pick(design, TINY), RATE, images, options.seed)
    peers = theirs(network, spikes, some(options, names))
    timed = race(
        {"event": simulating(make_backend("event"), quantise(network), spikes)} | peers,
        options.repeats,
    )
    fastest: dict[str, str] = {}
    for way in sorted(timed, key=lambda way: median(timed[way].seconds)):
        fastest.setdefault(library(way) if by_library else way, way)
    for name, way in fastest.items():
        how = "integers, every spike kept" if way == "event" else f"{way}; {precision(way)}"
        yield MeasuredRow(case, name, "images/s", images / timed[way].seconds, note=how)
    yield against_fastest(case, "event", timed, peers, wanted)


def library(way: str) -> str:
    """Whose way it is: "SpikingJelly, torch.compile" is SpikingJelly's, a loop PyTorch's."""
    name = way.partition(",")[0]
    return {"event": "spikesam", "loop": "PyTorch, a loop", LOOP: "PyTorch, a loop"}.get(name, name)


def some(options: Options, names: Iterable[str] = NEEDS) -> list[str]:
    """Those of these peers that are quick to make, where sizes are tiny; else all."""
    return [name for name in names if not (options.tiny and "g++" in NEEDS[name])]


def against_fastest(
    case: str,
    way: str,
    timed: Mapping[str, Timed],
    peers: Iterable[str],
    wanted: float | None = None,
) -> MeasuredRow:
    """How many times the speed of the fastest peer, which was given as many images."""
    best = min(peers, key=lambda peer: median(timed[peer].seconds))
    speeds, note = timed[best].seconds / timed[way].seconds, f"{best}, {precision(best)}"
    return MeasuredRow(case, f"{way} ÷ the fastest peer", "×", speeds, at_least=wanted, note=note)


def precision(peer: str) -> str:
    """Number type of a peer."""
    from spikesam.training import native_type  # torch is slow to import, and large

    if peer in (LOOP, COMPILED):
        return str(native_type()).removeprefix("torch.")
    return "int8" if peer in (INT8, ONNX) else "float32"


def point(
    sweep: str, x: float, design: Design, rate: float, batch: int, options: Options
) -> Iterator[MeasuredRow]:
    """Every way to simulate one batch, as a point of a curve."""
    network, spikes = driven(design, rate, batch, options.seed)
    timed = race(ours(quantise(network), spikes) | theirs(network, spikes, SWEPT), options.repeats)
    check_same_bits(timed["event"].result, timed["torch"].result)
    yield from timings(f"{sweep} {x:g}", timed, "ms/image", 1000 / batch, sweep=sweep, x=x)


def many_steps(counts: tuple[int, ...], options: Options) -> Iterator[MeasuredRow]:
    """From few to many steps; the last row compares what one step costs at either end."""
    rows: list[MeasuredRow] = []
    for steps in counts:
        design = options.pick(SMALL, TINY)._replace(timesteps=steps)
        rows += point("T", steps, design, RATE, BATCH, options)
    yield from rows
    yield ends(
        [row for row in rows if row.way == "event"], "× per step", FLAT, counts[0] / counts[-1]
    )


def flat(counts: tuple[int, ...], options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """From few to many images, simulated and recorded."""
    network, spikes = driven(options.pick(SMALL, TINY), RATE, BATCH_SIZE, options.seed)
    way = partial(
        simulate_and_record, quantise(network), make_backend("event"), spikes, folder=scratch
    )
    yield from many_images("event, recorded", way, counts, options.repeats, FLAT)


def simulating(
    backend: Backend, network: Network, spikes: NDArray[np.bool_], batch: int = BATCH
) -> Callable[[], Any]:
    """A way to simulate (T, B, C, H, W) spikes, so many images at a time; given packed, as encoders
    give them.
    """
    packed = [PackedSpikes.of(part) for part in batches(spikes, batch)]
    return lambda: list(backend.run(network, packed, spikes.shape[1]))


def batches(spikes: NDArray[np.bool_], batch: int) -> list[NDArray[np.bool_]]:
    """(T, B, C, H, W) -> parts of `batch` images each."""
    return np.split(spikes, range(batch, spikes.shape[1], batch), axis=1)


def ours(
    network: Network, spikes: NDArray[np.bool_], batch: int = BATCH
) -> dict[str, Callable[[], Any]]:
    """This project's backends."""
    return {
        "event": simulating(make_backend("event"), network, spikes, batch),
        "torch": simulating(make_backend("torch", "cpu"), network, spikes, batch),
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
        bits, others = (
            np.concatenate([batch.spikes[name] for batch in batches])
            for batches in (found, expected)
        )
        if not np.array_equal(bits, others):
            raise RuntimeError(
                f"{name}: two backends gave different bits for the same network and input"
            )
