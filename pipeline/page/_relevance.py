"""Relevance of the samples that a page shows: the spikes that speak for a class and against it, in
few bytes.

A page that can simulate its network computes it by itself, for any class; see js/relevance.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network, Weighted
from spikesam.common.text import shell_command
from spikesam.pipeline.images.pictures import MOST
from spikesam.pipeline.maps.relevance import relevances
from spikesam.pipeline.page._integers import unsimulated
from spikesam.pipeline.page._packing import band_map, heat_map, is_band
from spikesam.pipeline.page._shown_run import ShownRun
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.schema import LayerSpec

# Of one class at one step, in a second of one idle core: neurons, and weights, which bound large
# networks.
NEURONS, WEIGHTS = 12_000_000, 1_000_000_000
ASKED = 60  # seconds that `spikesam report` may take;
LEAST, SHARE = 10, 10  # and those of a run: a tenth of its own, or ten if that is less
OTHERS = 1  # second for other classes than the answer's,
MOST_CLASSES = 20  # and so many of a sample: each takes its maps, and of 1,000 nobody looks at all


def explains(run: ShownRun) -> bool:
    """True if a page that holds all steps of a run computes relevance itself, for any class."""
    network = run.whole_network
    return network is not None and not _refused(network) and unsimulated(run, run.steps) is None


def explained_in_time(run: ShownRun) -> tuple[int, int]:
    """Of how many of the first samples, and for how many classes of each, there is time for
    relevance: for the answer, and for others where they hardly take any.
    """
    network = run.whole_network
    if network is None or _refused(network):
        return 0, 0
    run_seconds = sum(run.summary.seconds.values()) if run.summary else 0
    seconds = max(LEAST, run_seconds / SHARE) if run.brief else ASKED
    of_class = _seconds_of_class(network, run)
    samples = min(run.raster.n_samples, MOST)
    quick = int(min(OTHERS, seconds) / (of_class * samples))
    classes = min(network.classes, MOST_CLASSES, max(1, quick))
    return int(seconds / (of_class * classes)), classes


def _seconds_of_class(network: Network, run: ShownRun) -> float:
    """About how long the relevance of one class of one sample takes."""
    weights = sum(
        layer_input.synapse.weight.size
        for layer in network.layers
        for layer_input in layer.inputs
        if isinstance(layer_input.synapse, Weighted)
    )
    return run.raster.timesteps * (_neurons(run) / NEURONS + weights / WEIGHTS)


def unexplained(run: ShownRun, shown: int) -> str | None:
    """The reason why relevance of some of the `shown` samples is missing; without the network
    nobody expects it.
    """
    samples, _ = explained_in_time(run)
    if run.network is None or samples >= shown:
        return None
    if run.whole_network is None:
        return "Relevance is not shown: the raster does not hold all layers of the network."
    if refused := _refused(run.network):
        return f"Relevance is not shown: {refused}."
    held = f"shown for the first {samples} of {shown} samples" if samples else "not shown"
    if run.brief:
        skipped = f"after the first {samples} of {shown} samples " if samples else ""
        adding = shell_command("spikesam", "report", run.name)
        return f"Relevance was skipped {skipped}to save time. Add it: {adding}"
    size = f"{_neurons(run):,} neurons and {run.raster.timesteps} steps"
    return f"Relevance is {held}: for a network of {size} it takes long."


def _refused(network: Network) -> str | None:
    """The reason why there is no relevance of a network; None where there is."""
    if late := [network.layers[place].name for place, _ in network.driven if place]:
        return f"numbers of the input drive layer {late[0]}, too, and a raster does not hold them"
    return None


def classes_of(run: ShownRun, sample: int, computed: bool) -> list[int] | list[str]:
    """The classes for which a sample has relevance: all if the page computes it, else as many as
    there is time for; or the names of the targets whose relevance was recorded.

    Of outputs that are numbers, the first ones. Else the first is the predicted one, the second
    the sample's own where the answer is wrong, and else the runner-up.
    """
    if not run.network and run.targets:
        return [str(maps.header.parameters["target_name"]) for maps in run.targets]
    samples, classes = (
        (run.raster.n_samples, run.raster.header.classes) if computed else explained_in_time(run)
    )
    predicted, label = int(run.raster.predictions[sample]), int(run.raster.labels[sample])
    if sample >= samples:
        return []
    if run.raster.header.outputs == "values":
        return [*range(run.raster.header.classes)][:classes]
    if predicted < 0:
        return []
    readout = run.raster.readout[sample].astype(np.float64)
    ranked = [int(number) for number in np.argsort(-readout, kind="stable")]
    return list(dict.fromkeys([predicted, *[label] * (0 <= label < len(readout)), *ranked]))[
        :classes
    ]


def relevance_of(
    run: ShownRun, sample: int, classes: Sequence[int] | Sequence[str], steps: int
) -> list[dict[str, Any]]:
    """Of each class: its number, and by layer the sum over channels and all steps; or a band. Of a
    target that was recorded, its name.
    """
    network, raster = run.network, run.raster
    if network is None and classes:
        return [
            {"of": name, "layers": _recorded(run, maps, sample, steps)}
            for name, maps in zip(classes, run.targets, strict=True)
        ]
    if network is None or not classes:
        return []
    spikes = [raster[layer.name][sample] for layer in raster.layers]
    contents, numbers = [], [int(number) for number in classes]
    for target, layer_relevances in zip(numbers, relevances(network, spikes, numbers), strict=True):
        packed = {
            layer.name: _packed(layer_relevance[run.window_of(layer)], layer, steps)
            for layer, layer_relevance in zip(raster.layers, layer_relevances, strict=True)
        }
        contents.append({"of": target, "layers": packed})
    return contents


def _recorded(run: ShownRun, maps: MapReader, sample: int, steps: int) -> dict[str, Any]:
    """Layer -> its map or band of recorded relevance; also of an input that no raster holds."""
    packed = {}
    for mapped in maps.layers:
        by_step = maps.read(mapped, sample)
        if mapped.name not in run.raster:
            packed[mapped.name] = heat_map(by_step.sum(axis=0), True)
            continue
        layer = run.raster.layer(mapped.name)
        if not is_band(layer) or by_step[0].size == layer.neurons:
            packed[layer.name] = _packed(by_step[run.window_of(layer), None], layer, steps)
    return packed


def _packed(layer_relevance: NDArray[Any], layer: LayerSpec, steps: int) -> dict[str, Any]:
    """A map or a band of (T, C, H, W); `moments` are what speaks for the class at each of the first
    steps.
    """
    by_place = (
        layer_relevance.reshape(len(layer_relevance), -1)
        if is_band(layer)
        else layer_relevance.sum(axis=1).reshape(len(layer_relevance), -1)
    )
    moments = [float(f"{moment:.3g}") for moment in np.maximum(by_place, 0).sum(axis=1)[:steps]]
    heat = (
        band_map(layer_relevance, steps, True)
        if is_band(layer)
        else heat_map(layer_relevance.sum(axis=(0, 1)), True)
    )
    return heat | {"moments": moments}


def _neurons(run: ShownRun) -> int:
    return sum(layer.neurons for layer in run.raster.layers)
