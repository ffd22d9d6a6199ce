"""Recording torch networks of other libraries: what it costs beside not recording, and beside their
own monitors.

Networks are those of peers.py, which run alone, recorded to disk by `spikesam.record`, and watched
by their library's own monitor, which keeps every output as the network gave it. Memory is the most
that the process uses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common.environment import missing_spikingjelly
from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    Case,
    MeasuredRow,
    Options,
    ends,
    megabytes,
    race,
    timings,
)
from benchmarks.common.networks import SMALL, TINY, VGG11, Design, driven

PEERS = (missing_spikingjelly,)
RATE = 0.1  # of firing
ALONE, RECORDED, MONITORED = "alone", "recorded", "its own monitor"
Way = Callable[[int], object]  # runs so many batches


BATCH = 8
SHARE, FLAT = (
    0.15,
    1.1,
)  # the most that recording may add to the time, and that more images may take of memory


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    libraries = ["snnTorch"] + ([] if missing_spikingjelly() else ["SpikingJelly"])
    for library in libraries:
        yield Case(f"{library}, time", partial(speed, library, options, scratch), KEEP_FREED_MEMORY)
    sizes: dict[str, tuple[Design, tuple[int, ...]]] = {  # batches of a network
        "memory": (options.pick(VGG11, TINY), (2,)),
        "many images": options.pick((SMALL, (2, 4, 8, 16, 32)), (TINY, (1, 2))),
    }
    for library in libraries:
        for way in (ALONE, RECORDED, MONITORED):
            for name, size in sizes.items():
                rows = partial(memory, library, way, *size, options, scratch)
                yield Case(f"{library}, {way}: {name}", rows, alone=True)


def speed(library: str, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Images per second of every way, and what recording adds to running alone."""
    case = f"{library}, batch {BATCH}"
    ways = ways_of(library, options.pick(VGG11, TINY), options, scratch)
    timed = race({way: partial(run, 2) for way, run in ways.items()}, options.repeats)
    yield from timings(case, timed, "images/s", 2 * BATCH, NOTES)
    for way, wanted in ((RECORDED, SHARE), (MONITORED, None)):
        shares, note = (
            timed[way].seconds / timed[ALONE].seconds - 1,
            "what is added to running alone",
        )
        yield MeasuredRow(case, f"{way} ÷ {ALONE} - 1", "×", shares, at_most=wanted, note=note)


def memory(
    library: str, way: str, design: Design, counts: tuple[int, ...], options: Options, scratch: Path
) -> Iterator[MeasuredRow]:
    """The most memory that is used meanwhile, by so many batches; of recording, the last row
    compares the ends.
    """
    run = ways_of(library, design, options, scratch)[way]
    run(1)  # what is loaded and made once
    curve: list[MeasuredRow] = []
    for images in (BATCH * batches for batches in counts):
        about: dict[str, Any] = {"sweep": "images", "x": images} if len(counts) > 1 else {}
        used = (megabytes(partial(run, images // BATCH)),)
        curve.append(MeasuredRow(f"images {images}", f"{library}, {way}", "MB", used, **about))
    yield from curve
    if way == RECORDED and len(counts) > 1:
        yield ends(curve, "× MB", FLAT)


NOTES = {ALONE: "", RECORDED: "every spike on disk", MONITORED: "every output in memory"}


def ways_of(library: str, design: Design, options: Options, scratch: Path) -> dict[str, Way]:
    """The ways to run a network of a library, by name."""
    from benchmarks.common.peers import as_tensor, peers

    network, spikes = driven(design, RATE, BATCH, options.seed)
    model: Any = peers(network, [library])[library]
    model.eval()
    inputs = as_tensor(spikes)
    return {
        ALONE: partial(alone, model, inputs),
        RECORDED: partial(recorded, model, inputs, scratch),
        MONITORED: partial(monitored, library, model, inputs),
    }


def alone(model: Any, inputs: Any, batches: int) -> None:
    """Run so many batches."""
    for _ in range(batches):
        model(inputs)


def recorded(model: Any, inputs: Any, scratch: Path, batches: int) -> None:
    """Run and record them to disk; the file is removed."""
    import spikesam

    with (
        tempfile.TemporaryDirectory(dir=scratch) as out,
        spikesam.record(model, Path(out) / "new") as recording,
    ):
        for _ in range(batches):
            recording.finish(model(inputs))


def monitored(library: str, model: Any, inputs: Any, batches: int) -> None:
    """Run them under the library's own monitor, which keeps all until it is closed."""
    monitor = make_monitor(library, model)
    alone(model, inputs, batches)
    monitor.remove_hooks()
    monitor.clear_recorded_data()


def make_monitor(library: str, model: Any) -> Any:
    """A monitor of all spiking layers, as the library's manual makes it."""
    if library == "snnTorch":
        import snntorch
        from snntorch.functional import probe

        return probe.OutputMonitor(model, instance=snntorch.SpikingNeuron)
    from benchmarks.common.peers import spikingjelly

    package = spikingjelly()
    from spikingjelly.activation_based import monitor

    return monitor.OutputMonitor(model, instance=package.neuron.BaseNode)
