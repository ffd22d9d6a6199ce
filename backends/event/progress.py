"""The order in which threads that share a sample compute its layers."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from threading import Condition, RLock
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self  # Python 3.10 lacks it


class Progress:
    """Decides which layer computes which chunk of steps next, for the threads of one sample; each works inside `with`.

    A layer can compute a chunk when it has computed the chunk before, and those that it reads have computed this one.
    Of the chunks that can be computed, a thread takes the one that comes first in time.

    Parameters
    ----------
    chunks : how many
    reads : for each layer the numbers of earlier ones that it reads
    """

    def __init__(self, chunks: int, reads: Sequence[AbstractSet[int]]) -> None:
        self._chunks, self._reads = chunks, reads
        self._done, self._taken = len(reads) * [0], len(reads) * [0]  # chunks of each layer
        self._lock = RLock()  # entered itself: Ctrl-C in the middle of Condition.__enter__ would leave it locked
        self._changed = Condition(self._lock)
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:  # so that no thread waits for it
            with self._lock:
                self._failed = True
                self._changed.notify_all()

    def begin(self) -> tuple[int, int] | None:
        """Take a chunk and the number of a layer; None if nothing is left to take."""
        with self._lock:
            while not self._failed and self._taken[-1] < self._chunks:
                ready = [
                    (chunk + number, number)
                    for number, chunk in enumerate(self._taken)
                    if chunk == self._done[number] < self._readable(number)
                ]
                if ready:
                    number = min(ready)[1]
                    self._taken[number] += 1
                    return self._done[number], number
                self._changed.wait()
            return None

    def end(self, number: int) -> None:
        """Say that a layer has done its chunk."""
        with self._lock:
            self._done[number] += 1
            self._changed.notify_all()

    def _readable(self, number: int) -> int:
        """Chunks that all layers that layer `number` reads have done."""
        return min((self._done[read] for read in self._reads[number]), default=self._chunks)
