"""How long each stage took, added up over threads: stages that overlap take longer together than the clock says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class StageTimer:
    """Seconds by stage; any thread may add to them. Within a thread, a stage inside another does not count for both."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._inside = threading.local()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the seconds that the block takes, but for those of stages within it."""
        outer = getattr(self._inside, "seconds", 0.0)
        self._inside.seconds, begun = 0.0, time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + taken - self._inside.seconds
            self._inside.seconds = outer + taken

    def timed(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the seconds added that each takes to come."""
        iterator = iter(items)
        while True:
            with self.time(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def take(self) -> dict[str, float]:
        """What was added since this was last asked."""
        with self._lock:
            taken, self._seconds = self._seconds, {}
        return taken
