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
        lags = np.array(self.delay)
        return {steps: np.flatnonzero(lags == steps) for steps in np.unique(lags).tolist()}

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

    def arriving(self, spikes_before: Callable[[int], Any], axis: int = -3) -> Any:
        """The arriving spikes, an array or tensor: `spikes_before(d)` is all that fired d steps
        before, channels on an `axis` < 0.
        """
        (shortest, _), *further_delays = self.delays.items()
        arriving_spikes = spikes_before(shortest)
        if further_delays:
            arriving_spikes = (getattr(arriving_spikes, "clone", None) or arriving_spikes.copy)()
        for delay, channels in further_delays:
            of_channels = (..., channels, *[slice(None)] * (-1 - axis))
            arriving_spikes[of_channels] = spikes_before(delay)[of_channels]
        return arriving_spikes


def later(delay: int | tuple[int, ...], steps: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """A delay and so many steps more, either of which may be that of each channel."""
    delays = np.add(delay, steps).tolist()
    return tuple(delays) if isinstance(delays, list) else delays


def checked_sources(sources: Any) -> tuple[Source, ...]:
    """The sources of a layer, as they may be written: nothing, a name, a :class:`Source`, or
    several of these.
    """
    listed_sources = sources if isinstance(sources, (tuple, list)) else (sources,)
    if len(listed_sources) > MOST_SOURCES:
        raise NetworkError(f"got {len(listed_sources)} sources, expected at most {MOST_SOURCES}")
    return tuple(_source(source) for source in listed_sources)


def _source(value: Any) -> Source:
    source = Source(value) if isinstance(value, str) else value
    if not isinstance(source, Source) or not isinstance(source.layer, str):
        shown = printable(repr(value), LONGEST_NAME)
        raise NetworkError(f"source is {shown}, expected the name of a layer, or a Source")
    delay = _delay(source)
    if source.sign not in (1, -1) or isinstance(source.sign, bool):
        raise NetworkError(f"sign of {source.layer!r} is {source.sign!r}, expected 1 or -1")
    return Source(source.layer, delay, int(source.sign))


def _delay(source: Source) -> int | tuple[int, ...]:
    """The delay of a source, or those of its channels, which an array or a tensor may hold."""
    subject = f"delay from {printable(source.layer, LONGEST_NAME)!r}"
    delay = plain_list(source.delay, MOST_CHANNELS, subject)
    if not isinstance(delay, (tuple, list)):
        return _steps(delay, subject)
    if not delay:
        raise NetworkError(f"{subject} is of no channel, expected one for all, or one for each")
    return tuple(
        _steps(steps, f"{subject}, channel {channel},") for channel, steps in enumerate(delay)
    )


def _steps(delay: Any, quantity: str) -> int:
    steps = whole(delay, quantity, 1)
    if steps > LONGEST_DELAY:
        raise NetworkError(f"{quantity} is {steps}, expected 1 … {LONGEST_DELAY} steps")
    return steps
