"""Relevance among its rivals, and maps without a class: which of them marks what the answer rests on? Not in the paper.

Spikes of a recorded layer, and pixels of the image, are deleted in the order of a map, see :mod:`.faithfulness`. A map
of a sample is given for every recorded layer. Those that speak for a class do so for the predicted one, and are summed
over channels and steps; what speaks against it is left out. Rules that leave a choice, and the map that names no class,
are chosen on images kept aside: the first ones of the recording. The rivals are implemented from their equations.

Temporal spike attribution (TSA) multiplies, along every path from a spike to a class, weights and how recent the spikes
of the path are at the last step T-1; nothing is divided. With the leak β of the layer that reads a spike:

    N[t] = β^(T-1-t)                where a neuron fires
         = 0, or -β^(T-1-t) / n     where it does not, of n neurons ("spikes", or "absent": TSA-S and TSA-NS)
    A_l[t] = N_l[t] · W_{l+1}ᵀ A_{l+1}[t+1],        A_L[t] = N_L[t] · W_out[class] · P(class)

Its authors' networks pass a path at one step; here a layer takes a step, so the next spike of a path is the next
step's. Gains of BNTT are part of the weights.

ε-LRP of a network unrolled in time divides the relevance of every membrane, also where no spike was, and adds ε to the
divisor. In place of the signed rule of :mod:`spikesam.pipeline.maps.relevance`, where (1 - s) stands for reset to zero:

    c[t] = (R[t] + λ v[t] c[t+1]) / (v[t] + ε θ sign(v[t]))

References
----------
Nguyen, Nauta, Englebienne & Seifert 2023, Feature attribution explanations for spiking neural networks,
arXiv:2311.02110. Bach et al. 2015, PLoS ONE 10, e0130140, Eq. 58. Arras et al. 2017, arXiv:1706.07206.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.common.deletion import BY_PLACES, BY_SPIKES, DELETION, INSERTION, RANDOM, pixel_score, upper_network
from paper.common.heatmaps import COUNT, SAM
from paper.common.images import ImageSet
from paper.common.intervals import draw_intervals
from paper.common.result import Claim, Result, better
from paper.common.setup import Setup
from paper.measures.deletion import faithfulness, spike_deletion
from paper.measures.tables import groups, rows, summary
from spikesam.backends.available import make_backend
from spikesam.backends.base import Backend
from spikesam.backends.network import NO_POOLING, Network, NetworkError
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.step import Floats, on_maps
from spikesam.pipeline.maps.answers import Answer, answers_of
from spikesam.pipeline.maps.correlation import spread, unpooled
from spikesam.pipeline.maps.methods.rise import rise
from spikesam.pipeline.maps.relevance import RelevanceLayer, Rule, Spikes, relevance, variance_relevance
from spikesam.pipeline.maps.sam import spike_activation_sum
from spikesam.recordings.raster.batch import pack
from spikesam.recordings.raster.reader import RasterReader

RELEVANCE, SLTRP, EPSILON, TSA, NO_CLASS = "relevance", "SLTRP", "ε-LRP", "TSA", "no class"
PARTS = 8  # of places or pixels; a curve has one point more
TOGETHER = 10  # samples of one entry of the cache
RISE = "RISE"
Absence = Literal["spikes", "absent"]


@dataclass(frozen=True)
class Recorded:
    """One recorded sample."""

    network: Network  # in fixed point
    fired: Sequence[Spikes]  # (T, C, H, W) bool of every layer, the input first
    matter: Sequence[int]  # of every layer, how many first steps can change the answer
    target: int  # the class that was predicted


Maps = Iterable[Floats]  # (h, w) of every layer
MapsOf = Callable[[Recorded], Maps]


def sam(sample: Recorded, gamma: float) -> Maps:
    """SAM, summed over the steps that matter."""
    for fired, matter in zip(sample.fired, sample.matter, strict=True):
        yield spike_activation_sum(pack(fired[:, None])[0], fired.shape[1:], gamma, matter).astype(np.float64)


def spike_count(sample: Recorded) -> Maps:
    """Spikes of each place at the steps that matter."""
    for fired, matter in zip(sample.fired, sample.matter, strict=True):
        yield fired[:matter].sum(axis=(0, 1)).astype(np.float64)


def for_the_answer(rule: Rule) -> MapsOf:
    """Relevance of the predicted class's logit."""
    return lambda sample: _positive(relevance(sample.network, sample.fired, sample.target, rule))


