"""Relevance among its rivals, and maps without a class: which of them marks what the answer rests on? Not in the paper.

Spikes of a recorded layer, and pixels of the image, are deleted in the order of a map, see :mod:`.faithfulness`. The
rivals are implemented from their equations, see :mod:`.common.rival_maps`. Rules that leave a choice, and the map that
names no class, are chosen on images kept aside: the first ones of the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from paper.common.baselines import COUNT, SAM
from paper.common.claims import Claim, judged, with_interval
from paper.common.deletion_curves import BY_SPIKES, DELETION, RANDOM
from paper.common.images import ImageSet
from paper.common.intervals import draw_intervals
from paper.common.result import Result
from paper.common.rival_curves import (
    PARTS,
    RISE,
    MapsOf,
    areas,
    for_the_answer,
    of_all_logits,
    of_the_variance,
    sam,
    spike_count,
    tsa,
    with_stabiliser,
)
from paper.common.setup import Setup
from paper.measures.tables import difference, groups, rows, summary, values
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.raster.reader import RasterReader

RELEVANCE, SLTRP, EPSILON, TSA, NO_CLASS = "relevance", "SLTRP", "ε-LRP", "TSA", "no class"
CHOICES: Mapping[str, Mapping[str, MapsOf]] = {
    EPSILON: {f"ε-LRP, ε = {epsilon:g} θ": with_stabiliser(epsilon) for epsilon in (0.01, 0.1, 1)},
    TSA: {"TSA-S": tsa("spikes"), "TSA-NS": tsa("absent")},
    NO_CLASS: {"relevance of the variance": of_the_variance, "relevance of all logits": of_all_logits},
}
"""What is chosen from on images kept aside: kind -> name -> map."""
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


def better(own: pd.DataFrame, other: pd.DataFrame, what: str, names: tuple[str, str], seed: int) -> Claim:
    """The claim that the first of two maps has the smaller area, image by image."""
    gain = difference(other, own, seed)
    means = ", ".join(f"{name} {values(each).mean():.3g}" for name, each in zip(names, (own, other), strict=True))
    return judged(what, "–", f"{means}; better by {with_interval(gain)}", gain)


def against_sam(found: pd.DataFrame, name: str, layers: Sequence[str], seed: int) -> Iterator[Claim]:
    """The map without a class against SAM, the count of spikes, and relevance of the answer, in every layer."""
    for layer in layers:
        of_layer = rows(found, layer=layer, measure=BY_SPIKES)
        for rival in (SAM, COUNT, RELEVANCE):
            both = rows(of_layer, map=name), rows(of_layer, map=rival)
            yield better(*both, f"in {layer}: {name}: better spike deletion than {rival}", (name, rival), seed)


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
            both = rows(of_layer, map=f"{RELEVANCE}{suffix}"), rows(of_layer, map=other)
            where = f"in {layer}: " if layer else "pixels: "
            what = "spike deletion" if layer else "deletion"
            yield better(*both, f"{where}{RELEVANCE}: better {what} than {rival}", (RELEVANCE, rival), seed)


def against_rise(found: pd.DataFrame, asked: pd.DataFrame, layers: Sequence[str], seed: int) -> Iterator[Claim]:
    """Relevance against RISE, on the images that RISE was asked of."""
    known = found[found["image"].isin(asked["image"].unique())]
    for (layer, measure), of_rise in groups(asked, ["layer", "measure"]):
        if measure not in (BY_SPIKES, DELETION):
            continue
        suffix, where = ("", f"in {layer}: ") if layer else (f" {layers[0]}", "pixels: ")
        own = rows(known, layer=layer, measure=measure, map=f"{RELEVANCE}{suffix}")
        what = f"{where}{RELEVANCE}: better {'spike deletion' if layer else 'deletion'} than {RISE}"
        yield better(own, of_rise, what, (RELEVANCE, RISE), seed)


def draw(path: Path, table: pd.DataFrame, of: str) -> None:
    """Areas of all maps, layer by layer, by the share of spikes deleted."""
    points = rows(table, measure=BY_SPIKES)
    columns = [f"spikes of {layer}" for layer in points["layer"]]
    methods = [f"{name}, n = {n}" if name == RISE else name for name, n in zip(points["map"], points["n"], strict=True)]
    points = points.assign(row="area, lower is better", column=columns, method=methods, series="")
    about = f"answer's probability over the share of spikes deleted; mean of {of}, 95 % interval"
    draw_intervals(path, "Which map marks the spikes that the answer rests on?", about, points)
