"""One simulated sample: encoded for its files, explained, and measured. No file is needed, and none is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.maps.localisation import Score, score_sample
from pipeline.maps.method import Explained
from pipeline.maps.methods.sam import explain_spikes
from pipeline.maps.sam import spike_count_sum
from recordings.maps.records import MapRecord, make_map_record
from recordings.raster.batch import RasterBatch
from recordings.raster.records import SampleRecord, make_record
from recordings.raster.schema import LayerSpec

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
    maps : its maps, ready to store; None where nothing is explained
    scores : how well they find the object; none if it is unknown
    """

    record: SampleRecord
    name: str
    maps: MapRecord | None
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
        return ProcessedSample(record, about.names[at], None, ())

    def packed(layer: LayerSpec) -> NDArray[np.uint8]:
        return batch.spikes[layer.name][row]

    mask = about.masks[at]
    if mask is not None and not mask.any():
        mask = None  # the object was cropped away
    with stages.time("explain"):
        explained, counts = _explain(plan, packed, position, record.prediction, counted=mask is not None)
    scores = list[Score]()
    if mask is not None:
        with stages.time("measure"):
            scores = score_sample(position, {name: (explained.sums[name], counts[name]) for name in counts}, mask)
    with stages.time("write"):
        maps = make_map_record(plan.all_maps, position, *explained)
    return ProcessedSample(record, about.names[at], maps, tuple(scores))


def _explain(
    plan: Plan, packed: Callable[[LayerSpec], NDArray[np.uint8]], position: int, prediction: int, *, counted: bool
) -> tuple[Explained, dict[str, NDArray[np.float32]]]:
    """Maps of one sample, and if wanted the spikes per pixel of every layer that has maps."""
    explained = explain_spikes(plan.all_maps, plan.spatial, packed, position, prediction)
    steps, counted_layers = plan.header.steps_that_matter, plan.spatial if counted else ()
    return explained, {
        layer.name: spike_count_sum(packed(layer), layer.shape, steps(layer)) for layer in counted_layers
    }
