"""How much memory a process and its descendants use."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class MemoryWatch:
    """The largest proportional set size (PSS) of a process and its descendants, looked at now and then.

    Parameters
    ----------
    interval : seconds between looks; one takes a few milliseconds per process
    root : number of the process; this one if not given

    Attributes
    ----------
    largest : bytes
    """

    def __init__(self, interval: float, root: int | None = None) -> None:
        self.largest = 0
        self._interval, self._root = interval, os.getpid() if root is None else root
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
            self.largest = max(self.largest, sum(map(proportional_set_size, family(self._root))))
            if self._stop.wait(self._interval):
                return


def family(root: int) -> set[int]:
    """A process and all its descendants."""
    parents = {int(entry.name): parent(entry) for entry in Path("/proc").glob("[0-9]*")}
    members = {root}
    while more := {pid for pid, above in parents.items() if above in members} - members:
        members |= more
    return members


def parent(entry: Path) -> int | None:
    """The parent of a process in /proc, None if it has ended meanwhile."""
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def proportional_set_size(pid: int) -> int:
    """Bytes of memory of a process, shared pages divided among those that share them; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
