"""Images attacked through the ANN or the SNN, or changed by random signs of equal strength; made once, then cached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paper.common.attacks import fgsm, pgd, random_signs
from paper.common.images import ImageSet
from paper.common.setup import Setup
from spikesam.backends.network import Network
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.recordings.errors import InputError

Through = Literal["ann", "snn", "ann-iterated", "snn-iterated", "noise"]
ABOUT: dict[Through, str] = {
    "ann": "attacked through the ANN",
    "snn": "attacked through the SNN",
    "ann-iterated": "attacked through the ANN, iterated",
    "snn-iterated": "attacked through the SNN, iterated",
    "noise": "random signs",
}
ATTACKERS = 1000  # what the seeds of an iterated attack lie above those of answers


def attacked(setup: Setup, through: Through, epsilon: float) -> ImageSet:
    """The setup's images with every pixel changed by ±ε, clipped to what a pixel can be; cached.

    Parameters
    ----------
    through : the network whose gradient gives the signs, or "noise" for random signs, the control. The SNN's gradient
        is taken through the float32 network, for the spikes that the clean images are encoded to: the attacker knows
        the seed. An iterated attack (PGD) does not know it, and averages over `paper.attack_seeds` of its own
    epsilon : in the 0 … 1 range of a pixel; 0 gives the images themselves
    """
    images, settings = setup.images, setup.settings
    if epsilon == 0:
        return images
    network = _attacker(setup, through)
    identity = network and network.sha256
    inputs = {"through": through, "network": identity, "images": images.sha256, "epsilon": epsilon}

    def compute() -> dict[str, NDArray[Any]]:
        batches = []
        with setup.progress(f"{ABOUT[through]}, ε = {epsilon:g}", len(images)) as advance:
            for batch in _changed(setup, through, network, epsilon):
                batches.append(batch)
                advance(len(batch))
        return {"pixels": np.concatenate(batches)}

    inputs |= {"seed": settings.seed}
    if through.endswith("iterated"):
        inputs |= {"iterations": settings.attack_iterations, "seeds": settings.attack_seeds}
    pixels = setup.cache.arrays("attacked", inputs, compute)["pixels"]
    return replace(images, name=f"{images.name}, {ABOUT[through]}, ε = {epsilon:g}", pixels=pixels)


def _attacker(setup: Setup, through: Through) -> Network | None:
    """The network whose gradient gives the signs; None for random ones."""
    if through == "noise":
        return None
    return (setup.networks.ann if through.startswith("ann") else setup.networks.surrogate).network


def _changed(setup: Setup, through: Through, network: Network | None, epsilon: float) -> Iterator[NDArray[np.float32]]:
    images, settings, prepare = setup.images, setup.settings, setup.images.preprocessing
    model = None if network is None else DifferentiableNetwork(network).to(TorchBackend(settings.device).device)
    for start in range(0, len(images), settings.batch_size):
        batch = slice(start, start + settings.batch_size)
        pixels, labels, indices = images.pixels[batch], images.labels[batch], images.indices[batch]
        if model is None:
            yield random_signs(pixels, epsilon, prepare, settings.seed, indices)
        elif through.endswith("iterated"):
            draws = settings.attack_seeds if through.startswith("snn") else 1  # an ANN's input is not random
            seeds = range(settings.seed + ATTACKERS, settings.seed + ATTACKERS + draws)
            yield pgd(model, pixels, labels, epsilon, prepare, seeds, indices, settings.attack_iterations)
        else:
            yield fgsm(model, pixels, labels, epsilon, prepare, settings.seed, indices)


def strengths(setup: Setup) -> tuple[float, ...]:
    """The attack strengths in order, 0 among them."""
    given = setup.settings.epsilons
    if not given or min(given) < 0 or max(given) == 0:
        raise InputError(f"paper.epsilons: got {list(given)}, expected numbers ≥ 0 with at least one above 0")
    return tuple(sorted({0.0, *given}))
