"""Recordings of events: read and binned; their formats hold no digests."""

import contextlib
from pathlib import Path

import numpy as np

from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.events import Events
from spikesam.pipeline.images.events.files import read_events
from tests.campaign.formats.base import Content, Format, sha
from tests.pipeline.small_events import nmnist_file


def recordings(base: Path) -> list[Path]:
    """One as of N-MNIST, and those that faery writes, where it is installed."""
    random = np.random.default_rng(0)
    events = np.zeros(60, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
    events["t"] = np.sort(random.integers(0, 10000, 60))
    events["x"], events["y"], events["on"] = (
        random.integers(0, below, 60) for below in (34, 34, 2)
    )
    paths = [
        nmnist_file(
            base / "a.bin", Events(*(events[name] for name in events.dtype.names), (34, 34))
        )
    ]
    for suffix in (".es", ".aedat4", ".dat", ".raw"):
        with contextlib.suppress(Exception):  # what this release of faery, if any, cannot write
            import faery

            path = base / f"a{suffix}"
            faery.events_stream_from_array(events, dimensions=(34, 34)).to_file(path)
            read(path)
            paths.append(path)
    return paths


def read(path: Path) -> Content:
    """Every event, and the steps that they make."""
    events = read_events(path)
    binned = EventBinning(12, 12, 4).binned(events)
    return {"events": sha(events.t, events.x, events.y, events.polarity), "bins": sha(binned.bits)}


EVENTS = Format(recordings, read, checksummed=False)
