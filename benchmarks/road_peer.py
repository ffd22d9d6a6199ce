"""What somebody who knows PyTorch writes to get from images to maps on disk, without this project's backends.

    python -m benchmarks.road_peer CHECKPOINT DATA SAMPLES OUT.npz

Images are read and prepared by this project. Poisson spikes are drawn by torch. The network is the loop of peers.py,
for constant gains. Spikes of every layer are kept and packed; maps, summed over steps, take one pass in NumPy.

It does less: layers have no delay, arithmetic is in floating point, spikes depend on the batch, all is lost when it is
stopped, and nothing is checked, counted or measured.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers import TorchLoopNetwork
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.networks.checkpoint import load_checkpoint

BATCH = 2  # images: with more, what a layer works on leaves the cache
GAMMA = 0.5  # 1/step


def main(arguments: Sequence[str]) -> None:
    """Simulate, explain, and write."""
    name, data, count, out = arguments
    checkpoint = load_checkpoint(name)
    samples = choose_samples((data,), checkpoint, int(count), 0)
    network = TorchLoopNetwork(checkpoint.network)
    kept: dict[str, list[NDArray[Any]]] = {}
    for first in range(0, len(samples), BATCH):
        images = torch.from_numpy(samples.images(slice(first, first + BATCH)))
        for layer, fired in enumerate(spikes_of_layers(network, images, checkpoint.network.timesteps)):
            kept.setdefault(f"{layer}/spikes", []).append(packed(fired))
            if fired.ndim == 5:
                kept.setdefault(f"{layer}/map", []).append(summed_map(fired, GAMMA))
    axes = {"spikes": 1, "map": 0}  # of the samples
    arrays: dict[str, Any] = {key: np.concatenate(each, axes[key.split("/")[1]]) for key, each in kept.items()}
    np.savez_compressed(out, **arrays)


@torch.inference_mode()
def spikes_of_layers(network: TorchLoopNetwork, images: torch.Tensor, timesteps: int) -> list[NDArray[np.bool_]]:
    """(T, B, …) bool of the input, then of each layer; `images` are (B, C, H, W), prepared."""
    rates = torch.cat([images.clamp(min=0), (-images).clamp(min=0)], 1).div_(2)
    chances = torch.empty(timesteps * len(rates), *rates.shape[1:], memory_format=torch.channels_last).uniform_()
    drawn = (chances.unflatten(0, (timesteps, -1)) < rates).to(network.dtype)
    return [each.bool().contiguous().numpy() for each in (drawn, *network.fired(drawn))]


def packed(spikes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(T, B, …) bool -> (T, B, bytes): one bit each."""
    return np.packbits(spikes.reshape(*spikes.shape[:2], math.prod(spikes.shape[2:])), axis=-1)


def summed_map(spikes: NDArray[np.bool_], gamma: float) -> NDArray[np.float32]:
    """Spike Activation Maps, summed over steps: (T, B, C, H, W) -> (B, H, W)."""
    decay = np.float32(math.exp(-gamma))
    scores, product, total = (np.zeros(spikes.shape[1:], np.float32) for _ in range(3))
    for fired in spikes:
        scores *= decay
        scores += fired
        np.multiply(scores, fired, out=product)
        total += product
    return total.sum(axis=1)


if __name__ == "__main__":
    main(sys.argv[1:])
