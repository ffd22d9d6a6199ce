"""Outputs of the ANN twin for images: its Grad-CAM, which maps are measured against, and its
answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.common.images import ImageSet
from paper.common.scenes import widen
from paper.common.setup import Setup
from spikesam.gradients import DifferentiableNetwork, grad_cam, predictions


def reference_maps(setup: Setup, images: ImageSet) -> NDArray[np.float32]:
    """The map that the paper measures against, (N, h, w) float32 ≥ 0: Grad-CAM of the ANN's last
    convolution; cached.

    It is taken for the true label, or where that is unknown for the class that the ANN predicts.
    """
    ann, size, seed = setup.networks.ann.network, setup.settings.batch_size, setup.settings.seed
    network = widen(ann, *images.size)
    last = [layer.name for layer in network.layers if layer.kind == "conv"][-1]

    def compute() -> dict[str, NDArray[Any]]:
        model, maps = DifferentiableNetwork(network), []
        with setup.progress("Grad-CAM of the ANN", len(images)) as advance:
            for start in range(0, len(images), size):
                batch = range(start, min(start + size, len(images)))
                (inputs,) = images.encoded(batch, network, seed, size)
                _, found = grad_cam(model, inputs, images.labels[batch], [last])
                maps.append(found[last][0])
                advance(len(batch))
        return {"maps": np.concatenate(maps)}

    inputs = {"ann": ann.sha256, "images": images.sha256, "layer": last}
    maps: NDArray[np.float32] = setup.cache.arrays("grad-cam", inputs, compute)["maps"]
    return maps


def ann_predictions(setup: Setup, images: ImageSet) -> NDArray[np.int64]:
    """The class that the ANN twin gives every image: (N,)."""
    network, settings = setup.networks.ann.network, setup.settings
    return predictions(
        network, images.encoded(range(len(images)), network, settings.seed, settings.batch_size)
    )
