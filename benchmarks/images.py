"""From few to many images: what each takes, and how much memory is used at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.measurement import Clock, Row, race, scaled
from benchmarks.memory import MemoryWatch

INTERVAL = 0.02  # seconds between looks at the memory


def ends(curve: Sequence[Row], unit: str, at_most: float | None, factor: float = 1.0) -> Row:
    """The last point of a curve relative to its first, times a factor."""
    begin, *_, end = curve
    ratio = end.median / begin.median * factor
    return Row(f"{begin.sweep} {end.x:g} : {begin.x:g}", begin.way, unit, (ratio,), at_most=at_most)


def many_images(
    way: str,
    run: Callable[[int], object],
    images: Sequence[int],
    repeats: int,
    flat: float | None,
    clock: Clock = time.perf_counter,
) -> Iterator[Row]:
    """Two curves, and two rows that compare either end.

    Parameters
    ----------
    run : does what is measured, for so many images
    images : how many, ascending
    flat : the most that the last point should be of the first
    """
    curves: dict[str, list[Row]] = {"ms/image": [], "MB": []}
    for count in images:
        (timed,) = race({way: partial(run, count)}, repeats, clock).values()
        with MemoryWatch(INTERVAL) as memory:  # in a run of its own, because looking takes time
            run(count)
        found = {"ms/image": scaled(timed.seconds, 1000 / count), "MB": (memory.largest / 1e6,)}
        for unit, values in found.items():
            curves[unit].append(Row(f"images {count}", way, unit, values, sweep="images", x=count))
    for unit, curve in curves.items():
        yield from curve
        yield ends(curve, f"× {unit}", flat)
