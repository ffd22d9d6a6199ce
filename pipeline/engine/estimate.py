"""What a run will take, from a measured second of work."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from spikesam.pipeline.engine.compute import compute
from spikesam.pipeline.engine.folder import FolderStore, begin
from spikesam.pipeline.engine.job import RANGE, Job
from spikesam.pipeline.engine.range_file import RangeFile, range_files
from spikesam.recordings.disk import readable

ENOUGH = 1.0  # seconds of work
PATIENCE = 10.0  # seconds that measuring may take, or one sample


@dataclass(frozen=True)
class Measured:
    """A part of a run that was done.

    Parameters
    ----------
    samples : how many
    ready : seconds before the first one, which every process takes: loading and compiling
    seconds : for all samples
    raster, maps : bytes of their files; 0 where none is kept
    memory : bytes that the process held at most; None where the system does not say (Windows)
    """

    samples: int
    ready: float
    seconds: float
    raster: int
    maps: int
    memory: int | None


def measure(job: Job, ready: float) -> Measured:
    """Compute the first samples of a run in a temporary folder: one, then a range, then more, until it takes a second.

    Parameters
    ----------
    ready : seconds that getting ready took
    """
    whole, count, warm = job.spec, 1, False
    while True:
        every = whole.keep.stepped == len(whole.samples)  # or a few are kept step by step, which say nothing of others
        keep = replace(whole.keep, stepped=count * every, steps=whole.keep.steps * every)
        part = replace(job, spec=replace(whole, samples=whole.samples[:count], keep=keep))
        with tempfile.TemporaryDirectory() as name:
            folder, begun = Path(name), time.perf_counter()
            compute(part, FolderStore(folder, begin(folder, part)))
            seconds = time.perf_counter() - begun
            sizes = {"raster": 0, "maps": 0}
            for path in range_files(folder, range(0), everything=True):
                for section, seal in RangeFile(path, part.spec).record.sections.items():
                    sizes[section] += seal.size
        if seconds > PATIENCE or (warm and (seconds >= ENOUGH or count == len(whole.samples))):
            return Measured(count, ready, seconds, sizes["raster"], sizes["maps"], _peak_memory())
        count = min(2 * count if warm else max(1, min(RANGE, int(PATIENCE / seconds))), len(whole.samples))
        warm = True  # the first time, libraries are still being loaded


def estimate(measured: Measured, job: Job, machines: int) -> list[str]:
    """What the whole run will take, line by line."""
    spec, n = job.spec, len(job.spec.samples)
    times = n / measured.samples
    seconds, raster, maps = measured.seconds * times, measured.raster * times, measured.maps * times
    kept = [f"raster.h5 {readable(raster)}"] * (raster > 0) + [f"sam.h5 {readable(maps)}"]
    shards = f"; while it is merged, {readable(raster + maps)} more" if n > measured.samples else ""
    where = f"{machines} machines like this" if machines > 1 else "this machine"
    return [
        f"{n:,} samples of {spec.header.dataset}, {spec.header.timesteps} steps on {job.backend.name}",
        f"measured  {measured.samples} samples in {measured.seconds:.1f} s, {measured.samples / measured.seconds:.3g} "
        f"a second; {measured.ready:.1f} s to get ready",
        f"time      {_duration(measured.ready + seconds / machines)} on {where}, and merging",
        *([] if measured.memory is None else [f"memory    {readable(measured.memory)} a process"]),
        f"disk      {readable(raster + maps)}: {', '.join(kept)}{shards}",
    ]


def _peak_memory() -> int | None:
    """Bytes that this process held at most."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _duration(seconds: float) -> str:
    """Seconds as people say them: "42 s", "31 min", "5.2 h", "3.1 days"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
