"""For a change: ratios to the peers in less than ten minutes, on a machine that does nothing else.

The best library and loops in PyTorch simulate the same spikes, in bfloat16 or float32, whatever the
processor convolves faster, and in int8; this project in exact fixed point. Ratios are those to the
fastest of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import train
from benchmarks.common.environment import COMPILED, INT8, LOOP, busy, machine, missing_peer
from benchmarks.common.measurement import KEEP_FREED_MEMORY, Case, Options, first_calls
from benchmarks.common.networks import SMALL, VGG11
from benchmarks.simulate import BATCH, beside_peers, first
from spikesam import InputError

CHOSEN = "SpikingJelly", LOOP, COMPILED, INT8
PEERS = tuple(partial(missing_peer, name) for name in CHOSEN)
BUSY = 0.15  # share of all cores that others may use
WANTED = {
    "amx_tile": 2.0,
    "avx512_vnni": 4.0,
}  # times the fastest peer's speed, VGG11; by instructions
WANTED_ELSE, WANTED_ALONE, WANTED_SMALL = 3.5, 2.5, 2.0


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """Cases of this benchmark; InputError if the machine is busy."""
    if not options.tiny and (share := busy()) > BUSY:
        raise InputError(
            f"the machine is busy ({share:.0%} of its cores, at most {BUSY:.0%}); end what else "
            "runs"
        )
    vectors = machine(options.instructions)["vectors"]
    wide = next((wanted for name, wanted in WANTED.items() if name in vectors), WANTED_ELSE)
    measured = [
        ("VGG11, batch 8", VGG11, BATCH, wide),
        ("VGG11, one image alone", VGG11, 1, WANTED_ALONE),
        *(
            (f"small network × {factor}, batch 8", SMALL.widened(factor), BATCH, WANTED_SMALL)
            for factor in (1, 2, 4)
        ),
    ]
    yield from first_calls(first, options, scratch, KEEP_FREED_MEMORY)
    for name, design, images, wanted in measured:
        yield Case(
            name,
            partial(beside_peers, name, design, images, options, CHOSEN, wanted),
            KEEP_FREED_MEMORY,
        )
    yield Case(
        "training",
        partial(train.compare, train.size_of(options), "training", options),
        KEEP_FREED_MEMORY,
    )
