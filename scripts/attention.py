"""python -m scripts.attention: the kernel of attention alone, beside products of matrices in torch.

One step of one sample, on one core. The kernel is called by itself, which no public name does:
`python -m benchmarks transformer` measures whole models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from benchmarks.common.measurement import (
    KEEP_FREED_MEMORY,
    Case,
    MeasuredRow,
    Options,
    race,
    ratio,
    timings,
)
from benchmarks.common.results import Benchmark, measure_all, noted_command
from spikesam.commands import Flat, exit_codes, parse_command
from spikesam.settings import Section

PROG = "python -m scripts.attention"
HEADS, DEPTH, SIDE, RATE = 8, 64, 14, 0.15  # 196 tokens
CALLS = 100  # that are timed together


class AttentionCommand(Section):
    """Options of the command."""

    options: Annotated[Options, Flat] = Options()
    out: Path = Field(Path("runs/attention"), description="folder for benchmarks.json")


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """The only case."""
    yield Case(
        "attention", partial(attention, options), KEEP_FREED_MEMORY | {"OMP_NUM_THREADS": "1"}
    )


def attention(options: Options) -> Iterator[MeasuredRow]:
    """One step of one sample, on one core."""
    import torch

    from spikesam.backends.event.kernels import attention
    from spikesam.backends.event.kernels.compiled import entry

    attend = entry(attention.attend)
    shape, rng = (SIDE, SIDE, HEADS * DEPTH), np.random.default_rng(options.seed)
    maps = [rng.random(shape) < RATE for _ in range(3)]
    q, k, v = (
        torch.tensor(each).view(-1, HEADS, DEPTH).transpose(0, 1).float().contiguous()
        for each in maps
    )
    pairs, current = np.zeros((DEPTH, DEPTH), np.int32), np.zeros(shape, np.int32)
    ways: dict[str, Callable[[], Any]] = {
        "event": lambda: attend(*maps, (0, 0, 0), pairs, current),
        "torch, (q kᵀ) v": lambda: (q @ k.mT) @ v,
        "torch, q (kᵀ v)": lambda: q @ (k.mT @ v),
    }
    timed = race({name: partial(_again, way) for name, way in ways.items()}, options.repeats)
    for name in [*ways][1:]:
        if not np.array_equal(timed[name].result.transpose(0, 1).numpy().reshape(shape), current):
            raise AssertionError(f"{name}: other sums than those of event")
    case = f"attention, {SIDE**2} tokens, {HEADS} heads of {DEPTH}, {RATE:.0%} fire"
    yield from timings(case, timed, "µs", 1e6 / CALLS, dict.fromkeys(ways, "one core, equal sums"))
    yield from (ratio(case, timed, name, "event", at_least=3.0) for name in [*ways][1:])


def _again(way: Callable[[], Any]) -> Any:
    """The result of a way at the last of some calls."""
    for _ in range(CALLS - 1):
        way()
    return way()


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure, report."""
    command = parse_command(AttentionCommand, argv, prog=PROG, description=__doc__)
    line = noted_command(PROG, argv)
    benchmark = Benchmark("the kernel beside products of matrices", cases)
    measure_all(line, {"attention": benchmark}, command.options, command.out, [])


if __name__ == "__main__":
    main()
