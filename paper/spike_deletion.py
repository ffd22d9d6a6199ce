"""Beyond the paper: which map marks the spikes that the answer rests on? Spikes of a layer are
deleted in its order.

Of a recorded layer all channels and steps of a place go, places in the order of a map, in parts of
equal spikes: so a map does not win by marking places that fire often, and no part of a curve holds
most of them. A curve is shown over the share of spikes that are gone, and over that of places; the
area under the answer's probability is measured, so lower is better. The network behind the layer
answers in fixed point; the input is a layer, too.

Maps of a sample are summed over channels and the steps that can change the answer. Those that speak
for a class do so for the predicted one, and what speaks against it is left out. Beside SAM, the
spike count and relevance stand

* relevance of the variance over logits, which names no class;
* ε-LRP of the network unrolled in time, which divides the relevance of every membrane, also where
  no spike was, and adds ε to the divisor. In place of the signed rule of
  :mod:`spikesam.pipeline.maps.relevance`, where (1 - s) stands for reset to zero:

    c[t] = (R[t] + λ v[t] c[t+1]) / (v[t] + ε θ sign(v[t]))

* a cheap rival that asks no network: each spike counts Σ |w| · gain of the weights that it reaches
  in the next layer;
* a random order.

References
----------
Bach et al. 2015, PLoS ONE 10, e0130140, Eq. 58. Arras et al. 2017, arXiv:1706.07206.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.common.deletion import BY_PLACES, BY_SPIKES, RANDOM, upper_network
from paper.common.heatmaps import COUNT, SAM, convolutions
from paper.common.intervals import draw_intervals
from paper.common.result import Result, better
from paper.common.setup import Setup
from paper.measures.deletion import spike_deletion
from paper.measures.tables import rows, summary
from spikesam import Conv, Dense, Network, RasterReader, quantise
from spikesam.errors import at
from spikesam.maps import (
    Answering,
    RelevanceLayer,
    answers_of,
    relevance,
    spike_activation_sum,
    variance_relevance,
)
from spikesam.simulators import make_backend

RELEVANCE, VARIANCE, WEIGHTED = "relevance", "relevance of the variance", "count × outgoing weights"
EPSILON = 0.01  # in thresholds; of 0.01, 0.1 and 1 the best on samples of three of four networks
LRP = f"ε-LRP, ε = {EPSILON:g} θ"
PARTS = 16  # of the spikes; a curve has a point more for places without
TOGETHER = 10  # samples of one entry of the cache
PAIRS = (
    *((name, SAM) for name in (RELEVANCE, VARIANCE, COUNT, WEIGHTED)),
    *((RELEVANCE, name) for name in (VARIANCE, LRP, WEIGHTED)),
    *((name, RANDOM) for name in (SAM, RELEVANCE)),
)
"""Claims: the first deletes better than the second."""
AXES = {"spikes": BY_SPIKES, "places": BY_PLACES}


@dataclass(frozen=True)
class Recorded:
    """One recorded sample."""

    network: Network  # in fixed point
    fired: Sequence[NDArray[np.bool_]]  # (T, C, H, W) bool of every layer, the input first
    matter: Sequence[int]  # of every layer, how many first steps can change the answer
    target: int  # the class that was predicted


Floats = NDArray[np.float64]
MapsOf = Callable[[Recorded], Iterable[Floats]]  # (h, w) of every layer


def sam(sample: Recorded, gamma: float) -> Iterator[Floats]:
    """SAM, summed over the steps that matter."""
    for fired, matter in zip(sample.fired, sample.matter, strict=True):
        packed = np.packbits(fired.reshape(len(fired), -1), axis=1)
        yield spike_activation_sum(packed, fired.shape[1:], gamma, matter).astype(np.float64)


def spike_count(sample: Recorded) -> Iterator[Floats]:
    """Spikes of each place at the steps that matter."""
    for fired, matter in zip(sample.fired, sample.matter, strict=True):
        yield fired[:matter].sum(axis=(0, 1)).astype(np.float64)


def weighted_count(sample: Recorded) -> Iterator[Floats]:
    """The same, each spike by the magnitudes of the weights that it reaches,
    at its step's gains.
    """
    for number, (fired, matter) in enumerate(zip(sample.fired, sample.matter, strict=True)):
        outgoing = outgoing_weights(sample.network, number, fired.shape[1:])
        yield sum(fired[step] * outgoing[step % len(outgoing)] for step in range(matter)).sum(
            axis=0
        )


def outgoing_weights(network: Network, number: int, shape: tuple[int, ...]) -> list[Floats]:
    """Σ |w| · gain over all that a spike of a recorded layer (C, H, W) reaches in the next layer,
    for each gain.
    """
    with at("outgoing weights"):
        network.check_chain()
    number += network.first_raster
    if number == len(network.layers):
        return [np.abs(network.readout.weight.astype(np.float64)).sum(axis=0).reshape(shape)]
    each, above = network.layers[number].inputs[0], np.ones(network.shapes[number + 1])
    synapse, (channels, height, width) = each.synapse, shape
    assert isinstance(synapse, (Conv, Dense))
    weight = np.abs(synapse.averaged_weight.astype(np.float64))
    y, x = np.broadcast_to(synapse.pool, 2).tolist()
    gains = np.abs(np.asarray(each.gain * 2.0**-each.shift, np.float64))[..., None, None]
    behind = (
        synapse.transposed(weight, above * gain, (channels, height // y, width // x))
        for gain in gains
    )
    spikes_in_share = y * x if synapse.pooling == "max" else 1  # which share what a window gets
    return [(values / spikes_in_share).repeat(y, axis=1).repeat(x, axis=2) for values in behind]


def for_the_answer(rule: Any) -> MapsOf:
    """Relevance of the predicted class's logit, by a rule."""
    return lambda sample: _positive(relevance(sample.network, sample.fired, sample.target, rule))


