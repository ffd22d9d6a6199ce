"""The process that trains: what libraries leave behind, and what they print."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def without_empty_caches() -> Iterator[None]:
    """Remove the folder that torch makes for what it compiles where nothing was compiled: no optimiser here is."""
    try:
        yield
    finally:
        for path in Path(tempfile.gettempdir()).glob("torchinductor_*"):
            with suppress(OSError):  # one that holds something, or is another user's
                path.rmdir()


def quiet_lightning() -> None:
    """Silence Lightning's tips and hints, which are not about this project; real trouble raises."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch"):
        warnings.filterwarnings("ignore", module=module)
