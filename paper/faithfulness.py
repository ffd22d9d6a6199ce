"""Does the network use what a map marks? Deletion and insertion of pixels, and deletion of spikes;
not in the paper.

Pixels are deleted from the image, or inserted into a blurred one, in the order of a map (Petsiuk et
al. 2018); the network's probability of its own answer should fall fast, or rise fast. Spikes are
deleted from a recorded layer, which needs no image that stands for nothing. The network is the
fixed-point one; one set of random numbers drives it for every version of an image. Maps are summed
over the steps that can still change the answer. All that speak for a class do so for the one that
the recorded network predicts; attributions of the input, for the one that its float32 version
predicts, which is nearly always the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.common.ann import reference_maps
from paper.common.deletion import (
    BY_PLACES,
    BY_SPIKES,
    DELETION,
    INSERTION,
    RANDOM,
    Floats,
    pixel_score,
    upper_network,
)
from paper.common.heatmaps import COUNT, SAM, SNN_GRAD_CAM, count_maps, sam_maps, snn_grad_cams
from paper.common.images import ImageSet
from paper.common.result import Claim, Result, better, over_family
from paper.common.setup import Setup
from paper.measures.deletion import faithfulness, random_orders, spike_deletion
from paper.measures.tables import groups, measured_over_steps, rows, summary
from spikesam import Network, RasterReader, quantise
from spikesam.figures import GREY, PALETTE, draw_curves
from spikesam.gradients import DifferentiableNetwork
from spikesam.maps import InputMethod, Signs, answers_of, methods, relevance
from spikesam.measures import centred_gaussian
from spikesam.simulators import make_backend

ANN_GRAD_CAM, GAUSSIAN, BRIGHTNESS = "Grad-CAM of the ANN", "centred Gaussian", "brightness"
ATTRIBUTIONS = ("gradient-x-input", "integrated-gradients", "occlusion", "rise")
RULES: dict[str, Signs] = {"relevance": "signed", "SLTRP": "positive"}
Heatmaps = dict[
    tuple[str, str], NDArray[np.floating[Any]]
]  # map, and its layer, "" of a map of the image -> (h, w)
ORDERS = 3  # random orders of each image
PIXELS = "pixels"
CURVES = {
    True: {DELETION: (0, 1), INSERTION: (0, 2)},
    False: {BY_PLACES: (0, 2), BY_SPIKES: (1, 2)},
}
"""Of pixels, or else spikes: what the area under a curve is, and the rows of its shares and its
probabilities.
"""
FRONT = dict(
    zip((SAM, COUNT, SNN_GRAD_CAM, "relevance", RANDOM), PALETTE, strict=False)
)  # map -> colour
OTHERS = "other maps"


def run(setup: Setup) -> Result:
    """Delete, insert, and compare the areas under the curves."""
    images, network = setup.images.take(setup.settings.curves), setup.networks.surrogate.network
    with RasterReader(setup.recording(network, images)) as raster:
        layers = [
            *([raster.layers[0].name] if network.spiking_input else []),
            *setup.layers(raster),
        ]
        found = curves(setup, images, raster, quantise(network), layers)
    conditions, seed = ["image", "map", "layer", "measure"], setup.settings.seed
    areas = found.groupby(conditions, sort=False)[["share", "value"]].apply(
        lambda curve: trapezoid(curve["value"], curve["share"])
    )
    areas = areas.rename("value").reset_index()
    draw_pixels(setup, found, layers)
    draw_spikes(setup, found, layers)
    claims = [
        claim_of(areas, *each, seed)
        for each in (*against_chance(areas), *against_baselines(areas, layers))
    ]
    notes = (
        losses(claims, len(images)),
        "Deletion: lower is better; insertion: higher is better. Deleted pixels become the mean "
        "colour; insertion "
        "starts from a blurred image.",
        "Deleted spikes are those of a layer, with all channels and steps of a place, in the order "
        "of a map; the rest "
        "is passed on through the layers behind. By places: over the share of places deleted; by "
        "spikes: over the "
        "share of spikes, where a map does not win by marking places with many. Of Poisson input, "
        "deletion by places "
        "is that of pixels: the mean colour has no spikes.",
    )
    return Result(
        "Faithfulness: does the network use what a map marks?",
        summary(areas, seed),
        claims,
        notes,
        areas,
    )


Pair = tuple[
    str, str, str, str
]  # two maps, the layer whose spikes are deleted, "" of pixels, and the measure


def against_chance(areas: pd.DataFrame) -> Iterator[Pair]:
    """Every map against a random order and a Gaussian at the centre, by pixels."""
    names = rows(areas, layer="")["map"].unique()
    for name, baseline, measure in product(names, (RANDOM, GAUSSIAN), (DELETION, INSERTION)):
        if name not in (RANDOM, baseline):
            yield name, baseline, "", measure


def against_baselines(areas: pd.DataFrame, layers: Sequence[str]) -> Iterator[Pair]:
    """SAM against every other map: of the last layer by pixels, of each layer by its spikes."""
    for layer, measure in (
        ("", DELETION),
        ("", INSERTION),
        *((layer, BY_SPIKES) for layer in layers),
    ):
        for baseline in rows(areas, layer=layer, measure=measure)["map"].unique():
            if not baseline.startswith(SAM) and (layer or baseline not in (RANDOM, GAUSSIAN)):
                yield label(SAM, layer or layers[-1]), baseline, layer, measure


def claim_of(
    areas: pd.DataFrame, name: str, baseline: str, layer: str, measure: str, seed: int
) -> Claim:
    """The first of two maps is better than the second."""
    both = {each: rows(areas, map=each, layer=layer, measure=measure) for each in (name, baseline)}
    what = f"{name}: better {measure.replace(' area', '')} than {baseline}"
    return better(f"in {layer}: {what}" if layer else what, both, seed, rising=measure == INSERTION)


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
        f"{what[:1].upper()}{what[1:]}: to {', '.join(baselines)}."
        for what, baselines in lost.items()
    )


def draw_pixels(setup: Setup, found: pd.DataFrame, layers: Sequence[str]) -> None:
    """Deletion and insertion, mean over images: SAM and relevance of one layer each, and every
    other map.
    """
    hidden = [label(SAM, layer) for layer in layers[:-1]] + [
        label(name, layers[0]) for name in RULES
    ]
    shown = rows(found, layer="")
    shown = shown[~shown["map"].isin(hidden)]
    points = shown.groupby(["measure", "map", "share"], sort=False)["value"].mean().reset_index()
    panels = {DELETION: "deletion (lower is better)", INSERTION: "insertion (higher is better)"}
    points = points.assign(panel=points["measure"].map(panels))
    subtitle = f"mean of {found['image'].nunique()} images; pixels in the order of each map"
    title, axes = (
        "Does the network use what a map marks?",
        ("share of the pixels", "probability of the answer"),
    )
    names = list(points["map"].unique())  # dashed where there are no more colours
    styles = ["-" if names.index(name) < len(PALETTE) else "--" for name in points["map"]]
    points = points.rename(columns={"map": "curve", "share": "x", "value": "mean"}).assign(
        style=styles
    )
    draw_curves(setup.out / "faithfulness.png", title, subtitle, points, *axes)


def draw_spikes(setup: Setup, found: pd.DataFrame, layers: Sequence[str]) -> None:
    """Deletion of spikes over their share, a panel per layer: five maps with intervals, all others
    thin behind them.
    """
    shares, parts, order = np.linspace(0, 1, 17), [], [*FRONT, OTHERS]
    of_layers = {
        label(name, layer): name for name in (SAM, COUNT, SNN_GRAD_CAM, *RULES) for layer in layers
    }
    for (layer, name), of_map in groups(rows(found, measure=BY_SPIKES), ["layer", "map"]):
        of_images = [
            np.interp(shares, each["share"], each["value"]) for _, each in of_map.groupby("image")
        ]
        shown = of_layers.get(name, name)
        curve, faint, colour = (shown, "", FRONT[shown]) if shown in FRONT else (OTHERS, name, GREY)
        points = summary(measured_over_steps(np.array(of_images))).assign(
            panel=f"spikes of {layer}", x=shares
        )
        parts.append(points.assign(curve=curve, faint=faint, colour=colour))
    points = pd.concat(sorted(parts, key=lambda part: order.index(part["curve"].iloc[0])))
    about = "and 95 % interval; places in the order of each map; lower is better"
    title, axes = (
        "Does the answer rest on the spikes that a map marks?",
        ("share of the spikes deleted", "probability"),
    )
    subtitle = f"mean of {found['image'].nunique()} images {about}"
    draw_curves(setup.out / "faithfulness_spikes.png", title, subtitle, points, *axes)


def curves(
    setup: Setup, images: ImageSet, raster: RasterReader, network: Network, layers: Sequence[str]
) -> pd.DataFrame:
    """Every curve of every map and of random orders.

    The network is the recorded one in fixed point; `layers` are those whose maps are compared and
    whose spikes are deleted.

    Returns
    -------
    image, map ("SAM conv4"), layer (whose spikes are deleted, "" of pixels), measure (named after
    the curve's area), share (deleted, or inserted), value (the probability); a row per point of a
    curve
    """

    def compute() -> dict[str, NDArray[Any]]:
        backend = make_backend("auto", setup.settings.device)
        answers = {layer: answers_of(upper_network(network, layer), backend) for layer in layers}
        found: dict[str, list[Floats]] = {}
        heatmaps = maps_to_compare(setup, images, raster, network, layers)
        with setup.progress("deletion and insertion", len(images)) as advance:
            for image, maps in enumerate(heatmaps):
                seed = setup.settings.seed + ORDERS * image
                pixels = pixel_score(network, images, image, setup.settings.seed, backend)
                for name, curve in curves_of(
                    faithfulness, pixels, images.pixels[image], on_pixels(maps, layers), seed
                ):
                    found.setdefault(f"{PIXELS}|{name}", []).append(curve)
                for layer in layers:
                    own = {key: each for key, each in maps.items() if key[1] in ("", layer)}
                    for name, curve in curves_of(
                        spike_deletion, answers[layer], raster[layer][image], own, seed
                    ):
                        found.setdefault(f"{layer}|{name}", []).append(curve)
                advance(1)
        return {name: np.stack(of_images) for name, of_images in found.items()}

    inputs = {
        "network": network.sha256,
        "ann": setup.networks.ann.network.sha256,
        "images": images.sha256,
        "layers": list(layers),
        "gamma": setup.settings.gamma,
        "seed": setup.settings.seed,
        "random orders": ORDERS,
        "maps": [
            *RULES,
            "sam",
            "relevance",
            "grad-cam",
            "snn-grad-cam",
            "graph-sam",
            *ATTRIBUTIONS,
        ],
    }
    parts = []
    for key, stored in setup.cache.arrays("faithfulness", inputs, compute).items():
        deleted, _, name = key.partition("|")
        for measure, (shares, probabilities) in CURVES[deleted == PIXELS].items():
            about = {"map": name, "layer": "" if deleted == PIXELS else deleted, "measure": measure}
            points = {"share": stored[:, shares].ravel(), "value": stored[:, probabilities].ravel()}
            image = np.repeat(np.arange(len(stored)), stored.shape[2])
            parts.append(pd.DataFrame({"image": image, **about, **points}))
    return pd.concat(parts)


def on_pixels(maps: Heatmaps, layers: Sequence[str]) -> Heatmaps:
    """The maps of the image or the last layer; SAM in earlier layers, too, and relevance in the
    first.
    """
    others = {SAM: layers[1:], **dict.fromkeys(RULES, layers[:1])}
    return {
        key: each
        for key, each in maps.items()
        if key[1] in ("", layers[-1], *others.get(key[0], ()))
    }


def curves_of(
    measure: Callable[..., Any],
    score: Callable[..., Floats],
    given: NDArray[Any],
    maps: Heatmaps,
    seed: int,
) -> Iterator[tuple[str, Floats]]:
    """The curves of every map, and of random orders."""
    for key, each in maps.items():
        yield label(*key), np.stack(measure(score, given, each, seed=seed))
    yield RANDOM, np.stack(random_orders(measure, score, given, repeats=ORDERS, seed=seed))


def maps_to_compare(
    setup: Setup, images: ImageSet, raster: RasterReader, network: Network, layers: Sequence[str]
) -> Iterator[Heatmaps]:
    """Per image every map, summed over the steps that can still change the answer; slow ones are
    cached.

    The raster is of these images through the network; each of its `layers` gets maps of its own.
    """
    answered = replace(images, labels=raster.predictions.astype(np.int64))
    gradients, reference = snn_grad_cams(setup, answered, raster), reference_maps(setup, answered)
    found = {methods()[name].title: attributions(setup, images, name) for name in ATTRIBUTIONS}
    for image in range(len(images)):
        of_image: Heatmaps = {}
        fired = [raster[name][image] for name in raster]
        of_rules = {
            name: relevance(network, fired, int(raster.predictions[image]), rule)
            for name, rule in RULES.items()
        }
        for layer in layers:
            number = list(raster).index(layer)
            of_image[SAM, layer] = sam_maps(raster, layer, image, setup.settings.gamma).sum(axis=0)
            of_image[COUNT, layer] = count_maps(raster, layer, image).sum(axis=0)
            of_image |= {
                (name, layer): each[number].sum(axis=(0, 1)) for name, each in of_rules.items()
            }
            if layer in gradients:
                of_image[SNN_GRAD_CAM, layer] = gradients[layer][image].sum(axis=0)
        of_image |= {(name, ""): each[image] for name, each in found.items()}
        of_image[ANN_GRAD_CAM, ""] = reference[image]
        of_image[BRIGHTNESS, ""] = np.abs(images.pixels[image]).mean(axis=0)
        of_image[GAUSSIAN, ""] = centred_gaussian(images.size)
        yield of_image


def attributions(setup: Setup, images: ImageSet, name: str) -> NDArray[np.float32]:
    """(N, H, W) ≥ 0 by a method of :data:`ATTRIBUTIONS`; cached."""
    network, seed = setup.networks.surrogate.network, setup.settings.seed

    def compute() -> dict[str, NDArray[Any]]:
        model, maps = DifferentiableNetwork(network), []
        method = cast("type[InputMethod]", methods()[name])(seed=seed)
        with setup.progress(method.title, len(images)) as advance:
            for inputs in images.encoded(range(len(images)), network, seed, 1):
                maps.append(method.attributed(model, inputs)[1][0])
                advance(1)
        return {"maps": np.stack(maps)}

    inputs = {"method": name, "network": network.sha256, "images": images.sha256, "seed": seed}
    maps: NDArray[np.float32] = setup.cache.arrays("attribution", inputs, compute)["maps"]
    return maps


def label(name: str, layer: str) -> str:
    """Name of a map in tables: "SAM conv4", "RISE"."""
    return f"{name} {layer}".strip()
