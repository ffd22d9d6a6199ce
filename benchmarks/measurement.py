"""What a benchmark consists of: cases, each measured in a process of its own kind, each giving rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

from pydantic import Field

from spikesam.pipeline.config import Section

Clock = Callable[[], float]

SETTLING = 0.3  # seconds that what takes less runs before its turn: threads of the way before may wait for work awake

KEEP_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_TOP_PAD_": str(1 << 28)}
"""Environment in which glibc reuses freed memory, as in pipeline/training: faster for large tensors."""


class Options(Section):
    """How to measure."""

    repeats: int = Field(5, ge=1, description="how often everything is timed, after a first time that does not count")
    seed: int = Field(0, ge=0, description="seed of the weights and inputs")
    instructions: Literal["all", "avx512_vnni", "avx2"] = Field(
        "all", description="the best vector instructions that are used, as on a processor that has no better ones"
    )
    tiny: bool = Field(False, description="small sizes, to try the command: its figures say nothing")


@dataclass(frozen=True)
class Row:
    """One figure.

    Parameters
    ----------
    case : what was done, such as "10 %, batch 8"
    way : by whom, such as "snnTorch"
    unit : such as "images/s"
    values : one per repeat; the median is reported
    at_least, at_most : what the median should be; None for no target
    note : which bound applies, or what else a reader should know
    sweep, x : the size that is varied, and its value here: a point of a curve
    """

    case: str
    way: str
    unit: str
    values: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    sweep: str = ""
    x: float | None = None

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the target is; None without one."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return None if self.at_most is None else self.median <= self.at_most


@dataclass(frozen=True)
class Case:
    """Something to measure; cases of one environment that follow each other share a process, unless one is `alone`.

    Parameters
    ----------
    name : what the progress bar says meanwhile
    rows : measures; a function of a module and its arguments, to be sent to another process
    environment : variables set before that process starts
    alone : whether it has a process of its own: what earlier cases left in memory would be counted
    """

    name: str
    rows: Callable[[], Iterable[Row]]
    environment: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False


@dataclass(frozen=True)
class Timed:
    """Seconds of each repeat, and what the last one returned."""

    seconds: tuple[float, ...]
    result: Any


def race(
    ways: Mapping[str, Callable[[], Any]],
    repeats: int,
    clock: Clock = time.perf_counter,
    first: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, Timed]:
    """Time ways to do the same, taking turns, so that whatever else the machine does meets them all.

    A first turn does not count: it compiles, allocates, and fills caches. What takes less than SETTLING, in the turn
    before, runs for so long before each of its turns.

    Parameters
    ----------
    first : what that turn does, where less than the whole will do; the ways themselves if not given
    """
    took = {}
    for name, way in (first or ways).items():
        begun = clock()
        way()
        took[name] = clock() - begun
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for _ in range(repeats):
        for name, way in ways.items():
            settled = clock() + SETTLING
            while took.get(name, SETTLING) < SETTLING and clock() < settled:
                way()
            begun = clock()
            results[name] = way()
            took[name] = clock() - begun
            seconds[name].append(took[name])
    return {name: Timed(tuple(times), results[name]) for name, times in seconds.items()}


def first_calls(
    first: Callable[[str], Iterable[Row]], options: Options, scratch: Path, environment: Mapping[str, str]
) -> Iterator[Case]:
    """What compiling takes, timed by itself: a first call with nothing compiled, and one after numba's cache is warm.

    The second begins the process of the cases that follow it in `environment`; what else these compile, they do in
    their first turn, which is not counted. `first` measures, and is told how: "compiling", …
    """
    if not options.tiny:
        yield Case("first call, compiling", partial(first, "compiling"), {"NUMBA_CACHE_DIR": str(scratch / "numba")})
    yield Case("first call", partial(first, "numba's cache, or compiling if it is cold"), environment)


def first_call(way: str, how: str, function: Callable[[], object]) -> Row:
    """Time a call that is counted nowhere else."""
    begun = time.perf_counter()
    function()
    return Row("first call", way, "s", (time.perf_counter() - begun,), note=how)


def per(amount: float, seconds: Sequence[float]) -> tuple[float, ...]:
    """Rates: `amount` per second of each repeat."""
    return tuple(amount / each for each in seconds)


def scaled(seconds: Sequence[float], factor: float) -> tuple[float, ...]:
    """Times in another unit, or shares of them."""
    return tuple(factor * each for each in seconds)


def quotients(dividends: Sequence[float], divisors: Sequence[float]) -> tuple[float, ...]:
    """How many times as long the one took as the other, repeat by repeat."""
    return tuple(one / other for one, other in zip(dividends, divisors, strict=True))
