"""Thresholds from an ANN's activations, and what their spikes lack, corrected step by step and layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikesam.backends.network import Network
from spikesam.pipeline.config import ConversionSection
from spikesam.pipeline.conversion.spiking import HALF, Floats
from spikesam.pipeline.conversion.thresholds import (
    balanced_thresholds,
    least_squares_thresholds,
    percentile_current,
)
from spikesam.pipeline.measures.operations import products
from spikesam.pipeline.networks.differentiable import ReluLayer

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
        self.layers = {layer.name: ReluLayer(layer, ann, torch.channels_last) for layer in ann.layers}
        reads = {name: {s.layer for each in layer.inputs for s in each.sources} for name, layer in self.layers.items()}
        self.reads = reads
        self.last_reader = {source: name for name, sources in reads.items() for source in sources}

    def by_channel(self, name: str, numbers: Tensor) -> Tensor:
        """(C,) for the maps of a layer."""
        return numbers.reshape(-1, *[1] * (len(self.layers[name].shape) - 1))

    def run(self, images: Tensor, clip: Callable[[str, Tensor], Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Each name, what a layer's neurons rectify (N, C, …), and their activations, seen clipped."""
        values = {"input": images}
        for name, layer in self.layers.items():
            parts = range(0, len(images), BATCH)
            found = torch.cat(
                [layer.currents({each: values[each][i : i + BATCH] for each in self.reads[name]}) for i in parts]
            )
            activations = activated(layer, found)
            yield name, found, activations
            values[name] = clip(name, activations)
            values = {each: kept for each, kept in values.items() if self._read_later(each, name)}

    def _read_later(self, name: str, now: str) -> bool:
        names = list(self.layers)
        return name in self.last_reader and names.index(self.last_reader[name]) > names.index(now)


def activated(layer: ReluLayer, currents: Tensor) -> Tensor:
    """The activations that currents give."""
    found = torch.relu(currents)
    return found if layer.limit is None else torch.minimum(found, layer.limit)


def activation_thresholds(
    rectifiers: Rectifiers,
    images: Tensor,
    settings: ConversionSection,
    chosen: NDArray[np.int64],
    refuse_dead: Callable[[float, str], None],
) -> tuple[dict[str, Floats], dict[str, Tensor]]:
    """Largest activations (C,) that each layer tells apart, by a rule, and means (C,) of all, on chosen images."""
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
            thresholds[name] = _thresholds(of_channels, settings)
            refuse_dead(float(thresholds[name].max()), name)
            if layer.limit is not None:
                thresholds[name] = np.minimum(thresholds[name], layer.limit.flatten().double().numpy())
    return thresholds, means


def _thresholds(values: Tensor, settings: ConversionSection) -> Floats:
    """(C, n) activations -> (C,)."""
    if settings.rule == "balanced":
        return balanced_thresholds(values).double().numpy()
    rows = values if settings.per == "channel" else values.reshape(1, -1)
    if settings.rule == "ftbc":
        found = least_squares_thresholds(rows, settings.timesteps * settings.spikes, settings.percentile).numpy()
    elif settings.rule == "percentile":
        found = np.array([percentile_current([row.numpy()], settings.percentile) for row in rows])
    else:
        found = rows.amax(1).double().numpy() * (settings.scale if settings.rule == "scaled" else 1)
    found = np.where(found > 0, found, found.max())
    return np.broadcast_to(found, (len(values),)).copy()


def temporal_corrections(
    rectifiers: Rectifiers,
    inputs: Iterator[Tensor],
    thresholds: Mapping[str, Floats],
    means: Mapping[str, Tensor],
    initial: float = HALF,
    spikes: int = 1,
    advance: Callable[[int], None] = lambda images: None,
) -> dict[str, Floats]:
    """Forward temporal bias correction: what to add to each layer's bias in each step, (S, C), in units of the ANN.

        b_c[t] = b_c[t] + α · mean over images and places of  (t + 1) · x_c - Σ_{τ≤t} θ_c s_c[τ]

    x being the activation and s the spikes, of layers in order, those before already corrected; α = 1/2, three times a
    step, of 4,096 of them. The authors compare each step alone; the sum over the steps lets no error of the mean stay.

    Parameters
    ----------
    inputs : what the network sees in each step, (N, C, H, W)
    means : (C,) mean activations
    spikes : of a neuron in a step, at most; thresholds are of one

    References
    ----------
    Wu, Li, Bojkovic, Gu & Yuan 2024, Forward temporal bias correction for optimizing ANN-SNN conversion (ECCV),
    arXiv:2403.18388.
    """
    theta = {name: torch.from_numpy(each).float() for name, each in thresholds.items()}
    membranes: dict[str, Tensor] = {}  # (n, C), of all images and places
    steady: dict[str, Tensor] = {}
    missing = {name: torch.zeros(len(own)) for name, own in theta.items()}
    found: dict[str, list[Floats]] = {name: [] for name in rectifiers.layers}
    constant: Tensor | None = None
    with torch.inference_mode():
        for image in inputs:
            values = {"input": image}
            if image is not constant:
                steady, constant = {}, image
            for name, layer in rectifiers.layers.items():
                own, current = theta[name], steady.get(name)
                if current is None:
                    current = layer.currents(values).movedim(1, -1)
                if rectifiers.reads[name] == {"input"}:
                    steady[name] = current
                v = current.reshape(-1, len(own))
                v = membranes[name].add_(v) if found[name] else v + initial * own
                apart = len(v) // SOME | 1  # an odd number, so that all columns of a map are among them
                some = v[::apart].contiguous()
                missing[name] += means[name].float()
                added = torch.zeros_like(own)
                for _ in range(ROUNDS):
                    error = missing[name] - own * _fired(some, own, added, spikes).mean(0)
                    added += (RATE * error).minimum(own).maximum(-own)
                worth = _fired(v.add_(added), own, 0.0, spikes).mul_(own)
                missing[name] -= worth.mean(0)
                membranes[name] = v.sub_(worth)
                values[name] = worth.view(current.shape).movedim(-1, 1)
                found[name].append(added.double().numpy())
            advance(len(image))
    return {name: np.stack([*rows, np.mean(rows[len(rows) // 2 :], axis=0)]) for name, rows in found.items()}


def _fired(membranes: Tensor, thresholds: Tensor, added: Tensor | float, spikes: int) -> Tensor:
    """How often membranes, with something added, are above their threshold, at most `spikes`: (n, C) float32."""
    if spikes == 1:  # float32 numbers of 0 and 1, which torch makes faster than bool
        return torch.gt(membranes, thresholds - added, out=torch.empty_like(membranes))
    return (membranes + added).div_(thresholds).ceil_().sub_(1).clamp_(0, spikes)


def corrected_on(ann: Network, images: int, timesteps: int) -> tuple[int, int]:
    """How many images and steps corrections are computed of, so that it takes seconds."""
    most = BUDGET // max(1, sum(products(ann).values()))
    steps = min(timesteps, STEPS)
    return min(images, IMAGES, max(FEWEST, most // steps)), steps
