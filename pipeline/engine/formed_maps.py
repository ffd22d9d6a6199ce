"""Runs in which the backend forms the maps: no spike leaves it, so none is recorded or counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spikesam.backends.formed_maps import FormedMaps, MapRequest
from spikesam.backends.network import Network
from spikesam.backends.trace import spike_trace
from spikesam.pipeline.engine.job import RANGE, JobSpec
from spikesam.pipeline.engine.sample import SampleResult
from spikesam.pipeline.engine.timer import StageTimer
from spikesam.pipeline.images.samples import Samples
from spikesam.pipeline.maps.layers import spatial_layers
from spikesam.pipeline.maps.localisation import Score, score_sample
from spikesam.recordings.maps.writer import make_map_record
from spikesam.recordings.schema import PREDICTION
from spikesam.recordings.writer import SampleRecord


def check_maps(spec: JobSpec, network: Network, layers: Iterable[str]) -> None:
    """Refuse integer maps that could overflow, and what a backend cannot form, before anything is simulated.

    Parameters
    ----------
    layers : that the user has named

    Raises
    ------
    InputError
    """
    if spec.variant == "fixed":
        for layer in spec.spatial:
            spike_trace(spec.gamma, layer.shape[0], network.timesteps)
    if spec.keep.maps == "backend":
        spatial_layers(network.raster_kinds, layers, "layers")
        map_request(spec, ()).check(network, spec.header.backend)


def map_request(spec: JobSpec, positions: Sequence[int]) -> MapRequest:
    """The maps of some samples, given by their ascending positions in the run."""
    summed = {layer.name: spec.header.steps_that_matter(layer) for layer in spec.spatial}
    return MapRequest(spec.gamma, summed, sum(position < spec.keep.stepped for position in positions))


def process_maps(spec: JobSpec, maps: FormedMaps, position: int, about: Samples, timer: StageTimer) -> SampleResult:
    """Measure one sample; see `process_spikes`. How often neurons fired is not known."""
    at, scores, prediction = position % RANGE, list[Score](), int(maps.readout.argmax())
    with timer.time("measure"):
        mask = about.mask_of(at)
        if mask is not None and mask.any():
            scores = score_sample(position, {name: (of_layer,) for name, of_layer in maps.sums.items()}, mask)
    kept = {name: of_layer[list(spec.keep.steps)] for name, of_layer in maps.maps.items()}
    with timer.time("write"):
        formed = make_map_record(spec.all_maps, position, prediction, maps.sums, kept)
    record = SampleRecord(position, {PREDICTION: prediction, "/readout": maps.readout})
    return SampleResult(record, about.name_of(at), formed, tuple(scores))
