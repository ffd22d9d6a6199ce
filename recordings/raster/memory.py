"""Writing a raster in memory."""

from __future__ import annotations

import uuid

from recordings.schema import SampleTable

from .recorder import Recorder
from .records import SampleRecord, raster_image
from .schema import RasterHeader


class MemoryWriter(Recorder):
    """Records the rasters of a run in memory: compressed, as they would stand in a file.

    Parameters and attributes are those of :class:`recordings.raster.recorder.Recorder`.
    """

    def __init__(self, header: RasterHeader, samples: SampleTable) -> None:
        super().__init__(header, samples)
        self._records: list[SampleRecord] = []

    def _keep(self, record: SampleRecord) -> None:
        self._records.append(record)

    def flush(self) -> None:
        """Memory is where the samples stay."""

    def finalize(self) -> bytes:
        """The content of the raster file, which :class:`recordings.raster.reader.RasterReader` opens.

        Raises
        ------
        ValueError : if samples are missing
        """
        self._check_nothing_remains()
        return raster_image(self.header, self.samples, str(uuid.uuid4()), self._records)
