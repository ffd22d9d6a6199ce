"""Where the samples of a range come from: a data set, with names and masks, or any source of inputs, without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import InputBatch
from spikesam.backends.network import Network
from spikesam.pipeline.images.sources import SampleSource
from spikesam.recordings.errors import InputError
from spikesam.recordings.schema import SampleTable


class RangeSamples(Protocol):
    """The samples of a range; :class:`spikesam.pipeline.images.samples.Samples` are such."""

    @property
    def name(self) -> str:
        """Identity of the data, for files."""

    @property
    def table(self) -> SampleTable:
        """Index and label of every sample."""

    @property
    def names(self) -> Sequence[str]:
        """Of the samples, short, for people."""

    @property
    def masks(self) -> Sequence[NDArray[np.bool_] | None]:
        """(H, W), the object's pixels; None if unknown."""

    @property
    def contents(self) -> Sequence[str]:
        """SHA-256, hexadecimal, of what each was read from; nothing where the name says what they are."""

    def encoded(self, chosen: Sequence[int], network: Network, seed: int, batch_size: int) -> Iterator[InputBatch]:
        """What `network` gets of the chosen samples, in batches."""


Read = Callable[[range], RangeSamples]


def refuse_changed(found: RangeSamples, expected: Sequence[str]) -> None:
    """Refuse samples that are not what they were when the run began.

    Parameters
    ----------
    found : some samples, as they were just read
    expected : their contents when the run began; nothing if that is not known

    Raises
    ------
    InputError : naming the first that was changed
    """
    names = [name for name, now, before in zip(found.names, found.contents, expected, strict=False) if now != before]
    if names:
        more = f" and {len(names) - 1} more" if names[1:] else ""
        raise InputError(
            f"{found.name}: {names[0]}{more}: changed since the run began; restore what it was", "other-out"
        )


@dataclass(frozen=True)
class Parts:
    """Any source, range by range: called with positions, it gives those samples."""

    source: SampleSource

    def __call__(self, positions: range) -> RangeSamples:
        """The samples at these positions."""
        return _Part(self.source, positions)


@dataclass(frozen=True)
class _Part:
    source: SampleSource
    positions: range

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def table(self) -> SampleTable:
        return self.source.table[self.positions.start : self.positions.stop]

    @property
    def names(self) -> list[str]:
        return [f"sample {position}" for position in self.positions]

    @property
    def masks(self) -> list[None]:
        return [None] * len(self.positions)

    @property
    def contents(self) -> Sequence[str]:
        found: Sequence[str] = getattr(self.source, "contents", ())
        return found[self.positions.start : self.positions.stop]

    def encoded(self, chosen: Sequence[int], network: Network, seed: int, batch_size: int) -> Iterator[InputBatch]:
        return self.source.encoded([self.positions[row] for row in chosen], network, seed, batch_size)
