"""The sources of an input: the layers whose spikes it reads, and how many steps later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from spikesam.backends.network.checks import NetworkError, plain_list, whole
from spikesam.common.text import LONGEST_NAME, printable

LONGEST_DELAY = 1 << 10  # steps; backends keep the spikes of so many
MOST_CHANNELS = 1 << 20  # of a layer that have delays of their own
MOST_SOURCES = 127  # of an input: so many spikes at one place are summed in int8


@dataclass(frozen=True)
class Source:
    """The spikes of one layer, as another one reads them.

    Parameters
    ----------
    layer : its name, or "input"; that of the reading layer itself for recurrent weights
    delay : steps until a spike arrives, ≥ 1; or those of each channel of that layer, (C,)
    sign : 1, or -1 to subtract the spikes
    """

    layer: str
    delay: int | tuple[int, ...] = 1
    sign: int = 1

    @cached_property
    def delays(self) -> dict[int, Any]:
        """Each of its delays, the shortest first -> the channels that have it, as an index."""
        if not isinstance(self.delay, tuple):
            return {self.delay: slice(None)}
        each = np.array(self.delay)
        return {steps: np.flatnonzero(each == steps) for steps in np.unique(each).tolist()}

    @property
    def shortest(self) -> int:
        """Steps until the first of its spikes arrives."""
        return min(self.delays)

    @property
    def longest(self) -> int:
        """Steps until the last of its spikes arrives."""
        return max(self.delays)

    def later(self, steps: int) -> Source:
        """The source of what arrives so many steps later still."""
        return replace(self, delay=later(self.delay, steps))

    def arriving(self, before: Callable[[int], Any], axis: int = -3) -> Any:
        """What arrives, an array or tensor: `before(d)` is all that fired d steps before, channels
        on an `axis` < 0.
        """
        (shortest, _), *others = self.delays.items()
        found = before(shortest)
        if others:
            found = (getattr(found, "clone", None) or found.copy)()
        for delay, channels in others:
            of_channels = (..., channels, *[slice(None)] * (-1 - axis))
            found[of_channels] = before(delay)[of_channels]
        return found


def later(delay: int | tuple[int, ...], steps: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """A delay and so many steps more, either of which may be that of each channel."""
    found = np.add(delay, steps).tolist()
    return tuple(found) if isinstance(found, list) else found


def checked_sources(given: Any, where: str) -> tuple[Source, ...]:
    """The sources of a layer, as they may be written: nothing, a name, a :class:`Source`, or
    several of these.
    """
    several = given if isinstance(given, (tuple, list)) else (given,)
    if len(several) > MOST_SOURCES:
        raise NetworkError(f"{where}: got {len(several)} sources, expected at most {MOST_SOURCES}")
    return tuple(_source(each, where) for each in several)


def _source(given: Any, where: str) -> Source:
    source = Source(given) if isinstance(given, str) else given
    if not isinstance(source, Source) or not isinstance(source.layer, str):
        shown = printable(repr(given), LONGEST_NAME)
        raise NetworkError(f"{where}: source is {shown}, expected the name of a layer, or a Source")
    delay = _delay(source, where)
    if source.sign not in (1, -1) or isinstance(source.sign, bool):
        raise NetworkError(
            f"{where}: sign of {source.layer!r} is {source.sign!r}, expected 1 or -1"
        )
    return Source(source.layer, delay, int(source.sign))


def _delay(source: Source, where: str) -> int | tuple[int, ...]:
    """The delay of a source, or those of its channels, of which an array or a tensor may hold them."""
    of = f"delay from {printable(source.layer, LONGEST_NAME)!r}"
    given = plain_list(source.delay, MOST_CHANNELS, of, where)
    if not isinstance(given, (tuple, list)):
        return _steps(given, of, where)
    if not given:
        raise NetworkError(f"{where}: {of} is of no channel, expected one for all, or one for each")
    return tuple(
        _steps(each, f"{of}, channel {channel},", where) for channel, each in enumerate(given)
    )


def _steps(given: Any, what: str, where: str) -> int:
    steps = whole(given, what, where, 1)
    if steps > LONGEST_DELAY:
        raise NetworkError(f"{where}: {what} is {steps}, expected 1 … {LONGEST_DELAY} steps")
    return steps