def with_stabiliser(epsilon: float) -> MapsOf:
    """ε-LRP of the predicted class's logit."""
    return lambda sample: _positive(relevance(sample.network, sample.fired, sample.target, stabilised(epsilon)))


def tsa(absence: Absence) -> MapsOf:
    """TSA of the predicted class."""
    return lambda sample: _positive(temporal_spike_attribution(sample.network, sample.fired, sample.target, absence))


def of_the_variance(sample: Recorded) -> Maps:
    """Relevance of the variance over logits: no class is named."""
    return _positive(variance_relevance(sample.network, sample.fired))


def of_all_logits(sample: Recorded) -> Maps:
    """The magnitudes of the relevance of each logit, summed over logits."""
    classes = range(len(sample.network.readout.weight))
    of_classes = zip(*(relevance(sample.network, sample.fired, each) for each in classes), strict=True)
    for of_layer in of_classes:
        yield sum(np.abs(each.sum(axis=(0, 1))) for each in of_layer)


def _positive(found: Sequence[Floats]) -> Iterator[Floats]:
    for each in found:
        yield np.maximum(each.sum(axis=(0, 1)), 0)


CHOICES: Mapping[str, Mapping[str, MapsOf]] = {
    EPSILON: {f"ε-LRP, ε = {epsilon:g} θ": with_stabiliser(epsilon) for epsilon in (0.01, 0.1, 1)},
    TSA: {"TSA-S": tsa("spikes"), "TSA-NS": tsa("absent")},
    NO_CLASS: {"relevance of the variance": of_the_variance, "relevance of all logits": of_all_logits},
}
"""Candidates that are chosen from on images kept aside: kind -> name -> map."""
ALWAYS: Mapping[str, MapsOf] = {
    COUNT: spike_count,
    RELEVANCE: for_the_answer("signed"),
    SLTRP: for_the_answer("positive"),
}


def run(setup: Setup) -> Result:
    """Choose, measure, compare."""
    settings = setup.settings
    images = setup.validation(settings.rivals + settings.apart)
    network = setup.networks.surrogate.network
    with RasterReader(setup.recording(network, images)) as raster:
        return _compared(setup, raster, network, images)


def _compared(setup: Setup, raster: RasterReader, network: Network, images: ImageSet) -> Result:
    """The experiment on a recording, whose first samples are kept aside."""
    settings, fixed, layers = setup.settings, quantise(network), [raster.layers[0].name, *setup.layers(raster)]
    own: dict[str, MapsOf] = {SAM: partial(sam, gamma=settings.gamma), **ALWAYS}
    apart, samples = range(settings.apart), range(settings.apart, raster.n_samples)
    candidates = {name: make for of_kind in CHOICES.values() for name, make in of_kind.items()}
    tried = areas(setup, raster, fixed, layers, apart, own | candidates)
    chosen = {kind: best(tried, list(of_kind)) for kind, of_kind in CHOICES.items()}
    measured = own | {name: candidates[name] for name in chosen.values()}
    found = areas(setup, raster, fixed, layers, samples, measured, images)
    asked = found[:0]
    if settings.rise_images:
        asked = areas(setup, raster, fixed, layers, samples[: settings.rise_images], {}, images, settings.rise_masks)
    seed = settings.seed
    claims = [*against_sam(found, chosen[NO_CLASS], layers, seed), *against_rivals(found, chosen, layers, seed)]
    claims += against_rise(found, asked, layers, seed)
    parts = {"measured": pd.concat([found, asked]), "kept aside": tried}
    every = pd.concat([part.assign(images=which) for which, part in parts.items()])
    every = every[["image", "images", "map", "layer", "measure", "value"]]
    table = summary(every, seed)
    shown = rows(table, images="measured")
    draw(setup.out / "rivals.png", shown, f"{shown['n'].max()} samples")
    notes = [
        f"Chosen on {len(apart)} samples kept aside, by the mean area over layers, spikes deleted by their share: "
        + "; ".join(f"{kind}: {name}" for kind, name in chosen.items())
        + ".",
        f"Spike deletion: lower is better; {PARTS} equal parts of the places. {len(samples)} samples.",
        "Maps of a class are of the class that the network predicts. None needs a label.",
    ]
    if settings.rise_images:
        of = min(len(samples), settings.rise_images)
        notes.append(f"RISE: {settings.rise_masks:,} masks, of the first {of} samples.")
    title, digests = "Rivals: relevance, its rivals, and maps without a class", {"surrogate": network.sha256}
    return Result(title, table, claims, notes, every, networks=digests)


