"""Anonymous shared memory and unnamed semaphores: nothing is left, whatever is killed, and /dev/shm is no limit."""

from __future__ import annotations

import ctypes
import mmap
import sys
from multiprocessing import synchronize
from typing import Any

SEMAPHORE_BYTES = 64  # sem_t takes 32 at most


class Block:
    """`size` bytes common to this process and those forked from it; they are freed when the last of these ends."""

    def __init__(self, size: int) -> None:
        self.buf = memoryview(mmap.mmap(-1, size))


class Blocks:
    """Takes the place of Lava's `SharedMemoryManager`."""

    def start(self) -> None:
        """Do nothing: there is no process to start."""

    def shutdown(self) -> None:
        """Do nothing: a block is freed when the last process that uses it ends."""

    def create_shared_memory(self, size: int) -> Block:
        """Make one more block."""
        return Block(size)


def use_anonymous_memory() -> None:
    """Let Lava and `multiprocessing` make no named memory or semaphore in this process. Call it after `repair_lava`."""
    from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure

    infrastructure.SharedMemoryManager = Blocks
    if sys.platform == "linux":
        synchronize._multiprocessing = _UnnamedSemaphores()  # type: ignore[attr-defined]


class _UnnamedSemaphores:
    """Takes the place of `_multiprocessing`, whose semaphores have a name for a moment between two system calls.

    Python offers no public way around it. The private one used here exists in every Python that Lava runs on, 3.10 to
    3.13: `_rebuild` takes the address of a semaphore, whoever made it.
    """

    def __init__(self) -> None:
        self._original: Any = synchronize._multiprocessing  # type: ignore[attr-defined]
        self._initialise = ctypes.CDLL(None, use_errno=True).sem_init
        self._kept: list[Any] = []  # freeing one would call sem_close, which is for those with a name

    def SemLock(self, kind: int, value: int, maximum: int, *_: Any) -> Any:  # noqa: N802  (the name it replaces)
        """Make a semaphore in memory common to forked processes; its name is not used."""
        memory = (ctypes.c_char * SEMAPHORE_BYTES).from_buffer(mmap.mmap(-1, SEMAPHORE_BYTES))
        address = ctypes.addressof(memory)
        if self._initialise(ctypes.c_void_p(address), 1, ctypes.c_uint(value)):
            raise OSError(ctypes.get_errno(), "sem_init")
        made = self._original.SemLock._rebuild(address, kind, maximum, None)
        self._kept.append((memory, made))
        return made
