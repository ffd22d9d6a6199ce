"""Runs of which only maps leave Lava's graph: no spike is known outside, so none is recorded or counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from backends.base import Backend, InputBatch
from backends.lava import LavaBackend
from backends.lava.wanted import GraphMaps, WantedMaps
from backends.network import Network
from backends.trace import spike_trace
from pipeline.config import RunSection
from pipeline.maps.layers import spatial_layers
from pipeline.maps.localisation import Score, score_sample
from pipeline.maps.sam import AnyVariant
from recordings.maps.records import make_map_record
from recordings.raster.records import SampleRecord

from .plan import RANGE, Keep, Plan
from .sample import ProcessedSample
from .source import RangeSamples
from .stages import Stages


def chosen_maps(settings: RunSection) -> tuple[Keep, AnyVariant]:
    """What is kept, and how maps are made."""
    if settings.backend == "lava" and settings.keep == "maps" and settings.variant != "paper":
        return "graph", "fixed"
    return settings.keep, "fixed" if settings.variant == "fixed" else "paper"


def check_maps(plan: Plan, network: Network, layers: Iterable[str]) -> None:
    """Refuse integer maps that could overflow, and what a graph cannot give, before anything is simulated.

    Parameters
    ----------
    layers : that the user has named

    Raises
    ------
    InputError
    """
    if plan.variant == "fixed":
        for layer in plan.spatial:
            spike_trace(plan.gamma, layer.shape[0], network.timesteps)
    if plan.keep == "graph":
        spatial_layers(network.raster_kinds, layers, "layers")
        _wanted(plan, ()).check(network)


def run_maps(
    plan: Plan, network: Network, backend: Backend, inputs: Iterable[InputBatch], positions: Sequence[int]
) -> Iterator[GraphMaps]:
    """Simulate samples, given by their ascending positions in the run, of which only maps leave the graph."""
    assert isinstance(backend, LavaBackend)  # see chosen_maps
    return backend.run_maps(network, inputs, len(positions), _wanted(plan, positions))


def process_maps(plan: Plan, maps: GraphMaps, position: int, about: RangeSamples, stages: Stages) -> ProcessedSample:
    """Measure one sample; see :func:`pipeline.ranges.sample.process`. How often neurons fired is not known."""
    at, scores, prediction = position % RANGE, list[Score](), int(maps.readout.argmax())
    with stages.time("measure"):
        mask = about.masks[at]
        if mask is not None and mask.any():
            scores = score_sample(position, {name: (of_layer,) for name, of_layer in maps.sums.items()}, mask)
    kept = {name: of_layer[list(plan.steps)] for name, of_layer in maps.maps.items()}
    with stages.time("write"):
        record = make_map_record(plan.all_maps, position, prediction, maps.sums, kept)
    answer = SampleRecord(position, maps.readout, prediction, {})
    return ProcessedSample(answer, about.names[at], record, tuple(scores))


def _wanted(plan: Plan, positions: Sequence[int]) -> WantedMaps:
    """The maps of some samples."""
    summed = {layer.name: plan.header.steps_that_matter(layer) for layer in plan.spatial}
    return WantedMaps(plan.gamma, summed, sum(position < plan.stepped for position in positions))
