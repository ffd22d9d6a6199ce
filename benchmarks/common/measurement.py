"""Parts of a benchmark: cases, each measured in a process of its own kind, each giving rows; and
how to time.

A benchmark is a module of this package with one function, `cases(options, scratch)`, and is found
by it; the first line of its docstring says what it is. `scratch` is a folder for files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray
from pydantic import Field

from spikesam.settings import Section

Clock = Callable[[], float]
Floats = NDArray[np.float64]
Size = TypeVar("Size")

# seconds that what takes less runs before its turn: threads of the way before may wait for work
# awake
SETTLING = 0.3

KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
"""Environment in which glibc reuses freed memory, as in pipeline/training: faster for large
tensors.
"""


class Options(Section):
    """How to measure."""

    repeats: int = Field(
        5, ge=1, description="how often everything is timed, after a first time that does not count"
    )
    seed: int = Field(0, ge=0, description="seed of the weights and inputs")
    instructions: Literal["all", "avx512_vnni", "avx2"] = Field(
        "all",
        description=(
            "the best vector instructions that are used, as on a processor that has no better ones"
        ),
    )
    data: str | None = Field(
        None, description="zip of Tiny-ImageNet, for the photographs of convert"
    )
    only: Literal["all", "accuracy", "seconds"] = Field(
        "all", description="which part of convert is measured"
    )
    tiny: bool = Field(
        False, description="small sizes, to try the command: its figures say nothing"
    )

    def pick(self, full: Size, tiny: Size) -> Size:
        """A size that is measured, or the one that tries the command."""
        return tiny if self.tiny else full


@dataclass(frozen=True)
class MeasuredRow:
    """One figure: its median is reported; `sweep` and `x` make it a point of a curve."""

    case: str  # what was done, such as "10 %, batch 8"
    way: str  # by whom, such as "snnTorch"
    unit: str
    values: Sequence[float] | Floats  # one per repeat
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    sweep: str = ""  # the size that is varied, and its value here
    x: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(map(float, self.values)))

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """True if the target is met; None without one."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return None if self.at_most is None else self.median <= self.at_most


@dataclass(frozen=True)
class Case:
    """Something to measure; cases of one environment that follow each other share a process, unless
    one is `alone`.
    """

    name: str
    rows: Callable[
        [], Iterable[MeasuredRow]
    ]  # a function of a module and its arguments, to be sent to another process
    environment: Mapping[str, str] = field(default_factory=dict)  # set before that process starts
    alone: bool = False  # where what earlier cases left in memory would be counted


CaseMaker = Callable[[Options, Path], Iterable[Case]]  # given a folder for files


@dataclass(frozen=True)
class Timed:
    """Seconds of each repeat, and what the last one returned."""

    seconds: Floats
    result: Any


