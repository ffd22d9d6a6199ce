"""Recordings of events: read and binned."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np

from .damage import damage
from .rasters import sha
from .subject import Content, FileSubject


class EventFiles(FileSubject):
    """Damaged recordings; their formats hold no digests."""

    name = "events"
    weight = 1.5
    modules = ("pipeline.images.events.binning", "pipeline.images.events.files")
    checksummed = False

    def originals(self, base: Path) -> list[Path]:
        """See :class:`FileSubject`."""
        random = np.random.default_rng(0)
        t = np.sort(random.integers(0, 10000, 60))
        x, y, on = random.integers(0, 34, 60), random.integers(0, 34, 60), random.integers(0, 2, 60)
        rows = [
            bytes([a, b]) + (int(p) << 23 | int(time)).to_bytes(3, "big")
            for time, a, b, p in zip(t, x, y, on, strict=True)
        ]
        (base / "a.bin").write_bytes(b"".join(rows))
        paths = [base / "a.bin"]
        if find_spec("faery") is not None:
            import faery

            events = np.zeros(60, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
            events["t"], events["x"], events["y"], events["on"] = t, x, y, on
            for suffix in (".es", ".aedat4", ".dat", ".raw"):
                path = base / f"a{suffix}"
                try:
                    faery.events_stream_from_array(events, dimensions=(34, 34)).to_file(path)
                    self.read(path)
                except Exception:  # what this release of faery cannot write
                    continue
                paths.append(path)
        return paths

    def read(self, path: Path) -> Content:
        """See :class:`FileSubject`."""
        from pipeline.images.events.binning import EventBinning
        from pipeline.images.events.files import read_events

        events = read_events(path)
        binned = EventBinning(12, 12, 4).binned(events)
        return {"events": sha(events.t, events.x, events.y, events.polarity), "bins": sha(binned.bits)}

    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        """See :class:`FileSubject`."""
        data, done = damage(random, path.read_bytes(), other)
        path.write_bytes(data)
        return done, False
