"""`raster.h5` while it is filled with all samples of a run: from memory as they are computed, or from range files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from spikesam.pipeline.engine.job import JobSpec
from spikesam.recordings.writer import SampleRecord, SampleWriter, writing_samples


class WholeRaster:
    """The raster of a run; it appears whole when it is finished, or not at all.

    Parameters
    ----------
    folder : of the run
    spec : of the run

    Attributes
    ----------
    added : positions of the first samples of what it holds already
    """

    def __init__(self, folder: Path, spec: JobSpec) -> None:
        self.path = folder / "raster.h5"
        self.added: set[int] = set()
        self._spec, self._resources = spec, ExitStack()
        self._raster: SampleWriter | None = None

    def add(self, records: Sequence[SampleRecord]) -> None:
        """Take consecutive samples from memory.

        Raises
        ------
        OSError, RuntimeError : if it cannot be written
        """
        self._opened().add(records[0].position, records)
        self.added.add(records[0].position)

    def copy(self, first: int, section: bytes) -> None:
        """Take the samples from `first` on from a raster file of them, chunk by chunk as they are stored.

        Raises
        ------
        OSError, RuntimeError : if it cannot be written
        """
        self._opened().copy(first, section)
        self.added.add(first)

    def finish(self) -> None:
        """Say that everything is there, once all samples were taken."""
        self._opened()
        self._resources.close()

    def close(self) -> None:
        """Remove what there is of it, unless it is finished."""
        self.added.clear()
        self._raster = None
        with suppress(_UnfinishedError), self._resources:
            raise _UnfinishedError

    def _opened(self) -> SampleWriter:
        if self._raster is None:
            spec = self._spec
            new = writing_samples(self.path, spec.header, spec.samples, run_uuid=spec.run_uuid)
            self._raster = self._resources.enter_context(new)
        return self._raster


class _UnfinishedError(Exception):
    """Makes :func:`spikesam.recordings.writer.writing_samples` leave nothing."""
