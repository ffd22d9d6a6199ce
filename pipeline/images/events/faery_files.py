"""Event files that faery decodes: AEDAT 4, Prophesee EVT and DAT, Event Stream. faery is an extra of this package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.events.endings import check_end, check_words
from spikesam.pipeline.images.events.events import Events, check_count
from spikesam.pipeline.images.quiet_libraries import silent_libraries
from spikesam.recordings.errors import InputError
from spikesam.recordings.inspection import inspect
from spikesam.recordings.text import printable

FORMATS = {".aedat4": "AEDAT 4", ".raw": "Prophesee EVT", ".dat": "Prophesee DAT", ".es": "Event Stream"}
PANIC = "PanicException"  # the type of what Rust raises, which cannot be imported


def read_with_faery(path: Path) -> Events:
    """The events of a file; times count from its first event. Refuses a file that faery cannot read, or that is cut.

    faery is Rust: damage can make it panic, ask for any amount of memory, or end its process. So a process of its own
    decodes every file first.
    """
    if find_spec("faery") is None:
        raise InputError(
            f"{path}: {FORMATS[path.suffix.lower()]} is read by the package faery, which is not installed; "
            "pip install 'spikesam[events]'"
        )
    inspect(path, f"{__name__}:{check.__name__}", str(path))
    events, sensor = decode(path)
    t = events["t"].astype(np.int64)
    return Events(t - t[:1], events["x"], events["y"], events["on"], sensor)


def check(path: Path) -> None:
    """Read a file for the errors that it may raise."""
    suffix = path.suffix.lower()
    if suffix in (".raw", ".dat"):
        check_words(path, FORMATS[suffix])
    events, _ = decode(path)
    if suffix in (".es", ".aedat4"):
        check_end(path, events["t"])


def decode(path: Path) -> tuple[NDArray[Any], tuple[int, int]]:
    """The events of a file as faery has them, and (H, W) of its sensor."""
    import faery

    try:
        packets, count = [], 0
        with silent_libraries():
            stream = faery.events_stream_from_file(path)
            width, height = stream.dimensions()
            for packet in stream:
                check_count(count := count + len(packet))
                packets.append(packet)
        if not packets:
            raise InputError(f"{path}: events: got none, expected at least one event")
        return np.concatenate(packets), (height, width)
    except (InputError, MemoryError):
        raise
    except BaseException as error:  # faery raises whatever a broken file makes it stumble over
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        found = FORMATS[path.suffix.lower()]
        raise InputError(f"{path}: not in the format {found}, or truncated ({printable(error, 120)})") from None
