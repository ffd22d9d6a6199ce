"""Worth of a timing task's maps: what spikes do, in the order of a map.

Measures:

- "rank correlation with leaving out": the truth is what each place that fires does by itself, the
  answer's probability less that without all spikes of the place. Spearman's correlation of the map
  with it, -1 … 1; a flat map has 0.
- "deletion of places": all spikes of a place go, in the order of the map summed over steps; the
  area under the probability of the answer over the share of spikes deleted, 0 … 1. Lower is better.
- "deletion of moments": the same of single moments, a place at one step, in the order of the map of
  that step.
- "share on the deciding places": the mean of a map over the places whose times make the class, as a
  share of that and of its mean over others that fire as often. A map that is the same everywhere
  has 0.5. A network need not use these places, so this is no ground truth.

Spikes go in parts of equal spikes; where a map is equal, the order is random, and the area is the
mean of many orders.

Maps: SAM at every γ; the spike count (γ → ∞); SAM whose spikes are at random steps ("shuffled": of
places) or whose earlier spikes are ("earlier": of moments, where the spike that is deleted must
stay); and relevance.

In "shuffled", each neuron's spikes are put at random steps; it fires as often, but not then. In
"earlier", who fires at a step stays, and how often each neuron fired before, but its earlier spikes
lie at random among the steps before. Of that, the expected map is exact: with n earlier spikes of a
neuron that fires at t, among t - a steps,

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
from scipy.stats import rankdata

from paper.common.deletion import upper_network
from paper.common.heatmaps import COUNT, SAM
from paper.common.images import TimedSpikes
from paper.common.scenes import energy_on, shares
from paper.common.setup import Setup
from paper.measures.deletion import nearest, order_of, probability_of
from paper.measures.maps import pearson
from spikesam import Network, RasterReader
from spikesam.maps import Answering, answers_of, relevance, spike_activation_maps, spike_count_map

INPUT, HIDDEN = "input", "convolutions"
RELEVANCE = "relevance"
SHUFFLED, EARLIER = "SAM, times shuffled", "SAM, earlier times shuffled"
SHARE, PLACES, MOMENTS = "share on the deciding places", "deletion of places", "deletion of moments"
LEFT_OUT = "rank correlation with leaving out"
Floats = NDArray[np.float64]
Maps = NDArray[np.float32]
Map = tuple[str, float]  # its name and γ, -1 where it has none
Named = dict[Map, Any]
NO_GAMMA = -1.0
AT_ONCE = 256  # versions of a raster in memory


def measured_task(setup: Setup, network: Network, samples: TimedSpikes) -> pd.DataFrame:
    """Every measure of every map: image, layer, measure, map, gamma, value; cached.

    The layer is the input, or the convolutions, of which a value is the mean. The network is
    recorded in float32, and answers in it. The steps that can still change the answer count.
    """
    settings, gamma, seed = setup.config.timing, setup.settings.gamma, setup.settings.seed

    def compute() -> dict[str, NDArray[Any]]:
        found: dict[str, list[float]] = {}
        with RasterReader(setup.recording(network, samples, precision="float32")) as raster:
            kinds = {"input": INPUT, "conv": HIDDEN}
            layers = {spec.name: kinds[spec.kind] for spec in raster.layers if spec.kind in kinds}
            answers = {layer: answers_of(upper_network(network, layer)) for layer in layers}
            with setup.progress("maps and deletions", len(samples)) as advance:
                for sample in range(len(samples)):
                    objects = np.stack([samples.deciding[sample], samples.others[sample]])
                    of_relevance = relevances(network, raster, sample)
                    of_sample: dict[str, list[float]] = {}
                    for layer, told in layers.items():
                        gammas = settings.gammas if told == HIDDEN else [gamma]
                        maps = maps_of(
                            raster, layer, sample, of_relevance[layer], gammas, gamma, seed
                        )
                        answer, spikes = answers[layer], matters(raster, layer, sample)
                        values = {
                            SHARE: on_deciding(maps, objects),
                            LEFT_OUT: with_leaving_out(answer, spikes, maps),
                            **deletion_areas(
                                answer, spikes, maps, settings.parts, settings.ties, seed + sample
                            ),
                        }
                        for measure, of_maps in values.items():
                            for (name, of_gamma), value in of_maps.items():
                                of_sample.setdefault(
                                    f"{told}|{measure}|{name}|{of_gamma}", []
                                ).append(value)
                    for key, of_layers in of_sample.items():
                        found.setdefault(key, []).append(float(np.mean(of_layers)))
                    advance(1)
        return {name: np.array(values) for name, values in found.items()}

    inputs = {
        "network": network.sha256,
        "samples": samples.sha256,
        "gammas": list(settings.gammas),
        "gamma": gamma,
        "seed": seed,
        "parts": settings.parts,
        "ties": settings.ties,
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
    """Relevance of every layer's spikes for the predicted class, summed over channels: layer -> (T,
    H, W).
    """
    names = list(raster)
    found = relevance(
        network, [raster[name][sample] for name in names], int(raster.predictions[sample])
    )
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
    """Every map of a layer, step by step: (map, γ) -> (T', h, w). `gamma` is that of shuffled
    times.
    """
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
    """The share of each map, summed over steps, on the first of two objects (2, H, W); 0.5 where it
    is zero on both.
    """
    totals = {
        name: np.maximum(each.sum(axis=0), 0) for name, each in maps.items() if name[0] != EARLIER
    }
    return {
        name: float(np.nan_to_num(shares(energy_on(total[None], objects), 0)["step 0"], nan=0.5))
        for name, total in totals.items()
    }


def with_leaving_out(answer: Answering, spikes: NDArray[np.bool_], maps: Named) -> dict[Map, float]:
    """Rank correlation of each map, summed over steps, with what every place that fires does by
    itself.
    """
    fires = spikes.any(axis=(0, 1))
    alone = np.eye(fires.sum() + 1, dtype=np.bool_)[:, 1:]  # none left out, then each
    probability = _probability(answer, spikes, fires[None], alone)
    does = rankdata(probability[0] - probability[1:])[None]
    totals = {name: each.sum(axis=0)[fires] for name, each in maps.items() if name[0] != EARLIER}
    return {
        name: pearson(rankdata(each)[None], does) if fires.any() else 0.0
        for name, each in totals.items()
    }


def deletion_areas(
    answer: Answering, spikes: NDArray[np.bool_], maps: Named, parts: int, ties: int, seed: int
) -> dict[str, dict[Map, float]]:
    """Areas under the probability over the share of spikes deleted, by places and by moments:
    measure -> map -> area.

    The mean over `ties` random orders of what is equal in a map. Maps are (T', H, W), T' ≤ T of the
    spikes (T, C, H, W); the later steps have none.
    """
    counts, found = spikes.sum(axis=1), dict[str, dict[Map, float]]()
    for measure, other in ((PLACES, EARLIER), (MOMENTS, SHUFFLED)):
        summed = 0 if measure == PLACES else ()
        of_measure = counts.sum(axis=summed, keepdims=True)
        cuts, names = [], [name for name in maps if name[0] != other]
        for name in names:
            values = np.zeros(counts.shape)
            values[: len(maps[name])] = maps[name]
            one = values.sum(axis=summed, keepdims=True)
            cuts += [cut(one, of_measure, parts, tie) for tie in range(seed, seed + ties)]
        areas = np.reshape(areas_of(answer, spikes, of_measure, cuts), (len(names), ties)).mean(
            axis=1
        )
        found[measure] = dict(zip(names, areas.tolist(), strict=True))
    return found


def cut(values: Floats, counts: NDArray[np.int64], parts: int, seed: int) -> NDArray[np.bool_]:
    """What is gone after 0, 1, … parts of equal spikes, highest values first, of the F with spikes:
    (K, F).
    """
    fires = counts > 0
    if not fires.any():
        return np.zeros((2, 0), np.bool_)
    order = order_of(values[fires], seed)
    taken = nearest(counts[fires][order].cumsum(), parts)
    gone = np.zeros((len(taken), len(order)), np.bool_)
    gone[:, order] = np.arange(len(order)) < taken[:, None]
    return gone


def areas_of(
    answer: Answering,
    spikes: NDArray[np.bool_],
    counts: NDArray[np.int64],
    cuts: Sequence[NDArray[np.bool_]],
) -> list[float]:
    """The area of each of many cuts of `counts`, (T or 1, H, W); what several leave alike is
    simulated once.
    """
    fires = counts > 0
    packed = np.packbits(np.concatenate(cuts), axis=1)
    alike, which = np.unique(
        packed, axis=0, return_inverse=True
    )  # in ascending order, so the first is nothing gone
    gone = np.unpackbits(alike, axis=1, count=int(fires.sum())).view(np.bool_)
    probability, share = (
        _probability(answer, spikes, fires, gone),
        gone @ counts[fires] / max(1, int(counts.sum())),
    )
    each = np.split(which.ravel(), np.cumsum([len(one) for one in cuts])[:-1])
    return [
        float(trapezoid(probability[one], [*share[one[:-1]], 1])) for one in each
    ]  # of no spikes at all, too


def _probability(
    answer: Answering, spikes: NDArray[np.bool_], places: NDArray[np.bool_], gone: NDArray[np.bool_]
) -> Floats:
    """Probability of the answer to all spikes, where of `places` (T or 1, H, W) those that are gone
    (K, F), first none, are deleted.
    """
    found = []
    for part in np.split(gone, range(AT_ONCE, len(gone), AT_ONCE)):
        kept = np.ones((len(part), *places.shape), np.bool_)
        kept[:, places] = ~part
        found.append(answer((spikes & kept[:, :, None]).swapaxes(0, 1)))
    return probability_of("timing", np.concatenate(found), len(gone))


def earlier_times_shuffled(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], gamma: float, first: int
) -> Maps:
    """The expected map, (T, H, W), where earlier spikes lie at random; before step `first` the
    layer cannot fire.
    """
    count = spike_count_map(packed, shape)
    (since,) = spike_activation_maps(packed, shape, [0.0])
    decays = np.exp(-gamma * np.arange(1, len(packed) + 1))
    kernel = np.zeros(len(packed))
    for step in range(first + 1, len(packed)):
        kernel[step] = decays[: step - first].mean()
    shuffled: Maps = (count + kernel[:, None, None] * (since - count)).astype(np.float32)
    return shuffled


def all_times_shuffled(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gamma: float,
    first: int,
    random: np.random.Generator,
) -> Maps:
    """SAM of spikes of which each neuron's are put at random steps from `first` on; as above."""
    neurons = int(np.prod(shape))
    bits = np.unpackbits(packed, axis=1, count=neurons)
    bits[first:] = random.permuted(bits[first:], axis=0)
    return spike_activation_maps(np.packbits(bits, axis=1), shape, [gamma])[0]
