"""Thresholds of converted layers, and what their spikes lack, corrected step by step and layer by
layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spikesam.backends.network import Input, Network
from spikesam.pipeline.config import ConversionSection
from spikesam.pipeline.conversion._spiking import HALF, Floats
from spikesam.pipeline.measures.synaptic_operations import products
from spikesam.pipeline.networks.differentiable import ReluLayer

MANTISSA_BITS = 9  # of a current that the histogram keeps: bins are 0.1 to 0.2 % wide
BINS, MOST = (
    512,
    1 << 16,
)  # of a channel's activations: bins that they are counted in, and how many are counted
# threshold² / T²: what counting spikes costs a neuron that fires; rounding alone costs 1/12
ROUNDING = 0.2
LEAST = 1 / 100  # of the current that one spike brings: lower thresholds do not fit fixed point
BALANCING_STEPS = 1000
BALANCING_RATE = 1.0


def largest_current(currents: Iterable[NDArray[np.float32]]) -> float:
    """The largest of all currents, or 0: Algorithm 1 of Kim & Panda 2021, Diehl et al. 2015,
    Sengupta et al. 2019.
    """
    return max((float(current.max()) for current in currents), default=0.0)


def percentile_current(currents: Iterable[NDArray[np.float32]], percentile: float) -> float:
    """The percentile of all positive currents, so that rare outliers do not slow every neuron down;
    0 without any.

    Counted in a histogram whose bins are as wide as the leading bits of a float32 tell apart, so
    memory is flat and the result, a bin's upper edge, at most 0.2 % too large. That only positive
    currents count is a choice: how silent a layer is does not change what its active neurons need
    (Rueckauer et al. 2017 take those of the ANN's activations).
    """
    shift = 23 - MANTISSA_BITS
    counts = np.zeros(1 << (8 + MANTISSA_BITS), np.int64)
    for current in currents:
        bits = np.maximum(current, np.float32(0)).ravel().view(np.int32)
        counts += np.bincount(bits >> shift, minlength=len(counts))
    counts[0] = 0
    total = counts.sum()
    if not total:
        return 0.0
    reached = int(np.searchsorted(counts.cumsum(), percentile / 100 * total))
    return float(np.array((reached + 1) << shift, np.int32).view(np.float32))


def least_squares_thresholds(values: Tensor, timesteps: int, percentile: float) -> Tensor:
    """Per channel, the threshold θ whose error of clipping and of counting in T steps is the least.

        loss(θ) = Σ max(0, x - θ)² + c · θ² / T² · (number of x > 0)

    over activations x, (C, n), with c = 0.2: rounding to whole spikes costs 1/12, their unevenness
    the rest. The more steps, the higher θ, up to a percentile of the positive x: unevenness, which
    grows with the steps, outweighs rare activations beyond that. Activations, of many some, are
    counted in 512 bins up to the largest of each channel. Returns (C,) float64, 0 for a channel
    without positive activations.
    """
    values = values[
        :, :: values.shape[1] // MOST | 1
    ]  # an odd number, so that all columns of a map are among them
    largest, edges = values.amax(1).double(), torch.arange(1, BINS + 1, dtype=torch.float64)
    widths = largest.clamp(min=1e-30) / BINS
    bins = (values * (1 / widths).float()[:, None]).ceil_().clamp_(0, BINS).to(torch.int64)
    bins += (BINS + 1) * torch.arange(len(values))[:, None]
    counts = (
        bins.flatten()
        .bincount(minlength=(BINS + 1) * len(values))
        .view(len(values), -1)[:, 1:]
        .double()
    )
    above = (
        (edges[:, None] - 0.5 - edges).clamp(min=0).square()
    )  # of each bin's middle, beyond each threshold
    positive, below = counts.sum(1, keepdim=True), counts.cumsum(1) - counts
    loss = counts @ above + ROUNDING * (edges / timesteps).square() * positive
    loss[below >= percentile / 100 * positive] = torch.inf
    return edges[loss.argmin(1)] * widths * (largest > 0)


def balanced_thresholds(inputs: Tensor) -> Tensor:
    """Local threshold balancing: per channel, gradient descent on what clipping at θ loses of ReLU.

        loss(θ) = E[(min(max(z, 0), θ) - max(z, 0))²]
        θ ← θ + η · E[2 (z - θ) H(z - θ)],  from θ = 0

    over z (C, n) of all images and positions at once, the ANN's pre-activations behind layers
    clipped at their own thresholds, with η = 1 and 1,000 steps as in the authors' code (their
    batches are samples of the same mean). θ (C,) rises towards the largest z, but ever more slowly
    for rare ones, which is what makes it lower than the maximum. A channel without positive z gets
    the layer's largest, or 0 (Bu, Li & Yu 2025, arXiv:2409.03368, Eq. 12–15 and 17).
    """
    thresholds = torch.zeros(len(inputs), dtype=inputs.dtype)
    for _ in range(BALANCING_STEPS):
        thresholds += BALANCING_RATE * 2 * functional.relu(inputs - thresholds[:, None]).mean(1)
    return torch.where(thresholds > 0, thresholds, thresholds.max())


BATCH = 16  # images at a time
STEPS, IMAGES, FEWEST = 48, 64, 12  # that corrections are computed of: at most, and images at least
BUDGET = 32 * 10**9  # multiplications
ROUNDS = 3  # of a step's correction
RATE = 0.5  # share of the error that a round corrects
SOME = 1 << 12  # neurons of a channel that a round looks at


class Rectifiers:
    """The layers of an ANN as modules, for the activations of images (N, C, H, W) in -1 … 1."""

    def __init__(self, ann: Network) -> None:
        self.ann = ann
        self.layers = {
            layer.name: ReluLayer(layer, ann, torch.channels_last) for layer in ann.layers
        }
        self.reads = {
            layer.name: {s.layer for layer_input in layer.inputs for s in layer_input.sources}
            for layer in ann.layers
        }
        self.last_read = {
            source: place for place, sources in enumerate(self.reads.values()) for source in sources
        }

    def by_channel(self, name: str, numbers: Tensor) -> Tensor:
        """(C,) for the maps of a layer."""
        return numbers.reshape(-1, *[1] * (len(self.layers[name].shape) - 1))

    def run(
        self, images: Tensor, clip: Callable[[str, Tensor], Tensor]
    ) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Each name, what a layer's neurons rectify (N, C, …), and their activations, seen
        clipped.
        """
        values = {"input": images}
        for place, (name, layer) in enumerate(self.layers.items()):
            parts = range(0, len(images), BATCH)
            currents = torch.cat(
                [
                    layer.currents(
                        {
                            source_name: values[source_name][i : i + BATCH]
                            for source_name in self.reads[name]
                        }
                    )
                    for i in parts
                ]
            )
            activations = layer.rectified(currents)
            yield name, currents, activations
            values[name] = clip(name, activations)
            values = {
                source_name: source_values
                for source_name, source_values in values.items()
                if self.last_read.get(source_name, -1) > place
            }


