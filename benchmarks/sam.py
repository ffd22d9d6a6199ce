"""Spike Activation Maps of one layer from packed bits, beside the authors' published loop and
NumPy, on one core.

Spikes are random. All ways to the same maps must agree to float32 rounding. Times are processor
time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.measurement import (
    Case,
    MeasuredRow,
    Options,
    ends,
    many_images,
    race,
    ratio,
    timings,
)
from spikesam.maps import spike_activation_maps, spike_activation_sum

GAMMA = 0.5
SWEEP = tuple(gamma / 10 for gamma in range(11))
RATE = 0.1  # of firing, where it is not what varies
T_MAX = 120  # most steps for which the authors' loop, quadratic in them, is timed

Packed = NDArray[np.uint8]
Shape = tuple[int, int, int]
Maps = NDArray[np.float32]
LAYER_4: Shape = (256, 16, 16)  # of VGG11 at 64×64, as its first, sixth and eighth below
KERNEL, AUTHORS = "event-driven", "authors' loop"
SUM, THEN_SUMMED, ONE_PASS = "summed SAM", "maps, then summed", "one pass from packed bits"


TARGET, SUM_TARGET = (
    0.4,
    0.6,
)  # of layer 4: ms; of a sum made in one pass, relative to maps that are summed
FLAT = 1.1
LAYERS: tuple[tuple[Shape, int], ...] = (  # (C, H, W) and T of what is explained
    (LAYER_4, 30),
    ((64, 64, 64), 30),
    ((512, 8, 8), 30),
    ((512, 4, 4), 30),
    ((64, 16, 16), 500),  # a converted network takes many steps
)
TINY: tuple[tuple[Shape, int], ...] = (((8, 4, 4), 6),)


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    layers = options.pick(LAYERS, TINY)
    shape, timesteps = layers[0]
    yield Case("images", partial(flat, shape, timesteps, options))
    for layer in layers:
        yield Case(name(*layer), partial(compare, *layer, options))
    densities = options.pick((0.01, 0.03, 0.1, 0.3, 1.0), (0.1, 1.0))
    yield Case("density", partial(many_densities, shape, timesteps, densities, options))
    yield Case(
        "T", partial(many_steps, shape, options.pick((30, 60, 120, 250, 500), (6, 12)), options)
    )


def compare(shape: Shape, timesteps: int, options: Options) -> Iterator[MeasuredRow]:
    """Every way to every kind of map."""
    packed = random_packed(shape, timesteps, RATE, options.seed)
    spikes = np.unpackbits(packed).sum()
    for what in WAYS:
        case = f"{what} of {name(shape, timesteps)}"
        timed = race(ways_to(what, packed, shape), options.repeats, time.process_time)
        expected = next(iter(timed.values())).result
        for way, found in timed.items():
            np.testing.assert_allclose(
                found.result, expected, rtol=1e-5, err_msg=f"{what}, {way}, {shape}"
            )
        for row in timings(case, timed, "ms", 1000):
            wanted = TARGET if (what, row.way, shape) == ("SAM", KERNEL, LAYER_4) else None
            yield replace(row, at_most=wanted, note=f"{1e6 * row.median / spikes:.3g} ns per spike")
        if what == SUM:
            yield ratio(
                case, timed, ONE_PASS, THEN_SUMMED, at_most=SUM_TARGET if shape == LAYER_4 else None
            )


def many_densities(
    shape: Shape, timesteps: int, densities: tuple[float, ...], options: Options
) -> Iterator[MeasuredRow]:
    """From few to many spikes."""
    for density in densities:
        packed = random_packed(shape, timesteps, density, options.seed)
        yield from point("density", density, packed, shape, options)


def many_steps(shape: Shape, counts: tuple[int, ...], options: Options) -> Iterator[MeasuredRow]:
    """From few to many steps; the last row compares what one step takes at either end."""
    rows: list[MeasuredRow] = []
    for steps in counts:
        rows += point("T", steps, random_packed(shape, steps, RATE, options.seed), shape, options)
    yield from rows
    yield ends(
        [row for row in rows if row.way == KERNEL], "× per step", FLAT, counts[0] / counts[-1]
    )


def point(
    sweep: str, x: float, packed: Packed, shape: Shape, options: Options
) -> Iterator[MeasuredRow]:
    """The ways to SAM, and the authors' to theirs, as a point of a curve."""
    ways = ways_to("the authors' maps", packed, shape) | ways_to("SAM", packed, shape)
    timed = race(ways, options.repeats, time.process_time)
    yield from timings(f"{sweep} {x:g}", timed, "ms/image", 1000, sweep=sweep, x=x)


