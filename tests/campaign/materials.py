"""Small networks and images, made without torch, from which cases are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ("apple", "pear")


def small_network(encoder: str = "poisson", channels: int = 6, side: int = 8) -> Any:
    """Two convolutions and a dense layer, four steps."""
    import spikesam

    random = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return random.normal(0.1, 0.5, shape).astype(np.float32)

    neuron = spikesam.LIF(leak=0.9, threshold=1.0)
    layers = (
        spikesam.Layer("conv1", weights(3, channels, 3, 3), neuron, padding=1),
        spikesam.Layer("conv2", weights(4, 3, 3, 3), neuron, pool=2, padding=1),
        spikesam.Layer("fc1", weights(5, 4 * (side // 2) ** 2), neuron),
    )
    readout = spikesam.Readout(weights(2, 5))
    return spikesam.Network(
        input_shape=(channels, side, side), timesteps=4, layers=layers, readout=readout, encoder=encoder
    )


def small_checkpoint() -> Any:
    """A checkpoint of :func:`small_network` for RGB images of 8×8 pixels."""
    import spikesam

    prepare = spikesam.Preprocessing(8, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return spikesam.Checkpoint(small_network(), prepare, CLASSES, ("Apple", "Pear"))


def class_folders(path: Path, per_class: int = 3) -> Path:
    """Class folders of noisy PNG images."""
    from PIL import Image

    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (path / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = random.integers(0, 120, (12, 14, 3))
            pixels[..., label] += 130
            Image.fromarray(pixels.astype(np.uint8)).save(path / name / f"{number}.png")
    return path
