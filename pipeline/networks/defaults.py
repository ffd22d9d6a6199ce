"""Torch's defaults: type and place of a tensor where nothing is said of them, and whether it keeps gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from spikesam.backends.torch.synapses import without_autocast


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Torch's first settings, for models built here: new tensors are float32 on the CPU, with gradients."""
    dtype = torch.get_default_dtype()
    # Where the CPU is the default already, nothing is entered: each call of torch would pass through Python.
    cpu = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    torch.set_default_dtype(torch.float32)
    try:
        with cpu, torch.inference_mode(False), torch.enable_grad(), without_autocast():
            yield
    finally:
        torch.set_default_dtype(dtype)
