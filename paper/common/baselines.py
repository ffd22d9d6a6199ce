"""The maps that faithfulness compares, of every image: SAM, and whatever could be used in its place.

All that speak for a class do so for the one that the recorded network predicts; attributions of the input, for the one
that its float32 version predicts, which is nearly always the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from paper.common.ann import reference_maps
from paper.common.heatmaps import count_maps, sam_maps, snn_grad_cams
from paper.common.images import ImageSet
from paper.common.setup import Setup
from spikesam.backends.network import Network
from spikesam.pipeline.maps.image_method import InputMethod
from spikesam.pipeline.maps.method import methods
from spikesam.pipeline.maps.relevance import Rule, relevance
from spikesam.pipeline.measures.localisation import centred_gaussian
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.recordings.raster.reader import RasterReader

SAM, COUNT, SNN_GRAD_CAM, ANN_GRAD_CAM = "SAM", "spike count", "SNN Grad-CAM", "Grad-CAM of the ANN"
GAUSSIAN, BRIGHTNESS = "centred Gaussian", "brightness"
ATTRIBUTIONS = ("gradient-x-input", "integrated-gradients", "occlusion", "rise")
RULES: dict[str, Rule] = {"relevance": "signed", "SLTRP": "positive"}
Heatmap = NDArray[np.floating[Any]]
Heatmaps = dict[tuple[str, str], Heatmap]  # map, and its layer, "" of a map of the image -> (h, w)


def maps_to_compare(
    setup: Setup, images: ImageSet, raster: RasterReader, network: Network, layers: Sequence[str]
) -> Iterator[Heatmaps]:
    """Per image every map, summed over the steps that can still change the answer; slow ones are cached.

    The raster is of these images through the network; each of its `layers` gets maps of its own.
    """
    answered = replace(images, labels=raster.predictions.astype(np.int64))
    gradients, reference = snn_grad_cams(setup, answered, raster), reference_maps(setup, answered)
    found = {methods()[name].title: attributions(setup, images, name) for name in ATTRIBUTIONS}
    for image in range(len(images)):
        of_image: Heatmaps = {}
        fired = [raster[name][image] for name in raster]
        of_rules = {
            name: relevance(network, fired, int(raster.predictions[image]), rule) for name, rule in RULES.items()
        }
        for layer in layers:
            number = list(raster).index(layer)
            of_image[SAM, layer] = sam_maps(raster, layer, image, setup.settings.gamma).sum(axis=0)
            of_image[COUNT, layer] = count_maps(raster, layer, image).sum(axis=0)
            of_image |= {(name, layer): each[number].sum(axis=(0, 1)) for name, each in of_rules.items()}
            if layer in gradients:
                of_image[SNN_GRAD_CAM, layer] = gradients[layer][image].sum(axis=0)
        of_image |= {(name, ""): each[image] for name, each in found.items()}
        of_image[ANN_GRAD_CAM, ""] = reference[image]
        of_image[BRIGHTNESS, ""] = np.abs(images.pixels[image]).mean(axis=0)
        of_image[GAUSSIAN, ""] = centred_gaussian(images.size)
        yield of_image


def attributions(setup: Setup, images: ImageSet, name: str) -> NDArray[np.float32]:
    """(N, H, W) ≥ 0 by a method of :data:`ATTRIBUTIONS`; cached."""
    network, seed = setup.networks.surrogate.network, setup.settings.seed

    def compute() -> dict[str, NDArray[Any]]:
        model, maps = DifferentiableNetwork(network), []
        method = cast("type[InputMethod]", methods()[name])(seed=seed)
        with setup.progress(method.title, len(images)) as advance:
            for inputs in images.encoded(range(len(images)), network, seed, 1):
                maps.append(method.attributed(model, inputs)[1][0])
                advance(1)
        return {"maps": np.stack(maps)}

    inputs = {"method": name, "network": network.sha256, "images": images.sha256, "seed": seed}
    maps: NDArray[np.float32] = setup.cache.arrays("attribution", inputs, compute)["maps"]
    return maps
