"""A process and its descendants seen from outside (Linux): memory, processor time, and how to end them all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_TICKS = os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that :func:`descendants` still finds it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on; those that ended are left out."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                found += [int(child) for child in children]
    return [process for child in found for process in (child, *descendants(child)) if _state(process) not in "ZX"]


def reap(keep: Collection[int]) -> None:
    """Let go of adopted children that have ended; those in `keep` are waited for elsewhere."""
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        if int(child) not in keep and _state(int(child)) in "ZX":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(child), os.WNOHANG)


def end_tree(pid: int) -> None:
    """Kill a process and all its descendants; the process itself is stopped first, so that it starts no more."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for process in (*descendants(pid), pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def describe(pid: int) -> str:
    """Its command line, shortened."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return f"{pid} {' '.join(b' '.join(words).decode(errors='replace').split())[:300]}"
    return str(pid)


def processor_seconds(pid: int) -> float:
    """Of a process, its descendants, and those of its children that have ended."""
    return sum(map(_own_seconds, (pid, *descendants(pid))))


class Memory:
    """The memory of a process and its descendants beyond what each had when it was first looked at.

    Anonymous and shared memory alone: pages of libraries come and go with what runs first.

    Attributes
    ----------
    peak : bytes, the most at one moment since the last :meth:`begin`
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.begin()

    def begin(self) -> None:
        """Count from here on."""
        self.peak = 0
        self._before = {process: _memory(process) for process in (self._pid, *descendants(self._pid))}

    def look(self) -> int:
        """Bytes now."""
        now = 0
        for process in (self._pid, *descendants(self._pid)):
            size = _memory(process)
            # One that began since may have taken much before this first look; it inherits no more than its parent had.
            before = self._before.setdefault(process, min(size, self._before[self._pid]))
            now += max(0, size - before)
        self.peak = max(self.peak, now)
        return now


def _memory(pid: int) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem")))
    return 0


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on; the name before it may hold anything."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return []


def _state(pid: int) -> str:
    return (_fields(pid) or ["X"])[0]


def _own_seconds(pid: int) -> float:
    return sum(map(int, _fields(pid)[11:15])) / _TICKS  # utime, stime, and those of children that were waited for
