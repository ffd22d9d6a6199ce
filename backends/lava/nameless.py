"""Shared memory and semaphores without names, so that nothing is left when a simulation is killed.

Lava shares named blocks of /dev/shm between its processes, and one more process removes them at the end. A block with a
name stays if everything is killed at once. All of Lava's processes are forked: what they share needs no name.
Without names, the size of /dev/shm (64 MB in many containers) is no limit either.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from multiprocessing import synchronize
from typing import Any

SEMAPHORE_BYTES = 64  # sem_t takes 32 at most


class Block:
    """`size` bytes that this process shares with those forked from it; the last one to end frees them."""

    def __init__(self, size: int) -> None:
        self.buf = memoryview(mmap.mmap(-1, size))


class Blocks:
    """Takes the place of Lava's `SharedMemoryManager`."""

    def start(self) -> None:
        """Do nothing: there is no process to start."""

    def shutdown(self) -> None:
        """Do nothing: blocks end with the processes that share them."""

    def create_shared_memory(self, size: int) -> Block:
        """Make one more block."""
        return Block(size)


def share_without_names() -> None:
    """Let Lava and `multiprocessing` make nothing in this process that has a name. Call this after `repair_lava`."""
    from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure

    infrastructure.SharedMemoryManager = Blocks
    if sys.platform == "linux":
        synchronize._multiprocessing = _NamelessSemaphores()  # type: ignore[attr-defined]


class _NamelessSemaphores:
    """Takes the place of `_multiprocessing`, whose semaphores have a name for a moment between two system calls.

    Python offers no public way around it. The private one used here exists in every Python that Lava runs on, 3.10 to
    3.13: `_rebuild` takes the address of a semaphore, whoever made it.
    """

    def __init__(self) -> None:
        self._original: Any = synchronize._multiprocessing  # type: ignore[attr-defined]
        self._initialise = ctypes.CDLL(None, use_errno=True).sem_init
        self._kept: list[Any] = []  # freeing one would call sem_close, which is for those with a name

    def SemLock(self, kind: int, value: int, maximum: int, *_: Any) -> Any:  # noqa: N802  (the name it replaces)
        """Make a semaphore in memory that forked processes share; its name is not used."""
        memory = (ctypes.c_char * SEMAPHORE_BYTES).from_buffer(mmap.mmap(-1, SEMAPHORE_BYTES))
        address = ctypes.addressof(memory)
        if self._initialise(ctypes.c_void_p(address), 1, ctypes.c_uint(value)):
            raise OSError(ctypes.get_errno(), "sem_init")
        made = self._original.SemLock._rebuild(address, kind, maximum, None)
        self._kept.append((memory, made))
        return made
