"""The libraries that are known."""

from __future__ import annotations

from torch import nn

from spikesam.pipeline.imports.libraries import lava_dl, norse, sinabs, snntorch, spikingjelly
from spikesam.pipeline.imports.libraries.library import Library

LIBRARIES = (snntorch.LIBRARY, spikingjelly.LIBRARY, norse.LIBRARY, sinabs.LIBRARY, lava_dl.LIBRARY)


def library_that_fires(module: nn.Module) -> Library | None:
    """The library of a module that puts out spikes; None if it is of no known library, or puts out none."""
    return next((library for library in LIBRARIES if library.fires(module)), None)
