"""A run of which the raster stays in memory."""

from __future__ import annotations

from spikesam.pipeline.engine.job import JobSpec
from spikesam.pipeline.engine.sample import SampleResult
from spikesam.pipeline.engine.timer import StageTimer
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import raster_image
from spikesam.recordings.writer import SampleRecord


class MemoryStore:
    """Keeps the spikes of a run, compressed as they would stand in a file; see `Store`.

    Parameters
    ----------
    spec : of the run
    """

    recorded = None

    def __init__(self, spec: JobSpec) -> None:
        self.timer, self.missing = StageTimer(), range(len(spec.samples))
        self._spec, self._records = spec, list[SampleRecord]()

    def add(self, sample: SampleResult) -> None:
        """Keep the next sample."""
        self._records.append(sample.record)

    def flush(self) -> None:
        """Memory is where samples stay."""

    def raster(self) -> RasterReader:
        """The raster, once every sample was added."""
        spec = self._spec
        return RasterReader(raster_image(spec.header, spec.samples, spec.run_uuid, self._records), trusted=True)
