"""One table: CPU inference of convolutional spiking networks by seven libraries, each at its fastest.

Three networks of random weights whose layers fire at 10 %, batch 8. A library that runs in several ways is given in
each of them, and its fastest counts. `--instructions` repeats it as on a processor with fewer of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.common.environment import MISSING_PEERS
from benchmarks.common.measurement import KEEP_FREED_MEMORY, Case, MeasuredRow, Options, race
from benchmarks.common.networks import SMALL, TINY, VGG11, Design, driven
from benchmarks.simulate import BATCH, RATE, against_fastest, precision, simulating, some, theirs
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network.quantise import quantise

PEERS = MISSING_PEERS
NETWORKS = {
    "VGG11, 64×64, T = 30": VGG11,
    "64, 128 and 256 channels, 32×32, T = 30": SMALL.widened(4),
    "16, 32 and 64 channels, 32×32, T = 30": SMALL,
}


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    for name, design in NETWORKS.items():
        measure = partial(compare, name, TINY if options.tiny else design, options)
        yield Case(name, measure, KEEP_FREED_MEMORY)


def library(way: str) -> str:
    """Whose way it is: "SpikingJelly, torch.compile" is SpikingJelly's, a loop PyTorch's."""
    name = way.partition(",")[0]
    return "PyTorch, a loop" if name in ("loop", "PyTorch loop") else name


def compare(case: str, design: Design, options: Options) -> Iterator[MeasuredRow]:
    """Each library at its fastest, then how many times the speed of the fastest other this project has."""
    network, spikes = driven(design, RATE, BATCH, options.seed)
    peers = theirs(network, spikes, some(options))
    ways = {"spikesam": simulating(EventBackend(), quantise(network), spikes)} | peers
    timed, fastest = race(ways, options.repeats), dict[str, str]()
    for way in sorted(timed, key=lambda way: median(timed[way].seconds)):
        fastest.setdefault(library(way), way)
    for name, way in fastest.items():
        how = "integers, every spike kept" if way == "spikesam" else f"{way}; {precision(way)}"
        yield MeasuredRow(case, name, "images/s", BATCH / timed[way].seconds, note=how)
    yield against_fastest(case, "spikesam", timed, peers)
