"""Does the network use what a map marks? Deletion and insertion of pixels, and deletion of spikes; not in the paper.

Pixels are deleted from the image, or inserted into a blurred one, in the order of a map (Petsiuk et al. 2018); the
network's probability of its own answer should fall fast, or rise fast. Spikes are deleted from a recorded layer, which
needs no image that stands for nothing. The network is the fixed-point one; one set of random numbers drives it for
every version of an image. Maps are summed over the steps that can still change the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from paper.common.baselines import COUNT, GAUSSIAN, RULES, SAM, SNN_GRAD_CAM
from paper.common.claims import Claim, judged, over_family, with_interval
from paper.common.deletion_curves import BY_SPIKES, DELETION, INSERTION, RANDOM, curves, label
from paper.common.result import Result
from paper.common.setup import Setup
from paper.measures.tables import difference, groups, measured_over_steps, rows, summary, values
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.drawing.canvas import GREY, PALETTE
from spikesam.pipeline.drawing.curves import draw_curves
from spikesam.pipeline.measures.statistics import Estimate
from spikesam.recordings.raster.reader import RasterReader

FRONT = dict(zip((SAM, COUNT, SNN_GRAD_CAM, "relevance", RANDOM), PALETTE, strict=False))  # map -> colour
OTHERS = "other maps"


def run(setup: Setup) -> Result:
    """Delete, insert, and compare the areas under the curves."""
    images, network = setup.images.take(setup.settings.curves), setup.networks.surrogate.network
    with RasterReader(setup.recording(network, images)) as raster:
        layers = [*([raster.layers[0].name] if network.spiking_input else []), *setup.layers(raster)]
        found = curves(setup, images, raster, quantise(network), layers)
    conditions, seed = ["image", "map", "layer", "measure"], setup.settings.seed
    areas = found.groupby(conditions, sort=False)[["share", "value"]].apply(
        lambda curve: trapezoid(curve["value"], curve["share"])
    )
    areas = areas.rename("value").reset_index()
    draw_pixels(setup, found, layers)
    draw_spikes(setup, found, layers)
    claims = [*against_chance(areas, seed), *against_baselines(areas, layers, seed)]
    notes = (
        losses(claims, len(images)),
        "Deletion: lower is better; insertion: higher is better. Deleted pixels become the mean colour; insertion "
        "starts from a blurred image.",
        "Deleted spikes are those of a layer, with all channels and steps of a place, in the order of a map; the rest "
        "is passed on through the layers behind. By places: over the share of places deleted; by spikes: over the "
        "share of spikes, where a map does not win by marking places with many. Of Poisson input, deletion by places "
        "is that of pixels: the mean colour has no spikes.",
    )
    return Result("Faithfulness: does the network use what a map marks?", summary(areas, seed), claims, notes, areas)


def gain(areas: pd.DataFrame, name: str, baseline: str, layer: str, measure: str, seed: int) -> tuple[str, Estimate]:
    """By how much a map is better than another: both means as text, and the difference. Insertion alone is to rise."""
    own, other = (rows(areas, map=each, layer=layer, measure=measure) for each in (name, baseline))
    better = difference(own, other, seed) if measure == INSERTION else difference(other, own, seed)
    return f"{name} {values(own).mean():.3g}, {baseline} {values(other).mean():.3g}", better


def against_chance(areas: pd.DataFrame, seed: int) -> Iterator[Claim]:
    """Every map against a random order and a Gaussian at the centre, by pixels."""
    for name in rows(areas, layer="")["map"].unique():
        for baseline in (RANDOM, GAUSSIAN):
            if name in (RANDOM, baseline):
                continue
            for measure in (DELETION, INSERTION):
                means, better = gain(areas, name, baseline, "", measure, seed)
                what = f"{name}: better {measure.removesuffix(' area')} than {baseline}"
                yield judged(what, "–", f"{means}; better by {with_interval(better)}", better)


def against_baselines(areas: pd.DataFrame, layers: Sequence[str], seed: int) -> Iterator[Claim]:
    """SAM against every other map: of the last layer by pixels, of each layer by its spikes."""
    tests = [("", DELETION), ("", INSERTION), *((layer, BY_SPIKES) for layer in layers)]
    for layer, measure in tests:
        name = label(SAM, layer or layers[-1])
        for baseline in rows(areas, layer=layer, measure=measure)["map"].unique():
            if baseline.startswith(SAM) or (not layer and baseline in (RANDOM, GAUSSIAN)):
                continue
            means, better = gain(areas, name, baseline, layer, measure, seed)
            where = f"in {layer}: " if layer else ""
            what = f"{where}{name}: better {measure.replace(' area', '')} than {baseline}"
            yield judged(what, "–", f"{means}; better by {with_interval(better)}", better)


def losses(claims: Sequence[Claim], images: int) -> str:
    """Where SAM loses, in one sentence; the claims are judged together."""
    lost: dict[str, list[str]] = {}
    for claim in over_family(claims):
        what, _, baseline = claim.what.rpartition(" than ")
        if claim.same == "no" and SAM in what:
            lost.setdefault(what.replace(": better", ","), []).append(baseline)
    if not lost:
        return f"SAM loses to no other map ({images} images)."
    return f"SAM loses ({images} images). " + " ".join(
        f"{what[:1].upper()}{what[1:]}: to {', '.join(baselines)}." for what, baselines in lost.items()
    )


def draw_pixels(setup: Setup, found: pd.DataFrame, layers: Sequence[str]) -> None:
    """Deletion and insertion, mean over images: SAM and relevance of one layer each, and every other map."""
    hidden = [label(SAM, layer) for layer in layers[:-1]] + [label(name, layers[0]) for name in RULES]
    shown = rows(found, layer="")
    shown = shown[~shown["map"].isin(hidden)]
    points = shown.groupby(["measure", "map", "share"], sort=False)["value"].mean().reset_index()
    panels = {DELETION: "deletion (lower is better)", INSERTION: "insertion (higher is better)"}
    points = points.assign(panel=points["measure"].map(panels))
    subtitle = f"mean of {found['image'].nunique()} images; pixels in the order of each map"
    title, axes = "Does the network use what a map marks?", ("share of the pixels", "probability of the answer")
    draw(setup.out / "faithfulness.png", title, subtitle, points, *axes)


def draw_spikes(setup: Setup, found: pd.DataFrame, layers: Sequence[str]) -> None:
    """Deletion of spikes over their share, a panel per layer: five maps with intervals, all others thin behind them."""
    shares, parts, order = np.linspace(0, 1, 17), [], [*FRONT, OTHERS]
    of_layers = {label(name, layer): name for name in (SAM, COUNT, SNN_GRAD_CAM, *RULES) for layer in layers}
    for (layer, name), of_map in groups(rows(found, measure=BY_SPIKES), ["layer", "map"]):
        of_images = [np.interp(shares, each["share"], each["value"]) for _, each in of_map.groupby("image")]
        shown = of_layers.get(name, name)
        curve, faint, colour = (shown, "", FRONT[shown]) if shown in FRONT else (OTHERS, name, GREY)
        points = summary(measured_over_steps(np.array(of_images))).assign(panel=f"spikes of {layer}", x=shares)
        parts.append(points.assign(curve=curve, faint=faint, colour=colour))
    points = pd.concat(sorted(parts, key=lambda part: order.index(part["curve"].iloc[0])))
    about = "and 95 % interval; places in the order of each map; lower is better"
    title, axes = "Does the answer rest on the spikes that a map marks?", ("share of the spikes deleted", "probability")
    subtitle = f"mean of {found['image'].nunique()} images {about}"
    draw_curves(setup.out / "faithfulness_spikes.png", title, subtitle, points, *axes)


def draw(path: Path, title: str, subtitle: str, points: pd.DataFrame, x: str, y: str) -> None:
    """A curve per map, dashed where there are no more colours."""
    names = list(points["map"].unique())
    styles = ["-" if names.index(name) < len(PALETTE) else "--" for name in points["map"]]
    points = points.rename(columns={"map": "curve", "share": "x", "value": "mean"}).assign(style=styles)
    draw_curves(path, title, subtitle, points, x, y)