def best(tried: pd.DataFrame, names: Sequence[str]) -> str:
    """The map with the lowest mean area, over layers and images, by the share of spikes deleted."""
    means = rows(tried, measure=BY_SPIKES).groupby("map")["value"].mean()
    return min(names, key=means.__getitem__)


def against_sam(found: pd.DataFrame, name: str, layers: Sequence[str], seed: int) -> Iterator[Claim]:
    """The map without a class against SAM, the count of spikes, and relevance of the answer, in every layer."""
    for layer in layers:
        of_layer = rows(found, layer=layer, measure=BY_SPIKES)
        for rival in (SAM, COUNT, RELEVANCE):
            both = {each: rows(of_layer, map=each) for each in (name, rival)}
            yield better(f"in {layer}: {name}: better spike deletion than {rival}", both, seed)


def against_rivals(found: pd.DataFrame, chosen: Mapping[str, str], layers: Sequence[str], seed: int) -> Iterator[Claim]:
    """Relevance against its rivals and SAM: of spikes in every layer, and of pixels by the map of the input."""
    rivals = [SAM, SLTRP, chosen[EPSILON], chosen[TSA], RANDOM]
    tests = [(layer, BY_SPIKES, "") for layer in layers]
    if len(rows(found, measure=DELETION)):
        tests.append(("", DELETION, f" {layers[0]}"))
    for layer, measure, suffix in tests:
        of_layer = rows(found, layer=layer, measure=measure)
        for rival in rivals:
            other = rival if rival == RANDOM else f"{rival}{suffix}"
            both = {RELEVANCE: rows(of_layer, map=f"{RELEVANCE}{suffix}"), rival: rows(of_layer, map=other)}
            where = f"in {layer}: " if layer else "pixels: "
            what = "spike deletion" if layer else "deletion"
            yield better(f"{where}{RELEVANCE}: better {what} than {rival}", both, seed)


def against_rise(found: pd.DataFrame, asked: pd.DataFrame, layers: Sequence[str], seed: int) -> Iterator[Claim]:
    """Relevance against RISE, on the images that RISE was asked of."""
    known = found[found["image"].isin(asked["image"].unique())]
    for (layer, measure), of_rise in groups(asked, ["layer", "measure"]):
        if measure not in (BY_SPIKES, DELETION):
            continue
        suffix, where = ("", f"in {layer}: ") if layer else (f" {layers[0]}", "pixels: ")
        own = rows(known, layer=layer, measure=measure, map=f"{RELEVANCE}{suffix}")
        what = f"{where}{RELEVANCE}: better {'spike deletion' if layer else 'deletion'} than {RISE}"
        yield better(what, {RELEVANCE: own, RISE: of_rise}, seed)


def draw(path: Path, table: pd.DataFrame, of: str) -> None:
    """Areas of all maps, layer by layer, by the share of spikes deleted."""
    points = rows(table, measure=BY_SPIKES)
    columns = [f"spikes of {layer}" for layer in points["layer"]]
    methods = [f"{name}, n = {n}" if name == RISE else name for name, n in zip(points["map"], points["n"], strict=True)]
    points = points.assign(row="area, lower is better", column=columns, method=methods, series="")
    about = f"answer's probability over the share of spikes deleted; mean of {of}, 95 % interval"
    draw_intervals(path, "Which map marks the spikes that the answer rests on?", about, points)