def race(
    ways: Mapping[str, Callable[[], Any]],
    repeats: int,
    clock: Clock = time.perf_counter,
    first: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, Timed]:
    """Time ways to do the same, taking turns, so that whatever else the machine does meets them
    all.

    A first turn does not count: it compiles, allocates, and fills caches; it does `first`, where
    less will do. What takes less than SETTLING, in the turn before, runs for so long before each of
    its turns, and for a third of it in them: one call of a few milliseconds says more of what else
    ran than of the way.
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
            calls = max(1, round(SETTLING / 3 / max(took.get(name, SETTLING), 1e-6)))
            begun = clock()
            for _ in range(calls):
                results[name] = way()
            took[name] = (clock() - begun) / calls
            seconds[name].append(took[name])
    return {name: Timed(np.array(times), results[name]) for name, times in seconds.items()}


def timings(
    case: str,
    timed: Mapping[str, Timed],
    unit: str,
    amount: float,
    notes: Mapping[str, str] | None = None,
    **more: Any,
) -> Iterator[MeasuredRow]:
    """A row for each way: `amount` times its seconds, or in a unit of something/s `amount` through
    its seconds.
    """
    for way, found in timed.items():
        values = amount / found.seconds if unit.endswith("/s") else amount * found.seconds
        yield MeasuredRow(case, way, unit, values, note=(notes or {}).get(way, ""), **more)


def ratio(case: str, timed: Mapping[str, Timed], slower: str, way: str, **more: Any) -> MeasuredRow:
    """How many times the seconds of a way another one takes."""
    return MeasuredRow(
        case, f"{slower} ÷ {way}", "×", timed[slower].seconds / timed[way].seconds, **more
    )


def first_calls(
    first: Callable[[str], Iterable[MeasuredRow]],
    options: Options,
    scratch: Path,
    environment: Mapping[str, str],
) -> Iterator[Case]:
    """Time of compiling, by itself: a first call with nothing compiled, and one after numba's cache
    is warm.

    The second begins the process of the cases that follow it in `environment`; what else these
    compile, they do in their first turn, which is not counted. `first` measures, and is told how:
    "compiling", …
    """
    if not options.tiny:
        yield Case(
            "first call, compiling",
            partial(first, "compiling"),
            {"NUMBA_CACHE_DIR": str(scratch / "numba")},
        )
    yield Case(
        "first call", partial(first, "numba's cache, or compiling if it is cold"), environment
    )


def first_call(way: str, how: str, function: Callable[[], object]) -> MeasuredRow:
    """Time a call that is counted nowhere else."""
    begun = time.perf_counter()
    function()
    return MeasuredRow("first call", way, "s", (time.perf_counter() - begun,), note=how)


class MemoryWatch:
    """The largest proportional set size (PSS) of a process, by default this one, and its
    descendants: `largest`, bytes.

    It looks every `interval` seconds, which takes a few milliseconds per process: not where time is
    measured.
    """

    def __init__(self, interval: float, root: int | None = None) -> None:
        self.largest = 0
        self._interval, self._root = interval, psutil.Process(root)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            members = []
            with suppress(psutil.NoSuchProcess):  # it ended
                members = [self._root, *self._root.children(recursive=True)]
            self.largest = max(self.largest, sum(map(proportional_set_size, members)))
            if self._stop.wait(self._interval):
                return


def proportional_set_size(process: psutil.Process) -> int:
    """Bytes of memory of a process, shared pages divided among those that share them; 0 if it has
    ended.
    """
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def megabytes(run: Callable[[], object], interval: float = 0.02) -> float:
    """The most memory that is used meanwhile; a run of its own, because looking takes time."""
    with MemoryWatch(interval) as watch:
        run()
    return watch.largest / 1e6


def ends(
    curve: Sequence[MeasuredRow], unit: str, at_most: float | None, factor: float = 1.0
) -> MeasuredRow:
    """The last point of a curve relative to its first, times a factor."""
    begin, *_, end = curve
    ratio = end.median / begin.median * factor
    return MeasuredRow(
        f"{begin.sweep} {end.x:g} : {begin.x:g}", begin.way, unit, (ratio,), at_most=at_most
    )


def many_images(
    way: str,
    run: Callable[[int], object],
    images: Sequence[int],
    repeats: int,
    flat: float | None,
    clock: Clock = time.perf_counter,
) -> Iterator[MeasuredRow]:
    """Time and memory of `run` for so many images, ascending, and their ends compared: at most
    `flat` times as much.
    """
    curves: dict[str, list[MeasuredRow]] = {"ms/image": [], "MB": []}
    for count in images:
        (timed,) = race({way: partial(run, count)}, repeats, clock).values()
        found: dict[str, Any] = {
            "ms/image": 1000 / count * timed.seconds,
            "MB": (megabytes(partial(run, count)),),
        }
        for unit, values in found.items():
            curves[unit].append(
                MeasuredRow(f"images {count}", way, unit, values, sweep="images", x=count)
            )
    for unit, curve in curves.items():
        yield from curve
        yield ends(curve, f"× {unit}", flat)
