"""Shared by the examples: small handwritten digits as spikes, a few seconds of training, and a
picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from spikesam.recordings.maps.reader import MapReader

torch.set_num_threads(1)  # tensors this small gain nothing from more

STEPS = 16
_digits = load_digits()
_small = torch.tensor(_digits.images[:, None] / 16, dtype=torch.float32)
IMAGES = functional.interpolate(_small, scale_factor=2, mode="bilinear").clamp(
    0, 1
)  # (1797, 1, 16, 16)
LABELS = torch.tensor(_digits.target)
TRAINING = 1500  # the others are held out


def as_spikes(images: Tensor, steps: int = STEPS) -> Tensor:
    """(B, 1, 16, 16) -> (T, B, 1, 16, 16) of 0 and 1: a pixel spikes with the probability of its
    brightness.
    """
    return (torch.rand(steps, *images.shape) < images).float()


def train(run: Callable[[Tensor], Tensor], model: nn.Module, epochs: int = 3) -> None:
    """Train for some seconds, then leave the model in evaluation.

    `run` takes spikes (T, B, 1, 16, 16) and returns those of the last layer, (T, B, 10).
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(TRAINING).split(50):
            counts = run(as_spikes(IMAGES[batch])).sum(0)
            loss = functional.cross_entropy(counts, LABELS[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()


def held_out(count: int) -> tuple[Tensor, Tensor]:
    """Spikes (T, B, 1, 16, 16) and labels of digits that were not trained on."""
    rows = slice(TRAINING, TRAINING + count)
    return as_spikes(IMAGES[rows]), LABELS[rows]


def draw(maps: MapReader, path: str) -> None:
    """The map of every layer, summed over the steps, a row per digit."""
    layers = list(maps)
    figure, axes = plt.subplots(
        maps.n_samples, len(layers), figsize=(1.6 * len(layers), 1.6 * maps.n_samples)
    )
    for column, layer in enumerate(layers):
        axes[0, column].set_title(layer, fontsize=9)
        for axis, heat in zip(axes[:, column], maps[layer].sum, strict=True):
            axis.imshow(heat, cmap="inferno")
            axis.axis("off")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    print(path)
