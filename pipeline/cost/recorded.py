"""The network that fired a recording, as far as it is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Input, Layer, Network, Source
from spikesam.backends.network.step import Neurons, arrived, current_of
from spikesam.pipeline.measures.operations import only_repeats
from spikesam.pipeline.networks.recorded import BESIDE, fired_by, unlike
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader

UNSAID, AWAY = "the recording does not say which network fired", "the network is not at hand"


def network_of(raster: RasterReader, given: Any = None) -> tuple[Network | None, str]:
    """The network of a raster, in the raster's precision, or None and why it is not known.

    `given` is a network, a checkpoint, a bundled name or a file; if None, the file beside the raster. A raster that
    does not say what fired it takes any network whose layers have its names and shapes; those that only repeat spikes,
    which the model has not that the network was imported from, may be missing. An InputError if the network is another
    than the raster's, an ANN, damaged, or lacks layers that the raster should hold.
    """
    if given is None and not raster.header.network_sha256:
        return None, UNSAID
    if given is None and (raster.path is None or not raster.path.with_name(BESIDE).is_file()):
        return None, AWAY
    network = fired_by(raster, given)
    of_model = raster.header.layer_delay == 0 and network.window is not None
    repeated = {layer.name for layer in network.layers if of_model and only_repeats(layer)}
    reason = unlike(raster, network)
    if not reason or {*network.raster_names} - repeated <= {*raster} <= {*network.raster_names}:
        return network, ""
    if given is None:
        return None, f"the recording {reason}"
    raise InputError(f"{raster.where}: {reason}; operations are counted where all layers of the network are recorded")


def sources_in_model(network: Network, target: str, each: Input) -> tuple[Source, ...]:
    """The sources of an input of a layer with their delays in the steps of the model, which has none between layers."""
    late = network.to_readout
    return tuple(of.later(late[target] - late[of.layer]) for of in each.sources)


def repeated_spikes(network: Network, layer: Layer, spikes: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """The spikes (T, C, H, W) of a layer without memory, in the model's steps, of those of all layers that it reads."""
    inputs = [replace(each, source=sources_in_model(network, layer.name, each)) for each in layer.inputs]
    shape = network.shapes[network.place(layer.name)]
    neurons = Neurons(layer.spiking_neuron, inputs, shape, np.float64)
    found = np.zeros((len(next(iter(spikes.values()))), *shape), np.bool_)
    for t, fired in enumerate(found):
        # Step 0 has the last row of constants, which each of the model's steps has.
        neurons.step(0, [current_of(each, arrived(each, spikes, t)) for each in inputs], np.zeros(shape, np.bool_))
        fired[:] = neurons.fires
    return found
