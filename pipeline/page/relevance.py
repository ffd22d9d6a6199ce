"""Relevance of the samples that a page shows: the spikes that speak for a class and against it, in few bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.pipeline.maps.layers import laid_out
from spikesam.pipeline.maps.relevance import relevances
from spikesam.pipeline.page.bands import band_map, is_band
from spikesam.pipeline.page.blob import heat_map
from spikesam.pipeline.page.shown_run import ShownRun
from spikesam.recordings.raster.schema import LayerSpec

A_SECOND = 12_000_000  # neurons × steps × classes that one idle core explains in it, or more
ASKED = 60  # seconds that `spikesam report` may take;
LEAST, SHARE = 10, 10  # and those of a run: a tenth of its own, or ten if that is less


def explained_samples(run: ShownRun) -> int:
    """Of how many of the first samples there is time for relevance; 0 without the network or some of its layers."""
    if run.whole_network is None or _refused(run.whole_network):
        return 0
    own = sum(run.summary.seconds.values()) if run.summary else 0
    seconds = max(LEAST, own / SHARE) if run.brief else ASKED
    return int(seconds * A_SECOND) // (2 * run.raster.timesteps * _neurons(run))


def unexplained(run: ShownRun, shown: int) -> str | None:
    """The reason why relevance of some of the `shown` samples is missing; without the network nobody expects it."""
    explained = explained_samples(run)
    if run.network is None or explained >= shown:
        return None
    if run.whole_network is None:
        return "Relevance is not shown: the raster does not hold all layers of the network."
    if refused := _refused(run.network):
        return f"Relevance is not shown: {refused}."
    held = f"shown for the first {explained} of {shown} samples" if explained else "not shown"
    if run.brief:
        skipped = f"after the first {explained} of {shown} samples " if explained else ""
        return f"Relevance was skipped {skipped}to save time. Add it: spikesam report {run.name}"
    size = f"{_neurons(run):,} neurons and {run.raster.timesteps} steps"
    return f"Relevance is {held}: for a network of {size} it takes long."


def _refused(network: Network) -> str | None:
    """The reason why there is no relevance of a network; None where there is."""
    if late := [network.layers[place].name for place, _ in network.driven if place]:
        return f"numbers of the input drive layer {late[0]}, too, and a raster does not hold them"
    return None


def relevance_of(run: ShownRun, sample: int, steps: int) -> list[dict[str, Any]]:
    """Of the predicted class and of another one: its name, and by layer the sum over channels and all steps; or a band.

    `moments` are (T,), what the map of each step sums to, as `explain` forms it: of what speaks for the class.
    The other class is the sample's own where the answer is wrong, and else the runner-up.
    """
    network, raster = run.network, run.raster
    assert network is not None
    spikes = [raster[layer.name][sample] for layer in raster.layers]
    contents, targets = [], _classes(run, sample)
    for target, each in zip(targets, relevances(network, spikes, targets), strict=True):
        found = zip(raster.layers, each, strict=True)
        maps = {
            layer.name: (band_map(each, steps, True) if is_band(layer) else heat_map(each.sum(axis=(0, 1)), True))
            | {"moments": [float(f"{moment:.3g}") for moment in _moments(each, layer)[:steps]]}
            for layer, each in found
        }
        contents.append({"of": run.class_name(target), "layers": maps})
    return contents


def _moments(found: NDArray[np.float64], layer: LayerSpec) -> NDArray[np.float64]:
    by_place = found.reshape(-1, *laid_out(layer.shape)).sum(axis=1)
    moments: NDArray[np.float64] = np.maximum(by_place, 0).sum(axis=(1, 2))
    return moments


def _classes(run: ShownRun, sample: int) -> list[int]:
    """The predicted class, and the other one, where they are known."""
    predicted, label = int(run.raster.predictions[sample]), int(run.raster.labels[sample])
    readout = run.raster.readout[sample]
    if predicted < 0:
        return []
    if label != predicted and 0 <= label < len(readout):
        return [predicted, label]
    ranked = [int(number) for number in np.argsort(-readout.astype(np.float64), kind="stable")]
    return [predicted, *[number for number in ranked if number != predicted][:1]]


def _neurons(run: ShownRun) -> int:
    return sum(layer.neurons for layer in run.raster.layers)