def activation_thresholds(
    rectifiers: Rectifiers,
    images: Tensor,
    settings: ConversionSection,
    chosen: NDArray[np.int64],
    refuse_dead: Callable[[float, str], None],
) -> tuple[dict[str, Floats], dict[str, Tensor]]:
    """Largest activations (C,) that each layer tells apart, by a rule, and means (C,) of all, on
    chosen images.
    """
    thresholds: dict[str, Floats] = {}
    means: dict[str, Tensor] = {}
    balanced = settings.rule == "balanced"

    def clip(name: str, values: Tensor) -> Tensor:
        limit = rectifiers.by_channel(name, torch.from_numpy(thresholds[name]).float())
        return values.minimum(limit) if balanced else values

    with torch.inference_mode():
        for name, currents, values in rectifiers.run(images, clip):
            layer = rectifiers.layers[name]
            of_channels = (currents if balanced else values).transpose(0, 1).flatten(1)
            means[name] = values[chosen].transpose(0, 1).flatten(1).double().mean(1)
            of_rule = _thresholds(of_channels, settings)
            refuse_dead(float(of_rule.max()), name)
            thresholds[name] = np.maximum(of_rule, least_thresholds(layer.inputs, thresholds))
            if layer.limit is not None:
                thresholds[name] = np.minimum(
                    thresholds[name], layer.limit.flatten().double().numpy()
                )
    return thresholds, means


