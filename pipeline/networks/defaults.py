"""What torch makes of a tensor where nothing is said of its type and place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def usual_defaults() -> Iterator[None]:
    """New tensors are float32 on the CPU, as torch begins, whatever defaults the user's session has set since.

    For what builds models of its own, not for what runs the user's: these may count on those defaults.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
