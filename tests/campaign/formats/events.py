"""Recordings of events: read and binned; their formats hold no digests."""

import contextlib
from pathlib import Path
from random import Random

import numpy as np

from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.events.files import read_events
from tests.campaign.damage import damage
from tests.campaign.formats.base import Content, Format, sha


def recordings(base: Path) -> list[Path]:
    """One as of N-MNIST, and those that faery writes, where it is installed."""
    random = np.random.default_rng(0)
    events = np.zeros(60, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
    events["t"] = np.sort(random.integers(0, 10000, 60))
    events["x"], events["y"], events["on"] = (random.integers(0, below, 60) for below in (34, 34, 2))
    rows = [bytes([x, y]) + (int(on) << 23 | int(t)).to_bytes(3, "big") for t, x, y, on in events.tolist()]
    paths = [base / "a.bin"]
    paths[0].write_bytes(b"".join(rows))
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


def spoil(random: Random, path: Path, other: bytes) -> tuple[str, bool]:
    """Damage."""
    data, done = damage(random, path.read_bytes(), other)
    path.write_bytes(data)
    return done, False


EVENTS = Format(recordings, read, spoil, checksummed=False)
