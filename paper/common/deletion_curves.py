"""Deletion and insertion curves of every map: of pixels of the image, and of spikes of recorded layers; cached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.baselines import ATTRIBUTIONS, RULES, SAM, Heatmap, Heatmaps, maps_to_compare
from paper.common.images import ImageSet
from paper.common.setup import Setup
from paper.measures.deletion import faithfulness, random_orders, spike_deletion
from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend
from spikesam.backends.network import Network
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.maps.answers import BATCH, answers_of
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader

RANDOM = "random order"
ORDERS = 3  # random orders of each image
PIXELS = "pixels"
DELETION, INSERTION = "deletion area", "insertion area"
BY_PLACES, BY_SPIKES = "spike deletion area by places", "spike deletion area by spikes"
CURVES = {True: {DELETION: (0, 1), INSERTION: (0, 2)}, False: {BY_PLACES: (0, 2), BY_SPIKES: (1, 2)}}
"""Of pixels, or else spikes: what the area under a curve is, and the rows of its shares and its probabilities."""
Floats = NDArray[np.float64]


def curves(
    setup: Setup, images: ImageSet, raster: RasterReader, network: Network, layers: Sequence[str]
) -> pd.DataFrame:
    """Every curve of every map and of random orders.

    The network is the recorded one in fixed point; `layers` are those whose maps are compared and whose spikes are
    deleted.

    Returns
    -------
    image, map ("SAM conv4"), layer (whose spikes are deleted, "" of pixels), measure (named after the curve's area),
    share (deleted, or inserted), value (the probability); a row per point of a curve
    """

    def compute() -> dict[str, NDArray[Any]]:
        backend = make_backend("auto", setup.settings.device)
        answers = {layer: answers_of(upper_network(network, layer), backend) for layer in layers}
        found: dict[str, list[Floats]] = {}
        heatmaps = maps_to_compare(setup, images, raster, network, layers)
        with setup.progress("deletion and insertion", len(images)) as advance:
            for image, maps in enumerate(heatmaps):
                seed = setup.settings.seed + ORDERS * image
                pixels = pixel_score(network, images, image, setup.settings.seed, backend)
                for name, curve in pixel_curves(pixels, images.pixels[image], maps, layers, seed):
                    found.setdefault(f"{PIXELS}|{name}", []).append(curve)
                for layer in layers:
                    for name, curve in spike_curves(answers[layer], raster[layer][image], maps, layer, seed):
                        found.setdefault(f"{layer}|{name}", []).append(curve)
                advance(1)
        return {name: np.stack(of_images) for name, of_images in found.items()}

    inputs = {
        "network": network.sha256,
        "ann": setup.networks.ann.network.sha256,
        "images": images.sha256,
        "layers": list(layers),
        "gamma": setup.settings.gamma,
        "seed": setup.settings.seed,
        "random orders": ORDERS,
        "maps": [*RULES, "sam", "relevance", "grad-cam", "snn-grad-cam", "graph-sam", *ATTRIBUTIONS],
    }
    parts = []
    for key, stored in setup.cache.arrays("faithfulness", inputs, compute).items():
        deleted, _, name = key.partition("|")
        for measure, (shares, probabilities) in CURVES[deleted == PIXELS].items():
            about = {"map": name, "layer": "" if deleted == PIXELS else deleted, "measure": measure}
            points = {"share": stored[:, shares].ravel(), "value": stored[:, probabilities].ravel()}
            image = np.repeat(np.arange(len(stored)), stored.shape[2])
            parts.append(pd.DataFrame({"image": image, **about, **points}))
    return pd.concat(parts)


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


def pixel_curves(
    score: Callable[[NDArray[np.float32]], Floats],
    pixels: NDArray[np.float32],
    maps: Heatmaps,
    layers: Sequence[str],
    seed: int,
) -> Iterator[tuple[str, Floats]]:
    """Curves of every map of the image or the last layer; of SAM in earlier layers, too, of relevance in the first."""
    for (name, layer), each in maps.items():
        others = layers[1:] if name == SAM else layers[:1] if name in RULES else ()
        if layer in ("", layers[-1], *others):
            yield label(name, layer), np.stack(faithfulness(score, pixels, each, seed=seed))
    yield RANDOM, np.stack(random_orders(faithfulness, score, pixels, repeats=ORDERS, seed=seed))


def spike_curves(
    score: Callable[[NDArray[Any]], Floats],
    spikes: NDArray[np.bool_],
    maps: Mapping[tuple[str, str], Heatmap],
    layer: str,
    seed: int,
) -> Iterator[tuple[str, Floats]]:
    """Of every map of the image or of the layer."""
    for (name, of_layer), each in maps.items():
        if of_layer in ("", layer):
            yield label(name, of_layer), np.stack(spike_deletion(score, spikes, each, seed=seed))
    yield RANDOM, np.stack(random_orders(spike_deletion, score, spikes, repeats=ORDERS, seed=seed))


def upper_network(network: Network, layer: str) -> Network:
    """A network that is given the spikes of a layer, or of the input, and answers as the whole network does.

    Every layer takes a step to pass spikes on, as the input does. So the recorded spikes of a layer, as an input, cause
    the same spikes behind it, bit for bit. The last layer has nothing behind it.
    """
    number = network.first_raster + network.raster_names.index(layer) if layer in network.raster_names else None
    if number is None or number == len(network.layers):
        raise InputError(f"layer {layer!r}: expected one of {', '.join(network.raster_names[:-1])}")
    return Network(network.shapes[number], network.timesteps, network.layers[number:], network.readout, "spikes")


def label(name: str, layer: str) -> str:
    """What tables call a map: "SAM conv4", "RISE"."""
    return f"{name} {layer}".strip()
