"""Settings of a process: torch's defaults of tensors and gradients, and memory that is freed and
needed again.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from spikesam.backends.torch.synapses import without_autocast


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Torch's first settings, for models built here: new tensors are float32 on the CPU, with
    gradients.
    """
    dtype = torch.get_default_dtype()
    # Where the CPU is the default already, nothing is entered: each call of torch would pass
    # through Python.
    cpu = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    torch.set_default_dtype(torch.float32)
    try:
        with cpu, torch.inference_mode(False), torch.enable_grad(), without_autocast():
            yield
    finally:
        torch.set_default_dtype(dtype)


def keep_freed_memory() -> None:
    """Have glibc reuse freed memory instead of faulting large tensors in again: training is faster
    by a third.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 1 << 28)
