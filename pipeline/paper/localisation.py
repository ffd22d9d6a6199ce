"""Beyond the paper: does the map find the object where the centre prior is powerless?

Objects of photographs are centred, and boxes are large: there a Gaussian at the centre, which has seen nothing, points
at the object nine times in ten. So maps are also asked under conditions where it cannot
(:mod:`pipeline.paper.study.conditions`), and always beside what is cheaper than they are:

* SAM (γ as configured), and the plain spike count of the same layer: the kernel must add something;
* the ANN twin's Grad-CAM at its last convolution, for the class of the object asked for, which is told to it;
* the spike count of the encoded input, which no training has touched: where it finds the object, so does anything;
* a centred box of the object's area, a centred Gaussian, and random 8×8 maps (the mean of five draws), blind all three.

Measures: pointing game, energy in the object, IoU above half the maximum, IoU of as many pixels as the object has
(:mod:`pipeline.measures.localisation`), of maps summed over the steps whose spikes can still change the answer. What is
claimed rests on the first and the last, which a map cannot gain in by being sharper (spikes squared have more energy in
the object than spikes). Differences are paired over images. On canvases
the converted network is given 128 steps, which takes a quarter of the time, and its accuracy there is in the table. Of
the images as they are, those with a smaller or larger object, nearer to or farther from the centre (halves), and
everywhere those that the network gets right, are also scored by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backends.network.graph import Network
from pipeline.drawing.intervals import draw_intervals
from pipeline.measures.localisation import MEASURES, centred_box, centred_gaussian, iou_at_area
from pipeline.measures.maps import resize_map
from pipeline.measures.statistics import Estimate, mean_with_interval, paired_difference
from pipeline.networks.widen import widen
from recordings.raster.reader import RasterReader

from .study.canvases import Mosaic, inverted
from .study.conditions import AS_IS, Condition, conditions, has_shapes
from .study.images import ImageSet
from .study.result import Claim, Result, Verdict, verdict, with_interval
from .study.study import Study
from .study.time_sums import summed_maps

SCORED = MEASURES | {"IoU at the object's area": iou_at_area}
ORDINAL = ("pointing game", "IoU at the object's area")  # a sharper map is no better in these
CANVAS_STEPS = 128
DRAWS = 5
INPUT = "untrained input"
ANY_OF_FOUR = "SAM, mean of the four"
BLIND = ("centred box", "centred Gaussian", "random")
Key = tuple[str | None, str, str]  # layer, method, measure
Map = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scores:
    """Of one network under one condition.

    Parameters
    ----------
    condition, network : names
    values : (layer, method, measure) -> (n,) one score per image whose object is known
    subsets : name -> (n,) bool
    correct : (N',) bool — whether the prediction is right, of all images whose class is known
    layer : the deepest, which the claims are about
    """

    condition: str
    network: str
    values: Mapping[Key, NDArray[np.float64]]
    subsets: Mapping[str, Mask]
    correct: Mask
    layer: str


def run(study: Study) -> Result:
    """Measure."""
    found = conditions(study, study.images)
    scores = [
        score_condition(study, name, network, condition)
        for name, network in networks(study).items()
        for condition in found
    ]
    table = [row for each in scores for row in rows(each)]
    table += recognition_of_negatives(study)
    known = [each for each in scores if any(len(values) for values in each.values.values())]
    if not known:
        claim = Claim("the map finds the object", "assumed", "no image has a box or mask", "cannot say", 0)
        return Result(TITLE, table, [claim], ["Without boxes or masks only accuracy can be told."])
    draw(study, known)
    claims = [claim for each in known for claim in compare(each)]
    return Result(TITLE, table, claims, NOTES)


TITLE = "Beyond the paper: does the map find the object where the centre prior is powerless?"
NOTES = (
    "Differences are SAM minus the other, at the deepest convolution shown, paired over images: pointing game / IoU at "
    "the object's area. “yes” means SAM is better by one at least and worse by neither (95 % intervals exclude 0); "
    "“no” the opposite; “cannot say” that they contradict each other. The paper assumes that maps show what matters; "
    "it has no such numbers.",
    "SAM prefers the predicted image: its score on that image's object minus its mean score on all four.",
    "ANN Grad-CAM is told the class. Of four images it is told the predicted one, or the class of one of them.",
    f"On canvases twice as wide and high the converted network is given {CANVAS_STEPS} steps.",
)


def networks(study: Study) -> dict[str, Network]:
    """The two that the paper compares."""
    return {"surrogate": study.surrogate.network, "converted": study.converted.network}


def score_condition(study: Study, name: str, network: Network, condition: Condition) -> Scores:
    """Record, and score every method."""
    images = condition.images
    if images.size != network.input_shape[1:]:
        network = widen(replace(network, timesteps=min(network.timesteps, steps_on_canvas(network))), *images.size)
    path = study.recording(network, images)
    with RasterReader(path) as raster:
        first = [spec.name for spec in raster.layers if spec.kind == "conv"][:1]
        layers = list(dict.fromkeys([*first, *study.layers(raster)]))
        inputs = [spec.name for spec in raster.layers if spec.kind == "input"]
        predictions = raster.predictions
    asked = condition.asked(predictions)
    maps = summed_maps(study, path, [*inputs, *layers])
    known = [image for image, mask in enumerate(asked.masks) if mask is not None and mask.any()]
    values: dict[Key, NDArray[np.float64]] = {}
    if known:
        for layer in layers:
            for method, stack in zip(("SAM", "spike count"), maps[layer], strict=True):
                values |= {(layer, method, measure): score for measure, score in score_maps(stack, asked, known)}
            if condition.parts is not None and condition.predicted:
                parts = mean_of_parts(maps[layer][0], condition.parts, known)
                values |= {(layer, ANY_OF_FOUR, measure): score for measure, score in parts}
        for layer in inputs:
            values |= {(None, INPUT, measure): score for measure, score in score_maps(maps[layer][1], asked, known)}
        grad_cam = study.reference(asked)
        values |= {(None, "ANN Grad-CAM", measure): score for measure, score in score_maps(grad_cam, asked, known)}
        for method in BLIND:
            values |= {(None, method, measure): score for measure, score in blind(method, asked, known, study)}
    right = recognised(condition, predictions)
    subsets = {"all": np.ones(len(known), np.bool_), "recognised": right[known]}
    if condition.name == AS_IS and known:
        subsets |= strata(asked, known)
    return Scores(condition.name, name, values, subsets, right[images.labels >= 0], layers[-1])


def steps_on_canvas(network: Network) -> int:
    """All of a trained network, whose normalisation belongs to its steps; a converted one may stop at any."""
    constant = all(len(layer.neuron.gain) == len(layer.neuron.bias) == 1 for layer in network.layers)
    return CANVAS_STEPS if constant else network.timesteps


def recognised(condition: Condition, predictions: NDArray[np.integer[Any]]) -> Mask:
    """(N,) bool: whether the prediction is right; of several images side by side, that it is the class of one."""
    if condition.parts is not None:
        return (condition.parts.labels == predictions[:, None]).any(axis=1)
    return condition.images.labels == predictions


def score_maps(maps: Iterable[Map], images: ImageSet, known: list[int]) -> Iterable[tuple[str, NDArray[np.float64]]]:
    """Every measure of one map per image, of the images whose object is known."""
    stack = list(maps)
    resized = [resize_map(stack[image], images.size) for image in known]
    masks = [mask for image in known if (mask := images.masks[image]) is not None]
    for measure, function in SCORED.items():
        yield measure, np.array([function(each, mask) for each, mask in zip(resized, masks, strict=True)])


def mean_of_parts(maps: Map, mosaic: Mosaic, known: list[int]) -> Iterable[tuple[str, NDArray[np.float64]]]:
    """Every measure averaged over the images of a mosaic: what a map scores that favours none of them."""
    each = [dict(score_maps(maps, mosaic.about(labels), known)) for labels in mosaic.labels.T]
    yield from ((measure, np.mean([scores[measure] for scores in each], axis=0)) for measure in SCORED)


def blind(method: str, images: ImageSet, known: list[int], study: Study) -> Iterable[tuple[str, NDArray[np.float64]]]:
    """Every measure of a map that has not seen the image."""
    size = images.size
    if method == "random":
        random = np.random.default_rng(study.settings.seed)
        draws = [dict(score_maps(random.random((len(images), 8, 8)), images, known)) for _ in range(DRAWS)]
        yield from ((measure, np.mean([draw[measure] for draw in draws], axis=0)) for measure in SCORED)
        return
    gaussian = centred_gaussian(size)
    areas = [0 if mask is None else int(mask.sum()) for mask in images.masks]
    maps = [centred_box(size, area) if method == "centred box" and area else gaussian for area in areas]
    yield from score_maps(maps, images, known)


def strata(images: ImageSet, known: list[int]) -> dict[str, Mask]:
    """Halves by the object's area, and by the distance of its bounding box's centre from the image's."""
    areas, distances = [], []
    for mask in (images.masks[image] for image in known):
        assert mask is not None
        areas.append(mask.sum())
        sides = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
        offsets = [(side[0] + side[-1] + 1 - length) / 2 for side, length in zip(sides, mask.shape, strict=True)]
        distances.append(math.hypot(*offsets))
    small, near = np.array(areas) <= np.median(areas), np.array(distances) <= np.median(distances)
    return {"smaller": small, "larger": ~small, "nearer the centre": near, "off the centre": ~near}


def rows(scores: Scores) -> list[dict[str, Any]]:
    """Of the CSV."""
    where = {"network": scores.network, "condition": scores.condition}
    table = [where | _row("all", "", "", "accuracy", scores.correct)] if len(scores.correct) else []
    for (layer, method, measure), values in scores.values.items():
        for subset, chosen in scores.subsets.items():
            if chosen.any():
                table.append(where | _row(subset, layer or "", method, measure, values[chosen]))
    return table


def recognition_of_negatives(study: Study) -> list[dict[str, Any]]:
    """Accuracy on photographic negatives, where objects have shapes: why contrast cannot be randomised that way."""
    if not has_shapes(study.images):
        return []
    images = inverted(study.images)
    with RasterReader(study.recording(study.surrogate.network, images)) as raster:
        correct = raster.predictions == images.labels
    return [{"network": "surrogate", "condition": "negatives"} | _row("all", "", "", "accuracy", correct)]


def compare(scores: Scores) -> list[Claim]:
    """SAM against every other method, at the deepest layer."""
    claims = []
    for other in ("spike count", INPUT, "centred Gaussian", "ANN Grad-CAM", ANY_OF_FOUR):
        layer = scores.layer if other in ("spike count", ANY_OF_FOUR) else None
        if (layer, other, ORDINAL[0]) not in scores.values:
            continue
        differences = [
            paired_difference(scores.values[scores.layer, "SAM", measure], scores.values[layer, other, measure])
            for measure in ORDINAL
        ]
        claims.append(
            Claim(
                f"{scores.network}, {scores.condition}: "
                + ("SAM prefers the predicted image" if other == ANY_OF_FOUR else f"SAM finds it better than {other}"),
                "assumed" if other != ANY_OF_FOUR else "settles on it late",
                " / ".join(with_interval(each) for each in differences),
                joint(differences),
                differences[0].n,
            )
        )
    return claims


def joint(differences: Iterable[Estimate]) -> Verdict:
    """One verdict from several measures: yes if one says so and none contradicts; "cannot say" if they contradict."""
    found = {verdict(each) for each in differences}
    if "cannot say" in found or {"yes", "no"} <= found:
        return "cannot say"
    return "yes" if "yes" in found else "no" if "no" in found else "no difference seen"


def draw(study: Study, scores: list[Scores]) -> None:
    """Every method under every condition, at the deepest layer."""
    rows: list[dict[str, Any]] = [
        {"row": measure, "column": each.condition, "method": method, "series": each.network}
        | dict(zip(("mean", "low", "high"), mean_with_interval(found), strict=True))
        for each in scores
        for (layer, method, measure), found in each.values.items()
        if layer in (None, each.layer)
    ]
    methods = ["SAM", "spike count", ANY_OF_FOUR, "ANN Grad-CAM", INPUT, *BLIND]
    draw_intervals(
        study.out / "localisation.png",
        "Does the map find the object where the centre prior is powerless?",
        f"{study.images.name}, {len(study.images)} images; mean and 95 % interval; SAM and spike count at "
        f"{scores[0].layer}",
        pd.DataFrame(sorted(rows, key=lambda row: methods.index(row["method"]))),
    )


def _row(subset: str, layer: str, method: str, measure: str, values: NDArray[Any]) -> dict[str, Any]:
    mean, low, high = mean_with_interval(values.astype(np.float64))
    return {
        "subset": subset,
        "layer": layer,
        "method": method,
        "measure": measure,
        "mean": mean,
        "low": low,
        "high": high,
        "n": len(values),
    }