def flat(shape: Shape, timesteps: int, options: Options) -> Iterator[MeasuredRow]:
    """From few to many images, one after the other."""
    packed, counts = random_packed(shape, timesteps, RATE, options.seed), (10, 30, 100, 300, 1000)

    def explain(images: int) -> None:
        for _ in range(images):
            event_driven(packed, shape)

    yield from many_images(
        KERNEL, explain, options.pick(counts, (2, 4)), options.repeats, FLAT, time.process_time
    )


def random_packed(shape: Shape, timesteps: int, rate: float, seed: int) -> Packed:
    """(T, bytes) uint8: bits set with probability `rate`."""
    raster = np.random.default_rng(seed).random((timesteps, math.prod(shape)), np.float32) < rate
    return np.packbits(raster, axis=-1)


def name(shape: Shape, timesteps: int) -> str:
    """ "256×16×16, T 30" """
    return f"{'×'.join(map(str, shape))}, T {timesteps}"


def event_driven(
    packed: Packed, shape: Shape, gammas: tuple[float, ...] = (GAMMA,), **options: Any
) -> Maps:
    """This project's kernel, one γ or several at once; the maps of the one that the others
    compute.
    """
    return spike_activation_maps(packed, shape, gammas, **options)[gammas.index(GAMMA)]


def numpy_stream(packed: Packed, shape: Shape) -> Maps:
    """N[t] = e^{-γ} N[t-1] + S[t] for every neuron at every step, float64."""
    score, decay = np.zeros(shape), math.exp(-GAMMA)
    maps = np.empty((len(packed), *shape[1:]), np.float32)
    for t, spikes in enumerate(steps(packed, shape)):
        score *= decay
        score += spikes
        maps[t] = (score * spikes).sum(axis=0)
    return maps


def authors_loop(packed: Packed, shape: Shape) -> Maps:
    """Maps as the authors' script computes them: at every step over all up to it, in dense float32
    tensors.
    """
    import torch  # large, and of no other use here

    torch.set_num_threads(1)
    rasters = [torch.from_numpy(spikes.astype(np.float32)) for spikes in steps(packed, shape)]
    maps = []
    for t, spikes in enumerate(rasters):
        score = torch.zeros(shape)
        for earlier in range(t + 1):
            score += torch.exp(-GAMMA * (t - rasters[earlier] * earlier))
        maps.append((score * spikes).sum(dim=0).numpy())
    return np.stack(maps)


def steps(packed: Packed, shape: Shape) -> Iterator[NDArray[np.uint8]]:
    """(C, H, W) uint8 of 0 and 1, step by step."""
    return (np.unpackbits(step, count=math.prod(shape)).reshape(shape) for step in packed)


WAYS: dict[str, dict[str, Callable[[Packed, Shape], Maps]]] = {  # what is computed -> ways to do it
    "SAM": {
        KERNEL: event_driven,
        f"{KERNEL}, {len(SWEEP)} γ": partial(event_driven, gammas=SWEEP),
        "NumPy": numpy_stream,
    },
    SUM: {
        THEN_SUMMED: lambda packed, shape: event_driven(packed, shape).sum(axis=0),
        ONE_PASS: partial(spike_activation_sum, gamma=GAMMA),
    },
    "the authors' maps": {
        KERNEL: partial(event_driven, variant="authors-code"),
        AUTHORS: authors_loop,
    },
}


def ways_to(what: str, packed: Packed, shape: Shape) -> dict[str, Callable[[], Maps]]:
    """The ways that do not take for ever: the authors' loop is quadratic in the number of steps."""
    ways = WAYS[what].items()
    return {
        way: partial(function, packed, shape)
        for way, function in ways
        if way != AUTHORS or len(packed) <= T_MAX
    }
