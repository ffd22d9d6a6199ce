"""Repairs that let lava-nc 0.10.0, written for Python 3.10 and NumPy 1, run on newer ones, and
leave nothing when killed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import mmap
import operator
import sys
from multiprocessing import synchronize
from types import SimpleNamespace
from typing import Any

BROKEN_MODULE = "lava.magma.compiler.var_model"
SEMAPHORE_BYTES = 64  # sem_t takes 32 at most


def repair_lava() -> None:
    """Import and repair the modules of Lava that need it, before Lava is imported; a second call
    changes nothing.
    """
    _import_dataclasses()
    _reshape_without_keyword()


def _import_dataclasses() -> None:
    """Make the dataclasses of a module, which are defaults of fields, hashable, as Python 3.11
    demands.
    """
    original = dataclasses.dataclass

    def hashable(cls: type | None = None, /, **options: Any) -> Any:
        if cls is not None and cls.__module__ == BROKEN_MODULE:
            options["unsafe_hash"] = True
        return original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        import lava.magma.compiler.var_model  # noqa: F401
    finally:
        dataclasses.dataclass = original


def _reshape_without_keyword() -> None:
    """Let a reshaped port call `array.reshape(shape)`, not `newshape=…`, which NumPy 2.5 does not
    know.
    """
    from lava.magma.core.process.ports.ports import ReshapePort

    ReshapePort.get_transform_func_fwd = lambda port: operator.methodcaller("reshape", port.shape)
    ReshapePort.get_transform_func_bwd = lambda port: operator.methodcaller(
        "reshape", port.old_shape
    )


def repair_convolutions() -> None:
    """Let Lava's `Conv` have 128 channels and more: it stores its number of groups as an int8."""
    import numpy as np
    from lava.magma.core.model.py.type import LavaPyType
    from lava.proc.conv.models import AbstractPyConvModel

    AbstractPyConvModel.groups = LavaPyType(np.ndarray, np.int32, precision=8)


def use_anonymous_memory() -> None:
    """Let Lava and `multiprocessing` make no named memory or semaphore in this process. Call it
    after `repair_lava`.

    Then nothing is left, whatever is killed, and /dev/shm is no limit.
    """
    from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure

    infrastructure.SharedMemoryManager = _Blocks
    if sys.platform == "linux":
        synchronize._multiprocessing = _UnnamedSemaphores()  # type: ignore[attr-defined]


class _Blocks:
    """Takes the place of Lava's `SharedMemoryManager`, a process; a block is freed with the last
    that has it.
    """

    def start(self) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def create_shared_memory(self, size: int) -> Any:
        return SimpleNamespace(buf=memoryview(mmap.mmap(-1, size)))


class _UnnamedSemaphores:
    """Takes the place of `_multiprocessing`, whose semaphores have a name for a moment between two
    system calls.

    Python offers no public way around it. The private one used here exists in every Python that
    Lava runs on, 3.11 to 3.13: `_rebuild` takes the address of a semaphore, whoever made it.
    """

    def __init__(self) -> None:
        self._original: Any = synchronize._multiprocessing  # type: ignore[attr-defined]
        self._initialise = ctypes.CDLL(None, use_errno=True).sem_init
        self._kept: list[
            Any
        ] = []  # freeing one would call sem_close, which is for those with a name

    def SemLock(self, kind: int, value: int, maximum: int, *_: Any) -> Any:  # noqa: N802  (the name it replaces)
        """Make a semaphore in memory common to forked processes; its name is not used."""
        memory = (ctypes.c_char * SEMAPHORE_BYTES).from_buffer(mmap.mmap(-1, SEMAPHORE_BYTES))
        address = ctypes.addressof(memory)
        if self._initialise(ctypes.c_void_p(address), 1, ctypes.c_uint(value)):
            raise OSError(ctypes.get_errno(), "sem_init")
        semaphore = self._original.SemLock._rebuild(address, kind, maximum, None)
        self._kept.append((memory, semaphore))
        return semaphore
