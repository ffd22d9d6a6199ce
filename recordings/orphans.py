"""Processes that end when the one that started them does, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process as soon as the thread that started it ends, even while this process is stopped.

    Only Linux can; elsewhere, only `parent` matters.

    Parameters
    ----------
    parent : the process that started this one, where it is known: if it ended already, this process ends at once
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
