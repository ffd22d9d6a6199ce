"""Deletion: the answers of a recorded network to parts of an image, or of a layer's spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.common.images import ImageSet
from spikesam import InputError, Network
from spikesam.data import encode
from spikesam.errors import at
from spikesam.simulators import Backend

BATCH = 16  # versions of an image simulated together
RANDOM = "random order"
DELETION, INSERTION = "deletion area", "insertion area"
BY_PLACES, BY_SPIKES = "spike deletion area by places", "spike deletion area by spikes"
Floats = NDArray[np.float64]


def pixel_score(
    network: Network, images: ImageSet, image: int, seed: int, backend: Backend
) -> Callable[[NDArray[np.float32]], Floats]:
    """Logits of versions of one image, all encoded with its own random numbers."""

    def logits(pixels: NDArray[np.float32]) -> Floats:
        found: list[NDArray[Any]] = []
        for start in range(0, len(pixels), BATCH):
            batch = pixels[start : start + BATCH]
            inputs = encode(network, batch, seed, np.repeat(images.indices[image], len(batch)))
            found.extend(result.readout for result in backend.run(network, [inputs], len(batch)))
        return np.concatenate(found) * (network.readout.scale / network.timesteps)

    return logits


def upper_network(network: Network, layer: str) -> Network:
    """A network that is given the spikes of a layer, or of the input, and answers as the whole
    network does.

    Every layer takes a step to pass spikes on, as the input does. So the recorded spikes of a
    layer, as an input, cause the same spikes behind it, bit for bit.
    """
    number = (
        network.first_raster + network.raster_names.index(layer)
        if layer in network.raster_names
        else None
    )
    if number is None or number == len(network.layers):
        raise InputError(f"layer {layer!r}: expected one of {', '.join(network.raster_names[:-1])}")
    with at("deletion of spikes"):
        network.check_chain()
    first, *behind = network.layers[number:]
    first = replace(
        first, inputs=tuple(replace(each, source=()) for each in first.inputs)
    )  # reads the new input
    return Network(
        network.shapes[number], network.timesteps, (first, *behind), network.readout, "spikes"
    )
