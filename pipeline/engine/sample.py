"""One simulated sample: encoded for its files, explained, and measured. No file is needed, and none is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.engine.job import RANGE, JobSpec
from spikesam.pipeline.engine.timer import StageTimer
from spikesam.pipeline.images.samples import Samples
from spikesam.pipeline.maps.localisation import Score, score_sample
from spikesam.pipeline.maps.methods.sam import explain_spikes
from spikesam.pipeline.maps.sam import spike_count_sum
from spikesam.recordings.maps.writer import make_map_record
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.raster.writer import make_record
from spikesam.recordings.writer import SampleRecord


@dataclass(frozen=True)
class SampleResult:
    """What is kept of a sample.

    Parameters
    ----------
    record : its spikes, ready to store; their counts and digests alone where spikes are dropped or stored already
    name : for people
    maps : its maps, ready to store; None where nothing is explained
    scores : how well they find the object; none if it is unknown
    """

    record: SampleRecord
    name: str
    maps: SampleRecord | None = None
    scores: tuple[Score, ...] = ()

    @property
    def position(self) -> int:
        """In the run."""
        return self.record.position

    @property
    def nbytes(self) -> int:
        """Bytes of what is stored."""
        return self.record.nbytes + (0 if self.maps is None else self.maps.nbytes)


def process_spikes(
    spec: JobSpec,
    batch: RasterBatch,
    row: int,
    position: int,
    about: Samples,
    timer: StageTimer,
    *,
    keep_spikes: bool,
) -> SampleResult:
    """Encode, explain and measure one sample of a batch; may run in any thread.

    Parameters
    ----------
    position : of the sample in the run
    about : its range's samples, for its name and its mask
    keep_spikes : whether its spikes are stored, or only their counts and digests
    """
    at = position % RANGE
    with timer.time("record"):
        record = make_record(spec.header, batch, row, position, keep_spikes=keep_spikes)
    if spec.keep.maps is None:
        return SampleResult(record, about.name_of(at))

    def packed(layer: LayerSpec) -> NDArray[np.uint8]:
        return batch.spikes[layer.name][row]

    mask, scores = about.mask_of(at), list[Score]()
    with timer.time("explain"):
        explained = explain_spikes(spec.all_maps, spec.spatial, packed, position, record.prediction)
    if mask is not None and mask.any():  # else it is unknown, or was cropped away
        with timer.time("explain"):
            steps = spec.header.steps_that_matter
            counts = {each.name: spike_count_sum(packed(each), each.shape, steps(each)) for each in spec.spatial}
        with timer.time("measure"):
            scores = score_sample(position, {name: (explained.sums[name], counts[name]) for name in counts}, mask)
    with timer.time("write"):
        maps = make_map_record(spec.all_maps, position, *explained)
    return SampleResult(record, about.name_of(at), maps, tuple(scores))
