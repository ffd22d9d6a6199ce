"""Jobs whose spikes are made up: a backend that fires what tests/recordings/rasters.py says, after
no simulation.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import spikesam
from spikesam.backends.base import Backend
from spikesam.backends.network import Network
from spikesam.pipeline.engine._compute import SampleResult, compute
from spikesam.pipeline.engine.folder import FolderStore, begin
from spikesam.pipeline.engine.job import RASTER, Job, JobSpec
from spikesam.pipeline.engine.merge import WholeRaster, merge
from spikesam.pipeline.images.samples import Samples
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.raster.writer import make_record, remove_parts
from spikesam.recordings.schema import SampleTable
from tests.recordings.rasters import HEADER, batch, samples

COUNT = 50
LAYERS = (spikesam.Layer("fc1", np.ones((2, 1)), spikesam.LIF(0.9)),)
NETWORK = spikesam.Network((1, 1, 1), 2, LAYERS, spikesam.Readout(np.ones((2, 2))), "spikes")


@dataclass
class MadeUp(Backend):
    """A backend; `simulated` has the positions that it was asked for."""

    header: RasterHeader
    name: str = "torch"
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.simulated: list[int] = []

    def run(self, network: Network, inputs: Iterable[Any], n_samples: int) -> Iterator[RasterBatch]:
        for positions in inputs:
            self.simulated += positions.tolist()
            yield batch(self.header, positions)


@dataclass(frozen=True)
class MadeUpSamples(Samples):
    """Samples of which the network gets the positions."""

    table: SampleTable
    positions: range
    name = "made-up"

    def part(self, positions: range) -> Samples:
        return MadeUpSamples(self.table[positions.start : positions.stop], positions)

    def batch(self, chosen: list[int], network: Network, seed: int) -> Any:
        return np.array([self.positions[row] for row in chosen])


def job(header: RasterHeader = HEADER, count: int = COUNT, table: SampleTable | None = None) -> Job:
    """Recorded are the spikes of `count` samples, and nothing else."""
    every = samples(count) if table is None else table
    backend: Any = MadeUp(header, header.backend, header.device)
    read = MadeUpSamples(every, range(count)).part
    return Job(JobSpec(header, every, RASTER), NETWORK, read, backend, batch_size=3)


def begun(
    folder: Path, given: Job | None = None, *, resume: bool | None = None, whole: bool = False
) -> FolderStore:
    """The store of a job that has begun in a folder, or goes on there."""
    started = begin(folder, given or job(), resume=resume)
    return FolderStore(
        folder, started, whole_raster=WholeRaster(folder, started.spec) if whole else None
    )


def result(header: RasterHeader, position: int) -> SampleResult:
    """One sample, ready to store."""
    made = batch(header, range(position, position + 1))
    return SampleResult(make_record(header, made, 0, position), f"sample {position}")


def add(store: FolderStore, positions: Iterable[int], header: RasterHeader = HEADER) -> None:
    for position in positions:
        store.add(result(header, position))


def interrupted(folder: Path, done: int = 40, header: RasterHeader = HEADER) -> FolderStore:
    """Record the first samples only, and walk away without a flush."""
    store = begun(folder, job(header))
    add(store, range(done), header)
    return store


def finish(folder: Path, given: Job | None = None) -> tuple[FolderStore, list[int]]:
    """Go on with what is there; returns the store and the positions that were computed."""
    started = begin(folder, given or job())
    store = FolderStore(folder, started)
    computed = list(store.missing)
    compute(started, store)
    merge(folder, started.spec, checked=store.checked)
    remove_parts(folder / "raster.parts")
    return store, computed


def contents(folder: Path) -> dict[Path, bytes]:
    """Everything that lies in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files(folder: Path) -> list[str]:
    """Names of the files of ranges."""
    return sorted(path.name for path in (folder / "raster.parts").glob("*.range"))


def digest(path: Path) -> str:
    with RasterReader(path) as raster:
        raster.verify()
        return raster.raster_digest


def digests(out: Path) -> dict[str, str]:
    """What identifies spikes, everything else of the raster but who made it, and maps."""
    with h5py.File(out / "sam.h5") as maps:
        found = {"maps": maps.attrs["content_digest"], "of": maps.attrs["raster_digest"]}
    if (out / "raster.h5").exists():
        with h5py.File(out / "raster.h5") as raster:
            found["spikes"] = raster.attrs["raster_digest"]
            assert found["spikes"] == found["of"]
    return found


def results(out: Path) -> dict[str, object]:
    """The summary, but for what the clock says."""
    content = json.loads((out / "summary.json").read_text())
    assert content.pop("seconds")
    return content
