"""Attacks on a network, spiking or not: the fast gradient sign method (FGSM), the same in steps,
and random signs.

    x' = clip(x + ε · sign(∂L/∂x)),   L the cross-entropy of the logits

In steps (projected gradient descent, PGD), the gradient is taken anew after each small step, and
the image stays within ε of the clean one; where the input is random, L is the mean over several
draws.

ε and the clipping are in units of a pixel's 0 … 1 range, while x is preprocessed, so ε is divided
by each channel's standard deviation. In a spiking network the gradient comes back from the
accumulated readout through every step and surrogate. Poisson spikes are drawn, not computed: the
gradient passes straight through to what they are on average, clip(x, 0, 2)/2 in the ON plane and
clip(-x, 0, 2)/2 in the OFF plane, and likewise through the rounding of a constant current. A pixel
beyond ±2, where the input saturates, has no gradient and is left as it is, as in the ANN.

A label of -1 (unknown) stands for the predicted class.

References
----------
Goodfellow et al. 2015, arXiv:1412.6572; Madry et al. 2018, arXiv:1706.06083 (PGD); Athalye et al.
2018, arXiv:1802.00420 (the mean over random draws); Sharmin et al. 2020, arXiv:2003.10399
(SNN-crafted).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any, Literal

import numpy as np
import torch
from captum.robust import FGSM, PGD
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from paper.common.images import ImageSet
from paper.common.setup import Setup
from spikesam import InputError, Network, Preprocessing
from spikesam.gradients import DifferentiableNetwork, classes_meant, encode_straight_through
from spikesam.simulators import make_backend

Images = NDArray[np.float32]
Integers = NDArray[np.integer[Any]]

NEURON_STEPS = 1 << 25  # simulated at a time through gradients, which hold some 8 bytes of each
Through = Literal["ann", "snn", "ann-iterated", "snn-iterated", "noise"]
ABOUT: dict[Through, str] = {
    "ann": "attacked through the ANN",
    "snn": "attacked through the SNN",
    "ann-iterated": "attacked through the ANN, iterated",
    "snn-iterated": "attacked through the SNN, iterated",
    "noise": "random signs",
}
ATTACKERS = 1000  # what the seeds of an iterated attack lie above those of answers


def fgsm(
    network: DifferentiableNetwork,
    images: Images,  # (B, 3, H, W) float32, preprocessed, as is what comes back
    labels: Integers,  # (B,) true classes, -1 where unknown
    epsilon: float,  # in 0 … 1, the range of a pixel; 0 gives the images bit for bit
    preprocessing: Preprocessing,
    seed: int,
    indices: Sequence[int] | NDArray[np.int64],
) -> Images:
    """FGSM, by captum. The attacker knows the network and, by `seed` and `indices`, the very spikes
    it is given.
    """
    _check(epsilon)
    if epsilon == 0:
        return images.copy()
    unit, clip = _pixel(preprocessing)
    parts = []
    for batch in _batches(network, len(images)):

        def logits(x: Tensor, batch: slice = batch) -> Tensor:
            inputs = encode_straight_through(network.network, x, seed, indices[batch])
            return network.logits(inputs.to(network.readout.device)).cpu()

        attack = FGSM(logits, _loss)
        attack.bound = clip
        attack.zero_thresh = (
            0.0  # by default, gradients below 1e-6 count as none: those of confident answers
        )
        x, target = (
            torch.from_numpy(images[batch]).requires_grad_(),
            torch.from_numpy(labels[batch]).long(),
        )
        parts.append(attack.perturb(x, epsilon, target, mask=unit).detach().numpy())
    return np.concatenate(parts)


def pgd(
    network: DifferentiableNetwork,
    images: Images,
    labels: Integers,
    epsilon: float,
    preprocessing: Preprocessing,
    seeds: Sequence[int],
    indices: Sequence[int] | NDArray[np.int64],
    iterations: int,
    *,
    at_once: int
    | None = None,  # seeds that each step averages over, the next ones in turn; all if None
    start: int
    # seed of the random point within ε where the steps begin; the image itself if None
    | None = None,
) -> Images:
    """PGD, by captum: steps of 2.5 · ε / iterations, the loss averaged over Poisson seeds of the
    attacker's own.

    Averaging over some seeds in turn lets many steps see all of them at a fraction of the price.
    """
    _check(epsilon)
    if epsilon == 0:
        return images.copy()
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std)
    )
    at_once, parts = at_once or len(seeds), []
    for batch in _batches(network, len(images), at_once):
        turn = cycle(seeds)

        def logits(pixels: Tensor, batch: slice = batch, turn: Iterator[int] = turn) -> Tensor:
            x, drawn = (pixels - mean) / std, islice(turn, at_once)
            inputs = [
                encode_straight_through(network.network, x, seed, indices[batch]) for seed in drawn
            ]
            return torch.stack(
                [network.logits(each.to(network.readout.device)).cpu() for each in inputs], dim=1
            )

        pixels = (
            torch.from_numpy(images[batch]) * std + mean
        )  # 0 … 1, where ε is the same for every channel
        with torch.no_grad():
            target = classes_meant(logits(pixels).mean(1), torch.from_numpy(labels[batch]))
        attack = PGD(logits, _mean_loss, lower_bound=0.0, upper_bound=1.0)
        attack.fgsm.zero_thresh = 0.0
        with warnings.catch_warnings(), torch.random.fork_rng([]):
            warnings.filterwarnings(
                "ignore", "Input Tensor 0 did not already require gradients"
            )  # it does so itself
            torch.manual_seed(start or 0)
            size, restart = 2.5 * epsilon / iterations, start is not None
            changed = attack.perturb(
                pixels, epsilon, size, iterations, target, random_start=restart
            )
        parts.append(((changed.detach() - mean) / std).numpy().astype(np.float32))
    return np.concatenate(parts)


def random_signs(
    images: Images,
    epsilon: float,
    preprocessing: Preprocessing,
    seed: int,
    indices: Sequence[int] | NDArray[np.int64],
) -> Images:
    """The control of an attack: ±ε at random, clipped alike; every image's signs depend on (seed,
    index) alone.
    """
    generators = [np.random.default_rng([seed, int(index)]) for index in indices]
    signs = np.stack(
        [2 * generator.integers(2, size=images.shape[1:]) - 1 for generator in generators]
    )
    _check(epsilon)
    unit, clip = _pixel(preprocessing)
    return (
        clip(torch.from_numpy(images) + epsilon * torch.from_numpy(signs) * unit).numpy()
        if epsilon
        else images.copy()
    )


def _batches(network: DifferentiableNetwork, images: int, draws: int = 1) -> Iterator[slice]:
    """So many images at a time as memory allows, each with so many draws of its spikes."""
    neurons = network.network.timesteps * sum(map(math.prod, network.network.shapes))
    at_a_time = max(1, NEURON_STEPS // (neurons * draws))
    for start in range(0, images, at_a_time):
        yield slice(start, start + at_a_time)


def _mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per image, mean over draws: (B, draws, classes) -> (B,)."""
    draws = logits.shape[1]
    return (
        _loss(logits.flatten(0, 1), labels.repeat_interleave(draws))
        .unflatten(0, (-1, draws))
        .mean(1)
    )


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per image; in double precision, because in single it has no gradient where the
    answer is sure.
    """
    return functional.cross_entropy(
        logits.double(), classes_meant(logits, labels), reduction="none"
    )


def _pixel(preprocessing: Preprocessing) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """One unit of a pixel's 0 … 1 range per channel of a preprocessed image, and what clips to that
    range.
    """
    mean, std = (
        np.array(values, np.float32)[:, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    lowest, highest = (torch.from_numpy((np.float32(pixel) - mean) / std) for pixel in (0, 1))
    return torch.from_numpy(1 / std), lambda x: x.clamp(lowest, highest)


def _check(epsilon: float) -> None:
    if not 0 <= epsilon <= 1:
        raise InputError(
            f"epsilon: got {epsilon}, expected 0 … 1, the range of a pixel; 8/255 is customary"
        )


def attacked(setup: Setup, through: Through, epsilon: float) -> ImageSet:
    """The setup's images with every pixel changed by ±ε, clipped to what a pixel can be; cached.

    The SNN's gradient is taken through the float32 network, for the spikes that the clean images
    are encoded to: the attacker knows the seed. An iterated attack (PGD) does not, and averages
    over `paper.attack_seeds` of its own.
    """
    images, settings = setup.images, setup.settings
    if epsilon == 0:
        return images
    network = None
    if through != "noise":
        network = (
            setup.networks.ann if through.startswith("ann") else setup.networks.surrogate
        ).network
    identities = {"network": network and network.sha256, "images": images.sha256}
    inputs = {"through": through, **identities, "epsilon": epsilon, "seed": settings.seed}

    def compute() -> dict[str, NDArray[Any]]:
        batches = []
        with setup.progress(f"{ABOUT[through]}, ε = {epsilon:g}", len(images)) as advance:
            for batch in _changed(setup, through, network, epsilon):
                batches.append(batch)
                advance(len(batch))
        return {"pixels": np.concatenate(batches)}

    if through.endswith("iterated"):
        inputs |= {"iterations": settings.attack_iterations, "seeds": settings.attack_seeds}
    pixels = setup.cache.arrays("attacked", inputs, compute)["pixels"]
    return replace(images, name=f"{images.name}, {ABOUT[through]}, ε = {epsilon:g}", pixels=pixels)


def _changed(
    setup: Setup, through: Through, network: Network | None, epsilon: float
) -> Iterator[NDArray[np.float32]]:
    images, settings, prepare = setup.images, setup.settings, setup.images.preprocessing
    model = (
        None
        if network is None
        else DifferentiableNetwork(network).to(make_backend("torch", settings.device).device)
    )
    for start in range(0, len(images), settings.batch_size):
        batch = slice(start, start + settings.batch_size)
        pixels, labels, indices = images.pixels[batch], images.labels[batch], images.indices[batch]
        if model is None:
            yield random_signs(pixels, epsilon, prepare, settings.seed, indices)
        elif through.endswith("iterated"):
            draws = (
                settings.attack_seeds if through.startswith("snn") else 1
            )  # an ANN's input is not random
            seeds = range(settings.seed + ATTACKERS, settings.seed + ATTACKERS + draws)
            yield pgd(
                model, pixels, labels, epsilon, prepare, seeds, indices, settings.attack_iterations
            )
        else:
            yield fgsm(model, pixels, labels, epsilon, prepare, settings.seed, indices)


def strengths(setup: Setup) -> tuple[float, ...]:
    """The attack strengths in order, 0 among them."""
    given = setup.settings.epsilons
    if not given or min(given) < 0 or max(given) == 0:
        raise InputError(
            f"paper.epsilons: got {list(given)}, expected numbers ≥ 0 with at least one above 0"
        )
    return tuple(sorted({0.0, *given}))