def of_the_variance(sample: Recorded) -> Iterator[Floats]:
    """Relevance of the variance over logits: no class is named."""
    return _positive(variance_relevance(sample.network, sample.fired))


def _positive(found: Sequence[Floats]) -> Iterator[Floats]:
    for each in found:
        yield np.maximum(each.sum(axis=(0, 1)), 0)


def stabilised(epsilon: float) -> type[RelevanceLayer]:
    """ε-LRP, ε > 0 in thresholds, as a rule of :func:`spikesam.maps.relevance`."""

    class StabilisedShares(RelevanceLayer):
        """Shares of the membrane of every step, each less what the stabiliser takes."""

        def share(self, t: int, relevance: Floats) -> Floats:
            """c[t]."""
            membrane = self.membrane[t]
            threshold = np.reshape(self.neuron.threshold, (-1, 1, 1))
            stabiliser = epsilon * threshold * np.where(membrane < 0, -1, 1)
            passed = relevance + self.left(t) * membrane * self.per_membrane
            return self.note(t, passed / (membrane + stabiliser))

    return StabilisedShares


def maps_of(gamma: float) -> Mapping[str, MapsOf]:
    """Every map, by name."""
    return {
        SAM: partial(sam, gamma=gamma),
        COUNT: spike_count,
        RELEVANCE: for_the_answer("signed"),
        VARIANCE: of_the_variance,
        LRP: for_the_answer(stabilised(EPSILON)),
        WEIGHTED: weighted_count,
    }


def run(setup: Setup) -> Result:
    """Measure and compare."""
    samples, network = setup.samples(setup.settings.deletion), setup.networks.surrogate.network
    with RasterReader(setup.recording(network, samples)) as raster:
        layers = setup.layers(raster) if setup.settings.layers else convolutions(raster)
        found = areas(setup, raster, quantise(network), [raster.layers[0].name, *layers])
    table = summary(found, setup.settings.seed)
    about = f"{len(samples)} samples"
    draw(setup.out / "spike_deletion.png", table, about)
    claims = [better(what, both, setup.settings.seed) for what, both in compared_maps(found)]
    title, digests = (
        "Which map marks the spikes that the answer rests on?",
        {"surrogate": network.sha256},
    )
    return Result(title, table, claims, notes(about), found, samples=samples.name, networks=digests)