def least_thresholds(inputs: Iterable[Input], thresholds: Mapping[str, Floats]) -> Floats:
    """(C,) or (1,): 1/100 of the largest current that one spike of a source brings to each channel.

    A spike of the image stands for 1. An activation may be far smaller where branches cancel out.
    """
    largest = np.zeros(1)
    for branch in inputs:
        for source in branch.sources:
            currents = np.ones(1) if source.layer == "input" else thresholds[source.layer]
            for weight in branch.synapse.tensors.values():
                weight = np.abs(weight.astype(np.float64))
                by_column = currents.repeat(weight.shape[1] // len(currents))
                weight *= by_column.reshape(-1, *[1] * (weight.ndim - 2))
                currents = weight.reshape(len(weight), -1).max(1)
            gain = np.atleast_2d(np.abs(branch.gain)).max(0)
            largest = np.maximum(largest, gain * currents / branch.synapse.averaged)
    return LEAST * largest


def _thresholds(values: Tensor, settings: ConversionSection) -> Floats:
    """(C, n) activations -> (C,)."""
    if settings.rule == "balanced":
        return balanced_thresholds(values).double().numpy()
    rows = values if settings.per == "channel" else values.reshape(1, -1)
    if settings.rule == "ftbc":
        thresholds = least_squares_thresholds(
            rows, settings.timesteps * settings.spikes, settings.percentile
        ).numpy()
    elif settings.rule == "percentile":
        thresholds = np.array(
            [percentile_current([row.numpy()], settings.percentile) for row in rows]
        )
    else:
        thresholds = rows.amax(1).double().numpy() * (
            settings.scale if settings.rule == "scaled" else 1
        )
    thresholds = np.where(thresholds > 0, thresholds, thresholds.max())
    return np.broadcast_to(thresholds, (len(values),)).copy()


def temporal_corrections(
    rectifiers: Rectifiers,
    inputs: Iterator[Tensor],
    thresholds: Mapping[str, Floats],
    means: Mapping[str, Tensor],
    initial: float = HALF,
    spikes: int = 1,
    advance: Callable[[int], None] = lambda images: None,
) -> dict[str, Floats]:
    """Forward temporal bias correction: what to add to each layer's bias in each step, (S, C), in
    units of the ANN.

        b_c[t] = b_c[t] + α · mean over images and places of  (t + 1) · x_c - Σ_{τ≤t} θ_c s_c[τ]

    x being the activation and s the spikes, of layers in order, those before already corrected; α =
    1/2, three times a step, of 4,096 of them. The authors compare each step alone; the sum over the
    steps lets no error of the mean stay (Wu, Li, Bojkovic, Gu & Yuan 2024, ECCV, arXiv:2403.18388).
    `inputs` (N, C, H, W) are what the network sees in each step, `means` (C,) mean activations; a
    neuron fires up to `spikes` a step, of which each is worth the threshold.
    """
    theta = {name: torch.from_numpy(threshold).float() for name, threshold in thresholds.items()}
    membranes: dict[str, Tensor] = {}  # (n, C), of all images and places
    steady: dict[str, Tensor] = {}
    missing = {name: torch.zeros(len(layer_theta)) for name, layer_theta in theta.items()}
    corrections: dict[str, list[Floats]] = {name: [] for name in rectifiers.layers}
    constant: Tensor | None = None
    with torch.inference_mode():
        for image in inputs:
            values = {"input": image}
            if image is not constant:
                steady, constant = {}, image
            for name, layer in rectifiers.layers.items():
                layer_theta, current = theta[name], steady.get(name)
                if current is None:
                    current = layer.currents(values).movedim(1, -1)
                if rectifiers.reads[name] == {"input"}:
                    steady[name] = current
                v = current.reshape(-1, len(layer_theta))
                v = membranes[name].add_(v) if corrections[name] else v + initial * layer_theta
                apart = (
                    len(v) // SOME | 1
                )  # an odd number, so that all columns of a map are among them
                some_membranes = v[::apart].contiguous()
                missing[name] += means[name].float()
                added = torch.zeros_like(layer_theta)
                for _ in range(ROUNDS):
                    error = missing[name] - layer_theta * _fired(
                        some_membranes, layer_theta, added, spikes
                    ).mean(0)
                    added += (RATE * error).minimum(layer_theta).maximum(-layer_theta)
                worth = _fired(v.add_(added), layer_theta, 0.0, spikes).mul_(layer_theta)
                missing[name] -= worth.mean(0)
                membranes[name] = v.sub_(worth)
                values[name] = worth.view(current.shape).movedim(-1, 1)
                corrections[name].append(added.double().numpy())
            advance(len(image))
    return {
        name: np.stack([*rows, np.mean(rows[len(rows) // 2 :], axis=0)])
        for name, rows in corrections.items()
    }


def _fired(membranes: Tensor, thresholds: Tensor, added: Tensor | float, spikes: int) -> Tensor:
    """The number of times that membranes, with something added, exceed their threshold, at most
    `spikes`: (n, C) float32.
    """
    if spikes == 1:  # float32 numbers of 0 and 1, which torch makes faster than bool
        return torch.gt(membranes, thresholds - added, out=torch.empty_like(membranes))
    return (membranes + added).div_(thresholds).ceil_().sub_(1).clamp_(0, spikes)


def corrected_on(ann: Network, images: int, timesteps: int) -> tuple[int, int]:
    """Numbers of images and steps to compute corrections of, so that it takes seconds."""
    max_products = BUDGET // max(1, sum(products(ann).values()))
    steps = min(timesteps, STEPS)
    return min(images, IMAGES, max(FEWEST, max_products // steps)), steps
