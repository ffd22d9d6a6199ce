"""One table: CPU inference of convolutional spiking networks by seven libraries, each at its
fastest.

Three networks of random weights whose layers fire at 10 %, batch 8. A library that runs in several
ways is given in each of them, and its fastest counts. `--instructions` repeats it as on a processor
with fewer of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.common.environment import MISSING_PEERS
from benchmarks.common.measurement import KEEP_FREED_MEMORY, Case, Options
from benchmarks.common.networks import SMALL, VGG11
from benchmarks.simulate import BATCH, beside_peers

PEERS = MISSING_PEERS
NETWORKS = {
    "VGG11, 64×64, T = 30": VGG11,
    "64, 128 and 256 channels, 32×32, T = 30": SMALL.widened(4),
    "16, 32 and 64 channels, 32×32, T = 30": SMALL,
}


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark."""
    for name, design in NETWORKS.items():
        yield Case(
            name,
            partial(beside_peers, name, design, BATCH, options, by_library=True),
            KEEP_FREED_MEMORY,
        )
