"""Processes that end when the one that started them does, however that ends."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Let the kernel kill this process as soon as the thread that started it ends, even while this process is stopped.

    Only Linux can; elsewhere, nothing happens. A parent that ended before this call goes unnoticed: check afterwards.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
