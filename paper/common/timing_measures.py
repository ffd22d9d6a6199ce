"""Worth of a timing task's maps: how much of them is on the places that decide, and what spikes do.

Three measures, all in 0 … 1:

- "share on the deciding places": the mean of a map over them, as a share of that and of its mean over the other places.
  A map that is the same everywhere has 0.5.
- "deletion of places": all spikes of a place go, in the order of the map summed over steps; the area under the
  probability of the answer over the share of spikes deleted. Lower is better.
- "deletion of moments": the same of single moments, a place at one step, in the order of the map of that step.

Maps: SAM at every γ; the spike count (γ → ∞); SAM whose spikes are at random steps ("shuffled": of places) or whose
earlier spikes are ("earlier": of moments, where the spike that is deleted must stay); relevance; and random orders.

In "shuffled", each neuron's spikes are put at random steps; it fires as often, but not then. In "earlier", who fires at
a step stays, and how often each neuron fired before, but its earlier spikes lie at random among the steps before. Of
that, the expected map is exact: with n earlier spikes of a neuron that fires at t, among t - a steps,

    E N[t] = 1 + n · K(t),   K(t) = mean over d = 1 … t - a of e^{-γd},

so that E M[t] = C[t] + K(t) · (M₀[t] - C[t]), where C is the spike count and M₀ is SAM with γ = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.special import softmax

from paper.common.deletion import RANDOM, upper_network
from paper.common.heatmaps import COUNT, SAM
from paper.common.scenes import energy_on, shares
from paper.common.setup import Setup
from paper.common.timing_tasks import TimedSpikes
from paper.measures.deletion import in_parts
from spikesam.backends.network import Network
from spikesam.pipeline.maps.answers import Answer
from spikesam.pipeline.maps.relevance import relevance
from spikesam.pipeline.maps.sam import spike_activation_maps, spike_count_map
from spikesam.recordings.raster.reader import RasterReader

RELEVANCE = "relevance"
SHUFFLED, EARLIER = "SAM, times shuffled", "SAM, earlier times shuffled"
SHARE, PLACES, MOMENTS = "share on the deciding places", "deletion of places", "deletion of moments"
Floats = NDArray[np.float64]
Maps = NDArray[np.float32]
Map = tuple[str, float]  # its name and γ, -1 where it has none
Named = dict[Map, Any]
NO_GAMMA = -1.0


def measured_task(setup: Setup, network: Network, samples: TimedSpikes) -> pd.DataFrame:
    """Every measure of every map in the input and each convolution: image, layer, measure, map, gamma, value; cached.

    The network is recorded in float32, and answers in it: all versions of a sample go through torch together, which
    takes a tenth of the time here. The steps that can still change the answer count.
    """
    settings, gamma, seed = setup.config.timing, setup.settings.gamma, setup.settings.seed

    def compute() -> dict[str, NDArray[Any]]:
        found: dict[str, list[float]] = {}
        with RasterReader(setup.recording(network, samples, precision="float32")) as raster:
            layers = [spec.name for spec in raster.layers if spec.kind in ("input", "conv")]
            answers = {layer: float_answers(upper_network(network, layer)) for layer in layers}
            with setup.progress("maps and deletions", len(samples)) as advance:
                for sample in range(len(samples)):
                    objects = np.stack([samples.deciding[sample], samples.others[sample]])
                    of_relevance = relevances(network, raster, sample)
                    for layer in layers:
                        maps = maps_of(raster, layer, sample, of_relevance[layer], settings.gammas, gamma, seed)
                        spikes = matters(raster, layer, sample)
                        values = {SHARE: on_deciding(maps, objects)} | deletion_areas(
                            answers[layer], spikes, maps, settings.parts, seed + sample
                        )
                        for measure, of_maps in values.items():
                            for (name, of_gamma), value in of_maps.items():
                                found.setdefault(f"{layer}|{measure}|{name}|{of_gamma}", []).append(value)
                    advance(1)
        return {name: np.array(values) for name, values in found.items()}

    inputs = {
        "network": network.sha256,
        "samples": samples.sha256,
        "gammas": list(settings.gammas),
        "gamma": gamma,
        "seed": seed,
        "parts": settings.parts,
    }
    tables = []
    for key, values in setup.cache.arrays("timing-measures", inputs, compute).items():
        layer, measure, name, of_gamma = key.split("|")
        about = {"layer": layer, "measure": measure, "map": name, "gamma": float(of_gamma)}
        tables.append(pd.DataFrame({"image": range(len(values)), **about, "value": values}))
    return pd.concat(tables)


def matters(raster: RasterReader, layer: str, sample: int) -> NDArray[np.bool_]:
    """The spikes that can still change the answer, (T, C, H, W); none later."""
    spikes: NDArray[np.bool_] = raster[layer][sample].copy()
    spikes[raster.steps_that_matter(layer) :] = False
    return spikes


def relevances(network: Network, raster: RasterReader, sample: int) -> dict[str, Floats]:
    """Relevance of every layer's spikes for the predicted class, summed over channels: layer -> (T, H, W)."""
    names = list(raster)
    found = relevance(network, [raster[name][sample] for name in names], int(raster.predictions[sample]))
    return {name: each.sum(axis=1) for name, each in zip(names, found, strict=True)}


