"""One simulated sample: encoded for its file, explained, and measured. No file is needed, and none is written."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.maps.explanation import explain_spikes
from pipeline.maps.localisation import Score, score_sample
from pipeline.maps.method import Explained
from pipeline.maps.sam_sum import spike_count_sum
from recordings.raster.batch import RasterBatch
from recordings.raster.records import SampleRecord, make_record

from .plan import RANGE, Plan
from .source import RangeSamples
from .stages import Stages


@dataclass(frozen=True)
class ProcessedSample:
    """What is kept of a sample.

    Parameters
    ----------
    record : its spikes, ready to store; their counts and digests alone where spikes are dropped or stored already
    name : for people
    explained : its maps
    scores : how well they find the object; none if it is unknown
    """

    record: SampleRecord
    name: str
    explained: Explained
    scores: tuple[Score, ...]


def process(
    plan: Plan, batch: RasterBatch, row: int, position: int, about: RangeSamples, with_spikes: bool, stages: Stages
) -> ProcessedSample:
    """Encode, explain and measure one sample of a batch; may run in any thread.

    Parameters
    ----------
    position : of the sample in the run
    about : its range's samples, for its name and its mask
    with_spikes : whether its spikes are to be stored
    """
    at = position % RANGE
    with stages.time("record"):
        record = make_record(plan.header, batch, row, position, with_spikes=with_spikes)
    if plan.keep == "raster":
        return ProcessedSample(record, about.names[at], Explained(record.prediction, {}, {}), ())
    with stages.time("explain"):
        explained = explain_spikes(
            plan.all_maps, plan.spatial, lambda layer: batch.spikes[layer.name][row], position, record.prediction
        )
    with stages.time("measure"):
        mask, scores = about.masks[at], list[Score]()
        if mask is not None and mask.any():
            pairs = {
                layer.name: (
                    explained.sums[layer.name],
                    spike_count_sum(batch.spikes[layer.name][row], layer.shape, plan.header.steps_that_matter(layer)),
                )
                for layer in plan.spatial
            }
            scores = score_sample(position, pairs, mask)
    return ProcessedSample(record, about.names[at], explained, tuple(scores))