def areas(
    setup: Setup,
    raster: RasterReader,
    network: Network,
    layers: Sequence[str],  # whose spikes are deleted, the input among them
    samples: range,
    maps: Mapping[str, MapsOf],
    images: ImageSet | None = None,  # whose pixels are deleted by maps of the input, and by SAM of the last layer
    masks: int = 0,  # of RISE, in place of all maps and the random order
) -> pd.DataFrame:
    """The area under every curve of every map, and of a random order: image, map, layer, measure, value.

    The layer is "" of pixels, where the map's name ends with the layer that it is of.
    """
    about = {
        "network": network.sha256,
        "layers": list(layers),
        "maps": list(maps),
        "gamma": setup.settings.gamma,
        "parts": PARTS,
        "pixels": images is not None,
        "masks": masks,
        "seed": setup.settings.seed,
    }
    digests, parts = raster.digests(layers[-1]), []
    deleter = _Deleter(setup, raster, network, layers, maps, images, masks)
    with setup.progress("deletion", len(samples)) as advance:
        for start in range(samples.start, samples.stop, TOGETHER):
            chosen = range(start, min(start + TOGETHER, samples.stop))
            inputs = {**about, "samples": list(chosen), "spikes": [digests[number].decode() for number in chosen]}
            stored = setup.cache.arrays("rivals", inputs, partial(deleter.of_samples, chosen, advance))
            for key, values in stored.items():
                layer, measure, name = key.split("|")
                about_map = {"map": name, "layer": layer, "measure": measure}
                parts.append(pd.DataFrame({"image": chosen, **about_map, "value": values}))
    return pd.concat(parts, ignore_index=True)


class _Deleter:
    """Deletes spikes and pixels of the samples of a raster, see :func:`areas`."""

    def __init__(
        self,
        setup: Setup,
        raster: RasterReader,
        network: Network,
        layers: Sequence[str],
        maps: Mapping[str, MapsOf],
        images: ImageSet | None,
        masks: int,
    ) -> None:
        self.raster, self.network, self.layers, self.maps = raster, network, layers, maps
        self.images, self.masks, self.seed = images, masks, setup.settings.seed
        self.device = setup.settings.device

    @cached_property
    def backend(self) -> Backend:
        """Simulates; made when something is not found in the cache."""
        return make_backend("auto", self.device)

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """Of the network behind each layer."""
        return {layer: answers_of(upper_network(self.network, layer), self.backend) for layer in self.layers}

    def of_samples(self, chosen: range, advance: Callable[[int], None]) -> dict[str, NDArray[Any]]:
        """ "layer|measure|map" -> areas of the samples."""
        found: dict[str, list[float]] = {}
        for number in chosen:
            for key, value in self._of_sample(number):
                found.setdefault(key, []).append(value)
            advance(1)
        return {key: np.array(values) for key, values in found.items()}

    def _of_sample(self, number: int) -> Iterator[tuple[str, float]]:
        raster, names = self.raster, list(self.raster)
        fired = {name: raster[name][number] for name in names}
        if self.masks:
            asked = rise(self.network, fired[names[0]][:, None], self.seed, self.masks)[1][0]
            found: dict[str, dict[str, Floats]] = {RISE: dict.fromkeys(names, asked.astype(np.float64))}
        else:
            matter = [raster.steps_that_matter(name) for name in names]
            sample = Recorded(self.network, list(fired.values()), matter, int(raster.predictions[number]))
            found = {name: dict(zip(names, make(sample), strict=True)) for name, make in self.maps.items()}
            found[RANDOM] = {name: np.zeros(each.shape[2:]) for name, each in fired.items()}  # ties, in a random order
        options = {"steps": PARTS, "seed": self.seed + number}
        for layer in self.layers:
            for name, of_layers in found.items():
                curve = spike_deletion(self.answers[layer], fired[layer], of_layers[layer], **options)
                yield f"{layer}|{BY_PLACES}|{name}", _area(curve.probability, curve.places)
                yield f"{layer}|{BY_SPIKES}|{name}", _area(curve.probability, curve.spikes)
        if self.images is None:
            return
        score = pixel_score(self.network, self.images, number, self.seed, self.backend)
        first, last = self.layers[0], self.layers[-1]
        of_input = {name: name if name in (RANDOM, RISE) else f"{name} {first}" for name in found}
        shown = {of_input[name]: of_layers[first] for name, of_layers in found.items()}
        if not self.masks:
            shown[f"{SAM} {last}"] = found[SAM][last]
        for name, each in shown.items():
            pixels = faithfulness(score, self.images.pixels[number], each, **options)
            yield f"|{DELETION}|{name}", _area(pixels.deletion, pixels.fractions)
            yield f"|{INSERTION}|{name}", _area(pixels.insertion, pixels.fractions)