def notes(about: str) -> list[str]:
    """Sentences beside the numbers."""
    return [
        "Areas under the probability of the answer as spikes of a layer are deleted: lower is "
        f"better. {about}; places "
        f"go in {PARTS} parts of equal spikes.",
        "Maps of a class are of the class that the network predicts. None needs a label.",
    ]


def compared_maps(found: pd.DataFrame) -> Iterator[tuple[str, dict[str, pd.DataFrame]]]:
    """What is claimed, and the areas of both maps, the better one first; in every layer, over
    either share.
    """
    for layer in found["layer"].unique():
        for axis, measure in AXES.items():
            of_layer = rows(found, layer=layer, measure=measure)
            for name, rival in PAIRS:
                both = {each: rows(of_layer, map=each) for each in (name, rival)}
                yield f"in {layer}, by {axis}: {name} deletes better than {rival}", both


def draw(path: Path, table: pd.DataFrame, about: str) -> None:
    """Areas of all maps, layer by layer, a colour for the share of spikes and one for that of
    places.
    """
    told = {measure: f"over {axis}" for axis, measure in AXES.items()}
    layers = "spikes of " + table["layer"]
    points = table.assign(
        row="area", column=layers, method=table["map"], series=table["measure"].map(told)
    )
    subtitle = (
        "answer's probability over the share of what is deleted; lower is better; "
        f"mean of {about}, 95 % interval"
    )
    draw_intervals(path, "Which map marks the spikes that the answer rests on?", subtitle, points)


def areas(
    setup: Setup, raster: RasterReader, network: Network, layers: Sequence[str]
) -> pd.DataFrame:
    """The area under every curve of every map, and of a random order: image, map, layer, measure,
    value; cached.
    """
    gamma, seed, digests, parts = (
        setup.settings.gamma,
        setup.settings.seed,
        raster.digests(layers[-1]),
        [],
    )
    maps, names = maps_of(gamma), list(raster)
    matter = [raster.steps_that_matter(name) for name in names]

    @cache
    def answers() -> dict[str, Answering]:
        """Of the network behind each layer; made when something is not found in the cache."""
        backend = make_backend("auto", setup.settings.device)
        return {layer: answers_of(upper_network(network, layer), backend) for layer in layers}

    def of_samples(chosen: range) -> dict[str, NDArray[Any]]:
        """ "layer|measure|map" -> areas of the samples."""
        found: dict[str, list[float]] = {}
        for number in chosen:
            fired = {name: raster[name][number] for name in names}
            sample = Recorded(
                network, list(fired.values()), matter, int(raster.predictions[number])
            )
            made = {
                name: dict(zip(names, make(sample), strict=True)) for name, make in maps.items()
            }
            made[RANDOM] = {
                name: np.zeros(each.shape[2:]) for name, each in fired.items()
            }  # ties, in a random order
            for layer, (name, of_layers) in product(layers, made.items()):
                curve = spike_deletion(
                    answers()[layer],
                    fired[layer],
                    of_layers[layer],
                    steps=PARTS,
                    seed=seed + number,
                    equal="spikes",
                )
                for measure, shares in ((BY_SPIKES, curve.spikes), (BY_PLACES, curve.places)):
                    area = float(trapezoid(curve.probability, shares))
                    found.setdefault(f"{layer}|{measure}|{name}", []).append(area)
        return {key: np.array(values) for key, values in found.items()}

    about = {
        "network": network.sha256,
        "layers": list(layers),
        "maps": list(maps),
        "gamma": gamma,
        "parts": PARTS,
        "seed": seed,
    }
    with setup.progress("deletion", raster.n_samples) as advance:
        for start in range(0, raster.n_samples, TOGETHER):
            chosen = range(start, min(start + TOGETHER, raster.n_samples))
            inputs = {
                **about,
                "samples": list(chosen),
                "spikes": [digests[number].decode() for number in chosen],
            }
            stored = setup.cache.arrays("spike-deletion", inputs, partial(of_samples, chosen))
            advance(len(chosen))
            for key, values in stored.items():
                layer, measure, name = key.split("|")
                about_map = {"map": name, "layer": layer, "measure": measure}
                parts.append(pd.DataFrame({"image": chosen, **about_map, "value": values}))
    return pd.concat(parts, ignore_index=True)
