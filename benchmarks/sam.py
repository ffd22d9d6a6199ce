"""Time Spike Activation Maps of one layer from packed bits, beside the authors' published loop and NumPy, on one core.

    python -m benchmarks.sam --rate 0.1 --out sam.json

Spikes are random at the stated rate. All ways to the same maps must agree to float32 rounding. Times are medians of
processor time; compiling the kernel, or loading it from numba's cache, is timed by itself.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.table import Table

from pipeline.cli.command_line import parse_command
from pipeline.cli.errors import exit_codes
from pipeline.cli.progress import progress_bar
from pipeline.config import Section
from pipeline.maps.sam import spike_activation_maps, spike_count_map

from .environment import commit, machine

GAMMA = 0.5
SWEEP = tuple(gamma / 10 for gamma in range(11))
# (C, H, W) and steps: VGG11's layers 4, 6 and 8 at 64×64, its first one, and a converted network's many steps
LAYERS = (
    ((256, 16, 16), 30),
    ((512, 8, 8), 30),
    ((512, 4, 4), 30),
    ((64, 64, 64), 30),
    ((64, 16, 16), 100),
    ((64, 16, 16), 500),
)
SLOW = 0.5  # seconds: what takes longer is timed once

Packed = NDArray[np.uint8]
Shape = tuple[int, int, int]
Maps = NDArray[np.float32]


class Options(Section):
    """What to time."""

    rate: float = Field(0.1, gt=0, le=1, description="share of neurons that spike in a step")
    repeats: int = Field(15, ge=1, description="times everything is timed")
    longest: int = Field(100, ge=0, description="most steps for which the authors' loop, quadratic in them, is timed")
    seed: int = Field(0, ge=0, description="of the spikes")
    out: Path | None = Field(None, description="file for the result (JSON)")


def event_driven(packed: Packed, shape: Shape) -> Maps:
    """This project's kernel, one γ."""
    return spike_activation_maps(packed, shape, (GAMMA,))[0]


def event_driven_sweep(packed: Packed, shape: Shape) -> Maps:
    """This project's kernel, eleven γ at once; the maps of the one that the others compute."""
    return spike_activation_maps(packed, shape, SWEEP)[SWEEP.index(GAMMA)]


def event_driven_authors_code(packed: Packed, shape: Shape) -> Maps:
    """This project's kernel, reading the equations as the authors' loop does."""
    return spike_activation_maps(packed, shape, (GAMMA,), variant="authors-code")[0]


def numpy_stream(packed: Packed, shape: Shape) -> Maps:
    """N[t] = e^{-γ} N[t-1] + S[t] for every neuron at every step, float64."""
    score, decay = np.zeros(shape), math.exp(-GAMMA)
    maps = np.empty((len(packed), *shape[1:]), np.float32)
    for t, spikes in enumerate(steps(packed, shape)):
        score *= decay
        score += spikes
        maps[t] = (score * spikes).sum(axis=0)
    return maps


def numpy_count(packed: Packed, shape: Shape) -> Maps:
    """Σ_c S[t] in NumPy."""
    return np.stack([spikes.sum(axis=0, dtype=np.float32) for spikes in steps(packed, shape)])


def authors_loop(packed: Packed, shape: Shape) -> Maps:
    """What the authors' script computes, the way it does: at every step over all up to it, in dense float32 tensors."""
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


# What is computed -> ways to do it
WAYS: dict[str, dict[str, Callable[[Packed, Shape], Maps]]] = {
    "SAM": {"events": event_driven, "events, 11 γ": event_driven_sweep, "NumPy": numpy_stream},
    "authors' code": {"events": event_driven_authors_code, "their loop": authors_loop},
    "count": {"events": spike_count_map, "NumPy": numpy_count},
}


def measure(options: Options, advance: Callable[[], object]) -> dict[str, Any]:
    """Time every way on every layer; seconds. Calls `advance` after each."""
    computer = machine()
    torch.set_num_threads(1)
    begin = time.thread_time()
    for compiled in (event_driven, event_driven_sweep, event_driven_authors_code, spike_count_map):
        compiled(np.zeros((1, 1), np.uint8), (1, 1, 1))
    compilation = time.thread_time() - begin
    rows = []
    for shape, timesteps in LAYERS:
        rng = np.random.default_rng(options.seed)
        raster = rng.random((timesteps, math.prod(shape)), np.float32) < options.rate
        packed = np.packbits(raster, axis=-1)
        for what, ways in WAYS.items():
            expected: Maps | None = None
            for name, way in ways.items():
                if way is not authors_loop or timesteps <= options.longest:
                    maps, seconds = timed(way, packed, shape, options.repeats)
                    expected = maps if expected is None else expected
                    np.testing.assert_allclose(maps, expected, rtol=1e-5, err_msg=f"{what}, {name}, {shape}")
                    rows.append({"shape": shape, "timesteps": timesteps, "what": what, "way": name, "seconds": seconds})
                advance()
    return {
        "options": options.model_dump(mode="json"),
        "machine": computer,
        "commit": commit(),
        "seconds_to_compile_or_load": compilation,
        "rows": rows,
    }


def timed(way: Callable[[Packed, Shape], Maps], packed: Packed, shape: Shape, repeats: int) -> tuple[Maps, float]:
    """The maps, and the median of this thread's seconds; the first time does not count unless it is the only one."""
    seconds: list[float] = []
    while not seconds or (len(seconds) <= repeats and seconds[0] < SLOW):
        begin = time.thread_time()
        maps = way(packed, shape)
        seconds.append(time.thread_time() - begin)
    return maps, median(seconds[1:] or seconds)


def show(result: dict[str, Any]) -> None:
    """Print the result as a table."""
    options, computer = result["options"], result["machine"]
    table = Table(title=f"SAM of one image in one layer, {options['rate']:.0%} spikes per step, one core, γ = {GAMMA}")
    for heading in ("layer", "T", "maps", "way"):
        table.add_column(heading, no_wrap=True)
    for heading in ("ms", "ns/spike", "×"):
        table.add_column(heading, justify="right", no_wrap=True)
    seconds_of_events = 0.0
    for row in result["rows"]:
        first = row["way"] == "events"
        seconds_of_events = row["seconds"] if first else seconds_of_events
        shape, spikes = row["shape"], options["rate"] * row["timesteps"] * math.prod(row["shape"])
        table.add_row(
            "×".join(map(str, shape)) if first else "",
            str(row["timesteps"]) if first else "",
            row["what"] if first else "",
            row["way"],
            f"{1e3 * row['seconds']:.2f}",
            f"{1e9 * row['seconds'] / spikes:.1f}",
            f"{row['seconds'] / seconds_of_events:.1f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"compiling, or loading from the cache: {result['seconds_to_compile_or_load']:.1f} s, not counted above"
    )
    console.print(
        f"{computer['cpu']}, {computer['cores']} cores, load {computer['load_before']:.2f}; {result['commit']}"
    )


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = parse_command(Options, argv, prog="python -m benchmarks.sam", description=__doc__ or "")
    with progress_bar(Console(stderr=True), transient=True) as progress:
        task = progress.add_task("timing", total=len(LAYERS) * sum(map(len, WAYS.values())))
        result = measure(options, lambda: progress.advance(task))
    show(result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