def _area(values: Floats, over: Floats) -> float:
    return float(trapezoid(values, over))


def temporal_spike_attribution(
    network: Network, spikes: Sequence[Spikes], target: int, absence: Absence = "spikes"
) -> list[Floats]:
    """TSA for one class, without the factor P(class): float64 of the shape of each of `spikes`, (T, C, H, W) bool."""
    network.check_chain("TSA")
    inputs = [layer.inputs[0] for layer in network.layers]
    if any(each.pooling == "max" or each.windows != NO_POOLING for each in inputs):
        raise NetworkError("TSA: got a layer with maximum pooling, expected averages")
    leaks = [*(layer.spiking_neuron.leak for layer in network.layers), network.readout.leak]
    if any(np.ndim(leak) for leak in leaks):
        raise NetworkError("TSA: got leaks that differ by channel, expected one for each layer")
    recent = [_recent(fired, float(leak), absence) for fired, leak in zip(spikes, leaks, strict=True)]
    found = [np.zeros(each.shape) for each in spikes]
    depth, timesteps = len(network.layers), network.timesteps
    row = network.readout.weight[target].reshape(spikes[-1].shape[1:])
    for start in range(timesteps - depth):
        found[-1][start + depth] = recent[-1][start + depth] * row
        for number in range(depth - 1, -1, -1):
            each, step = inputs[number], start + number
            weight = each.averaged_weight.astype(np.float64)
            gains = np.asarray(each.gain * 2.0**-each.shift, np.float64)[..., None, None]
            values = found[number + 1][step + 1] * gains[step % len(gains)]
            everywhere = np.ones(spikes[number].shape[1:])
            y, x = np.broadcast_to(each.pool, 2)
            channels, height, width = everywhere.shape
            above = spread(each, weight, values, (channels, height // y, width // x))
            found[number][step] = recent[number][step] * unpooled(each, everywhere, above)
    return found


def _recent(fired: Spikes, leak: float, absence: Absence) -> Floats:
    """N (T, C, H, W)."""
    decay = leak ** np.arange(len(fired) - 1, -1, -1.0)[:, None, None, None]
    silent = 0.0 if absence == "spikes" else -1 / fired[0].size
    found: Floats = np.where(fired, 1.0, silent) * decay
    return found


def stabilised(epsilon: float) -> type[RelevanceLayer]:
    """ε-LRP, ε > 0 in thresholds, as a rule of :func:`spikesam.pipeline.maps.relevance.relevance`."""

    class StabilisedShares(RelevanceLayer):
        """Shares of the membrane of every step, each less what the stabiliser takes."""

        def share(self, t: int, relevance: Floats) -> Floats:
            """c[t]."""
            membrane = self.membrane[t]
            stabiliser = epsilon * on_maps(self.neuron.threshold) * np.where(membrane < 0, -1, 1)
            passed = relevance + self.left(t) * membrane * self.per_membrane
            return self.note(t, passed / (membrane + stabiliser))

    return StabilisedShares