def maps_of(
    raster: RasterReader,
    layer: str,
    sample: int,
    of_relevance: Floats,
    gammas: Sequence[float],
    gamma: float,
    seed: int,
) -> Named:
    """Every map of a layer, step by step: (map, γ) -> (T', h, w). `gamma` is that of shuffled times."""
    spec, steps = raster.layer(layer), raster.steps_that_matter(layer)
    packed = raster.packed(spec, sample)[:steps]
    random = np.random.default_rng([seed, spec.number, sample])
    swept = spike_activation_maps(packed, spec.shape, gammas)
    return {(SAM, each): maps for each, maps in zip(gammas, swept, strict=True)} | {
        (COUNT, NO_GAMMA): spike_count_map(packed, spec.shape),
        (SHUFFLED, gamma): all_times_shuffled(packed, spec.shape, gamma, spec.number, random),
        (EARLIER, gamma): earlier_times_shuffled(packed, spec.shape, gamma, spec.number),
        (RELEVANCE, NO_GAMMA): of_relevance[:steps],
    }


def on_deciding(maps: Named, objects: NDArray[np.bool_]) -> dict[Map, float]:
    """The share of each map, summed over steps, on the first of two objects (2, H, W); 0.5 where it is zero on both."""
    totals = {name: np.maximum(each.sum(axis=0), 0) for name, each in maps.items() if name[0] != EARLIER}
    return {
        name: float(np.nan_to_num(shares(energy_on(total[None], objects), 0)["step 0"], nan=0.5))
        for name, total in totals.items()
    }


def deletion_areas(
    answer: Answer, spikes: NDArray[np.bool_], maps: Named, parts: int, seed: int
) -> dict[str, dict[Map, float]]:
    """Areas under the probability over the share of spikes deleted, by places and by moments: measure -> map -> area.

    Order, ties and curves are those of :mod:`paper.measures.deletion`; here a single call of `answer` takes every
    version of the spikes (T, C, H, W). Maps are (T', H, W), T' ≤ T; the later steps have no spikes.
    """
    shape = (len(spikes), *spikes.shape[2:])
    fires = spikes.any(axis=1)
    marks, names = [], []
    for (name, gamma), each in {**maps, (RANDOM, NO_GAMMA): np.zeros((1, *shape[1:]))}.items():
        values = np.zeros(shape)
        values[: len(each)] = each
        if name != EARLIER:
            names.append((PLACES, (name, gamma)))
            marks.append(np.broadcast_to(marked(values.sum(axis=0), parts, seed)[:, None], (parts + 1, *shape)))
        if name != SHUFFLED:
            names.append((MOMENTS, (name, gamma)))
            of_moments = np.zeros((parts + 1, *shape), np.bool_)
            of_moments[:, fires] = marked(values[fires], parts, seed)
            marks.append(of_moments)
    gone = np.concatenate(marks)  # (versions, T, H, W)
    logits = answer((spikes & ~gone[:, :, None]).swapaxes(0, 1))
    probability = softmax(logits, axis=1)[:, logits[0].argmax()].reshape(len(names), parts + 1)
    counts = spikes.sum(axis=1)
    share = (gone * counts).sum(axis=(1, 2, 3)).reshape(len(names), parts + 1) / max(1, int(counts.sum()))
    share[:, -1] = 1  # of no spikes at all, too
    found: dict[str, dict[Map, float]] = {PLACES: {}, MOMENTS: {}}
    for (measure, of_map), y, x in zip(names, probability, share, strict=True):
        found[measure][of_map] = float(trapezoid(y, x))
    return found


def marked(values: Floats, parts: int, seed: int) -> NDArray[np.bool_]:
    """Which of some values, (...), are among the first 0, 1, … `parts` equal parts, highest first: (parts + 1, ...)."""
    if not values.size:
        return np.zeros((parts + 1, *values.shape), np.bool_)
    taken = np.rint(np.linspace(0, values.size, parts + 1))
    return in_parts(values.reshape(1, -1), taken, (1, values.size), seed).reshape(-1, *values.shape)


def float_answers(network: Network) -> Answer:
    """A function of input spikes, (T, B, C, H, W) bool: logits (B, classes), in float32 and all at once."""
    import torch

    from spikesam.pipeline.networks.differentiable import DifferentiableNetwork

    model = DifferentiableNetwork(network)

    def answer(spikes: NDArray[Any]) -> Floats:
        with torch.no_grad():
            return model(torch.from_numpy(np.ascontiguousarray(spikes, np.float32)))[0].double().numpy()

    return answer


def earlier_times_shuffled(packed: NDArray[np.uint8], shape: tuple[int, int, int], gamma: float, first: int) -> Maps:
    """The expected map, (T, H, W), where earlier spikes lie at random; before step `first` the layer cannot fire."""
    count = spike_count_map(packed, shape)
    (since,) = spike_activation_maps(packed, shape, [0.0])
    decays = np.exp(-gamma * np.arange(1, len(packed) + 1))
    kernel = np.zeros(len(packed))
    for step in range(first + 1, len(packed)):
        kernel[step] = decays[: step - first].mean()
    shuffled: Maps = (count + kernel[:, None, None] * (since - count)).astype(np.float32)
    return shuffled


def all_times_shuffled(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], gamma: float, first: int, random: np.random.Generator
) -> Maps:
    """SAM of spikes of which each neuron's are put at random steps from `first` on; as above."""
    neurons = int(np.prod(shape))
    bits = np.unpackbits(packed, axis=1, count=neurons)
    bits[first:] = random.permuted(bits[first:], axis=0)
    return spike_activation_maps(np.packbits(bits, axis=1), shape, [gamma])[0]
